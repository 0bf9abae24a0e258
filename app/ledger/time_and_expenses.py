"""Expenses and time become lines: HaloPSA's `expense_id` and `actioncode` of a line.

An expense is on one invoice at a time; its row is locked by who puts it there.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ColumnElement, or_, select, update

from app.errors import InvalidField
from app.ledger.invoice_draft import Draft, DraftLine
from app.rules.home import Home
from app.rules.time_charge import HourlyRate, charged_hours, rate_for
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.catalogue import ChargeRate
from app.storage.tables.expenses import Expense
from app.storage.tables.invoices import FullLineRow, InvoiceLine

EXPENSES = table_of(Expense)
LINES = table_of(InvoiceLine)
RATES = table_of(ChargeRate)


class ClaimedLine(NamedTuple):
    """A line that names an expense which it did not name before, and where it stands."""

    draft: Draft
    line: DraftLine
    at: str


# --- expenses ----------------------------------------------------------------------------------


async def take_expenses(tx: Tx, drafts: Sequence[Draft], home: Home) -> None:
    """Lines that name an expense get its amount and its words, where they have none of their own.

    A number that is no expense of ours is kept like any other property.
    """
    claims = _claims(drafts)
    known = await _lock_expenses(tx, claims)
    twice = [one for one, count in Counter(_expense_id(each.line) for each in claims).items()
             if count > 1 and one in known]  # fmt: skip
    for one in claims:
        expense_id = _expense_id(one.line)
        expense = known.get(expense_id)
        if expense is None:
            continue
        at = f"{one.at}.expense_id"
        if expense_id in twice:
            raise InvalidField(at, f"expense {expense_id} is given twice")
        _refuse_expense(one, expense, at)
        _fill(one, expense, home)


def _claims(drafts: Iterable[Draft]) -> list[ClaimedLine]:
    return [
        ClaimedLine(one, line, f"lines[{place}]")
        for one in drafts
        if _may_take(one)
        for place, line in enumerate(one.lines or ())
        if _expense_id(line) and _expense_of(line.before) != _expense_id(line)
    ]


def _may_take(one: Draft) -> bool:
    """Templates bill nothing themselves, and the lines of a posted invoice stay."""
    return not one.is_template and not one.is_posted


def _expense_id(line: DraftLine) -> int:
    return _expense_of(line.after)


def _expense_of(row: FullLineRow | None) -> int:
    found = (row.extra or {}).get("expense_id") if row else None
    return found if isinstance(found, int) and found > 0 else 0


async def _lock_expenses(tx: Tx, claims: Collection[ClaimedLine]) -> "Mapping[int, ExpenseRow]":
    ids = sorted({_expense_id(one.line) for one in claims})
    if not ids:
        return {}
    statement = select(*(EXPENSES.c[name] for name in ExpenseRow._fields))
    found = await tx.execute(
        statement.where(EXPENSES.c.id.in_(ids)).order_by(EXPENSES.c.id).with_for_update()
    )
    return {row.id: ExpenseRow._make(row) for row in found}


class ExpenseRow(NamedTuple):
    """The columns of an expense that its line takes, or that forbid it."""

    id: int
    description: str | None
    amount: Decimal
    invoiceable: bool
    ihid: int | None
    client_id: int | None
    client_to_invoice_to_id: int | None


def _refuse_expense(one: ClaimedLine, expense: ExpenseRow, at: str) -> None:
    payer = expense.client_to_invoice_to_id or expense.client_id
    if expense.ihid not in (None, one.draft.id):
        raise InvalidField(at, f"expense {expense.id} is on invoice {expense.ihid}")
    if not expense.invoiceable:
        raise InvalidField(at, f"expense {expense.id} is not invoiceable")
    if payer is not None and payer != one.draft.after.client_id:
        raise InvalidField(at, f"expense {expense.id} is for client {payer}")


def _fill(one: ClaimedLine, expense: ExpenseRow, home: Home) -> None:
    given, after = one.line.given, one.line.after
    if given is None or given.values.get("unit_price") is None:
        _refuse_other_currency(one, home)
        after = after._replace(unit_price=expense.amount)
    if not after.item_shortdescription:
        after = after._replace(item_shortdescription=expense.description)
    one.line.after = after


def _refuse_other_currency(one: ClaimedLine, home: Home) -> None:
    """Expenses and rates have no currency of their own; they are in the home currency."""
    if one.draft.after.currency_iso != home.currency:
        raise InvalidField(
            f"{one.at}.unit_price",
            f"is required: expenses and charge rates are in {home.currency.upper()}",
        )


async def mark_expenses(tx: Tx, drafts: Sequence[Draft], now: datetime) -> None:
    """Write on each expense the invoice that has it, and free those whose line is gone."""
    for one in drafts:
        if not _may_take(one):
            continue
        befores = [*one.removed, *(line.before for line in one.lines or ())]
        there = {_expense_id(line) for line in one.lines or ()} - {0}
        had = {_expense_of(row) for row in befores} - {0}
        if had - there:
            await _free(tx, EXPENSES.c.id.in_(had - there), EXPENSES.c.ihid == one.id)
        if there - had:
            taken = update(EXPENSES).where(EXPENSES.c.id.in_(there - had))
            await tx.execute(taken.values(ihid=one.id, date_invoiced=now))


async def free_expenses(tx: Tx, invoice_id: int) -> None:
    """The invoice is voided or deleted: another one may bill what its lines have billed.

    An expense that a caller put on it by `ihid` alone stays there.
    """
    ids = set(await tx.scalars(select(EXPENSES.c.id).where(EXPENSES.c.ihid == invoice_id)))
    if ids:
        found = await tx.scalars(select(LINES.c.extra).where(LINES.c.ihid == invoice_id))
        billed = {number for extra in found if isinstance(number := _named(extra), int)}
        await _free(tx, EXPENSES.c.id.in_(ids & billed))


def _named(extra: object) -> object:
    return extra.get("expense_id") if isinstance(extra, Mapping) else None


async def _free(tx: Tx, *which: ColumnElement[bool]) -> None:
    await tx.execute(update(EXPENSES).where(*which).values(ihid=None, date_invoiced=None))


# --- time --------------------------------------------------------------------------------------


async def price_time(tx: Tx, drafts: Sequence[Draft], now: datetime, home: Home) -> None:
    """New lines with an `actioncode` and no price get that of the charge type, by the hour.

    `qty_order` is the hours that were worked; it becomes the hours that are charged. A charge
    type without a rate prices nothing.
    """
    timed = [
        ClaimedLine(one, line, f"lines[{place}]")
        for one in drafts
        if not one.is_template
        for place, line in enumerate(one.lines or ())
        if line.before is None and _charge_type(line) and _has_no_price(line)
    ]
    if not timed:
        return
    rates = await _load_rates(tx, timed)
    for one in timed:
        after = one.draft.after
        found = rate_for(
            rates.get(_charge_type(one.line), ()),
            client_id=after.client_id,
            contract_id=after.contract_id or 0,
            at=after.invoice_date or now,
        )
        if found is not None:
            _refuse_other_currency(one, home)
            hours = charged_hours(one.line.after.qty_order, found)
            one.line.after = one.line.after._replace(qty_order=hours, unit_price=found.rate)


def _charge_type(line: DraftLine) -> int:
    found = (line.after.extra or {}).get("actioncode")
    return found if isinstance(found, int) and found > 0 else 0


def _has_no_price(line: DraftLine) -> bool:
    return line.given is not None and line.given.values.get("unit_price") is None


async def _load_rates(tx: Tx, timed: Iterable[ClaimedLine]) -> dict[int, list[HourlyRate]]:
    wanted = [(_charge_type(one.line), one.draft.after.client_id) for one in timed]
    clients = {client_id for _, client_id in wanted if client_id is not None}
    found = await tx.execute(
        select(RATES).where(
            RATES.c.charge_id.in_({charge_type for charge_type, _ in wanted}),
            or_(RATES.c.area.is_(None), RATES.c.area.in_(clients)),
        )
    )
    by_type: dict[int, list[HourlyRate]] = {}
    for row in found:
        rate = row.rate if row.rateoverride is None else row.rateoverride
        one = HourlyRate(
            row.id, rate, row.area, row.contract_id,
            row.startdate, row.expirydate, row.minimum, row.increment,
        )  # fmt: skip
        by_type.setdefault(row.charge_id, []).append(one)
    return by_type
