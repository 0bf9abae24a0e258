"""Creates and changes invoices and their lines.

Payments are settlement's; it is asked to look again whenever a total moved.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import bindparam, delete, or_, select

from app.errors import Changed, InvalidField, NotFound, Refused
from app.ledger import (
    audit,
    balances,
    invoice_numbers,
    journal,
    line_taxes,
    prorata,
    quantity_edits,
    settlement,
    time_and_expenses,
)
from app.ledger.dependents import load_dependents, refusal
from app.ledger.exchange_rates import load_rates
from app.ledger.invoice_draft import (
    INVOICES,
    LINES,
    Currencies,
    Draft,
    DraftLine,
    changed_columns,
    draft_header,
    draft_lines,
    draft_totals,
    needs_existing_lines,
)
from app.ledger.invoice_input import InvoiceInput, invoice_input
from app.rules.home import Home
from app.rules.invoice import (
    POSTED,
    Dependents,
    client_refusal,
    credit_of,
    currency_refusal,
    edit_refusal,
    is_fixed_once_posted,
    lowered_credit_refusal,
    void_refusal,
)
from app.rules.money import plain
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.new_rows import NewRows
from app.storage.prepared import PreparedStatement, any_of
from app.storage.rows import InputRecord
from app.storage.tables.clients import Client, Currency
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import FullInvoiceRow, FullLineRow, RecurringNumber

NUMBERS = table_of(RecurringNumber)
PAYMENTS = table_of(InvoicePayment)

# Templates' ids go down from here: -1 is HaloPSA's word for no template.
LAST_UNUSED = -1


async def save(
    tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: Home
) -> list[int]:
    """Create the invoices without id and change the others; answers all ids in the order given.

    Only given fields change; `lines` is the whole list, `add_lines` adds to it. `home` is the
    currency of an invoice when neither it nor its client names one.
    """
    inputs = [invoice_input(record) for record in records]
    return [one.id for one in await save_drafts(tx, inputs, now=now, who=who, home=home)]


async def save_templates(
    tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: Home
) -> list[int]:
    """The same for recurring invoices; their ids are negative."""
    inputs = [invoice_input(record) for record in records]
    drafts = await save_drafts(tx, inputs, now=now, who=who, home=home, templates=True)
    return [one.id for one in drafts]


async def save_drafts(
    tx: Tx,
    inputs: Sequence[InvoiceInput],
    *,
    now: datetime,
    who: str,
    home: Home,
    templates: bool = False,
) -> list[Draft]:
    """The invoices as they were written, each with its id and those of its lines."""
    known = await _lock_known(tx, inputs, templates=templates)
    currencies = await _load_currencies(tx, inputs, known, home, now)
    drafts = [
        draft_header(given, known.get(given.id or 0), currencies, now, is_template=templates)
        for given in inputs
    ]
    _refuse_posted_header(drafts)
    await _refuse_paid_currency(tx, drafts)
    existing = await _load_existing_lines(tx, inputs, drafts)
    for given, one in zip(inputs, drafts, strict=True):
        draft_lines(one, given, existing.get(one.id, ()))
        _refuse_posted_lines(one)
        await asyncio.sleep(0)  # a thousand lines are drafted in ten milliseconds; the loop answers
    if templates:
        await quantity_edits.prorate_edits(tx, drafts, currencies, now)
    else:
        await time_and_expenses.take_expenses(tx, drafts, home)
        await time_and_expenses.price_time(tx, drafts, now, home)
    await line_taxes.apply_tax_rates(tx, drafts, home)
    for one in drafts:
        draft_totals(one)
        await asyncio.sleep(0)
    await _refuse_edits(tx, drafts)
    await _write(tx, drafts, now=now, who=who, home=home)
    return drafts


# --- reading under locks ---------------------------------------------------------------------


async def _lock_known(
    tx: Tx, inputs: Sequence[InvoiceInput], *, templates: bool
) -> Mapping[int, FullInvoiceRow]:
    """The rows of the invoices that exist, locked, and none changed since its caller read it."""
    what = "RecurringInvoice" if templates else "Invoice"
    ids = [given.id for given in inputs if given.id is not None]
    for one in ids:
        if (one < 0) != templates:
            raise NotFound(what, one)
    found = await rows.lock_rows(tx, INVOICES, what, [{"id": one} for one in ids])
    known = {one: FullInvoiceRow._make(row) for one, row in found.items()}
    for given in inputs:
        if given.id is None or given.last_change_seq is None:
            continue
        if given.last_change_seq < known[given.id].change_seq:
            raise Changed(f"invoice {given.id} has changed since you read it")
    return known


async def _load_currencies(
    tx: Tx,
    inputs: Sequence[InvoiceInput],
    known: Mapping[int, FullInvoiceRow],
    home: Home,
    now: datetime,
) -> Currencies:
    client_ids = {given.client_id for given in inputs if given.client_id is not None}
    zoned = {known[given.id or 0].client_id for given in inputs if given.id and _needs_zone(given)}
    clients = await _load_clients(tx, client_ids | {one for one in zoned if one is not None})
    of_client = {row.id: row.currency_code for row in clients}
    named = {given.currency_code for given in inputs if given.currency_code is not None}
    wanted = named | {one for one in of_client.values() if one is not None}
    found = await _CURRENCIES.all(tx, ids=wanted, home=home.currency)
    code_of = {row.id: row.code for row in found}
    rate_of = {row.id: row.conversion_rate for row in found}
    timezone_of = {row.id: row.timezone for row in clients}
    _assert_known("currency_code", named - code_of.keys())
    currencies = Currencies(code_of, rate_of, of_client, timezone_of, home)
    foreign = set(code_of.values()) - {home.currency}
    if not foreign:
        return currencies
    invoiced = (one.values.get("invoice_date") for one in inputs)
    earlier = {one.date() for one in invoiced if isinstance(one, datetime) and one < now}
    return replace(currencies, daily=await load_rates(tx, foreign, earlier))


def _needs_zone(given: InvoiceInput) -> bool:
    """A template's quantity may count from today on, where its client is."""
    return given.names_days or (given.names_lines and (given.id or 0) < 0)


class _CurrencyRow(NamedTuple):
    id: int
    code: str
    conversion_rate: Decimal


_CURRENCIES = PreparedStatement(
    select(Currency.id, Currency.code, Currency.conversion_rate).where(
        or_(any_of(table_of(Currency).c.id, "ids"), Currency.code == bindparam("home"))
    ),
    _CurrencyRow,
)


async def _load_clients(tx: Tx, ids: Collection[int]) -> "Sequence[_ClientRow]":
    if not ids:
        return ()
    found = await _CLIENTS.all(tx, ids=ids)
    _assert_known("client_id", set(ids).difference(row.id for row in found))
    return found


class _ClientRow(NamedTuple):
    id: int
    currency_code: int | None
    timezone: str | None


_CLIENTS = PreparedStatement(
    select(Client.id, Client.currency_code, Client.timezone).where(
        any_of(table_of(Client).c.id, "ids")
    ),
    _ClientRow,
)


def _assert_known(name: str, missing: Collection[int]) -> None:
    if missing:
        raise InvalidField(name, f"{min(missing)} does not exist")


def _refuse_posted_header(drafts: Iterable[Draft]) -> None:
    """Who corrects a posted invoice makes a credit note of it."""
    for one in drafts:
        for name, old, new in one.differences if one.is_posted else ():
            is_shown_alike = not old and not new  # a client posts the 0 back that it was shown
            if is_fixed_once_posted(name) and not is_shown_alike:
                raise Refused(f"{name}: that of invoice {one.id} stays: {POSTED}")


def _refuse_posted_lines(one: Draft) -> None:
    if not one.is_posted:
        return
    if one.removed or any(line.before is None for line in one.lines or ()):
        raise Refused(f"lines: those of invoice {one.id} stay: {POSTED}")
    for place, line in enumerate(one.lines or ()):
        for name, *_ in line.column_differences:
            if is_fixed_once_posted(name, of_line=True):
                raise Refused(f"lines[{place}].{name}: that of invoice {one.id} stays: {POSTED}")


async def _refuse_paid_currency(tx: Tx, drafts: Iterable[Draft]) -> None:
    """Money that moved has a currency that nobody can change later."""
    changed = [one.id for one in drafts if one.currency_changes]
    if not changed:
        return
    paid = select(PAYMENTS.c.invoice_id).where(PAYMENTS.c.invoice_id.in_(changed))
    found = (await tx.scalars(paid)).first()
    if found is not None:
        raise Refused(f"currency_code: invoice {found} has payments in its currency")


async def _refuse_edits(tx: Tx, drafts: Iterable[Draft]) -> None:
    """Client, currency, kind and total that may not change any more stay."""
    changed = {one.id: one for one in drafts if one.before is not None and _is_for_money(one)}
    if not changed:
        return
    for invoice_id, dependents in (await load_dependents(tx, changed)).items():
        one = changed[invoice_id]
        _refuse_other_meaning(one, dependents)
        before, after = one.total_before, one.after.total
        credit = credit_of(one.after.invoicetype, after)
        why = lowered_credit_refusal(dependents, credit=credit)
        why = why or edit_refusal(dependents, total_before=before, total_after=after)
        if why is not None:
            what = f"lines: the total of invoice {invoice_id} stays {plain(before)}"
            raise refusal(dependents, why, what)


def _is_for_money(one: Draft) -> bool:
    return one.total_moves or one.client_changes or one.currency_changes or one.kind_changes


def _refuse_other_meaning(one: Draft, dependents: Dependents) -> None:
    changes = {
        "client_id": client_refusal(dependents) if one.client_changes else None,
        "currency_code": currency_refusal(dependents) if one.currency_changes else None,
        "invoicetype": void_refusal(dependents) if one.kind_changes else None,
    }
    for name, why in changes.items():
        if why is not None:
            raise refusal(dependents, why, f"{name}: that of invoice {one.id} stays")


async def _load_existing_lines(
    tx: Tx, inputs: Sequence[InvoiceInput], drafts: Sequence[Draft]
) -> Mapping[int, list[FullLineRow]]:
    touched = [
        one.id
        for given, one in zip(inputs, drafts, strict=True)
        if needs_existing_lines(one, given)
    ]
    found: dict[int, list[FullLineRow]] = {one: [] for one in touched}
    if touched:
        statement = select(LINES).where(LINES.c.ihid.in_(touched))
        for each in await tx.execute(statement.order_by(LINES.c.sequenceid, LINES.c.id)):
            row = FullLineRow._make(each)
            found[row.ihid].append(row)
    return found


# --- writing ---------------------------------------------------------------------------------


async def _write(tx: Tx, drafts: Sequence[Draft], *, now: datetime, who: str, home: Home) -> None:
    new = [one for one in drafts if one.before is None]
    changed = [one for one in drafts if one.before is not None and one.is_changed]
    await _insert(tx, new, now=now, home=home)
    await invoice_numbers.take_changed(tx, changed)
    await rows.update_rows(tx, INVOICES, _header_changes(changed, now))
    await _write_lines(tx, [*new, *changed])
    await time_and_expenses.mark_expenses(tx, [*new, *changed], now)
    changes = [change for one in (*new, *changed) for change in _changes(one)]
    await audit.write(tx, changes, who=who, now=now)
    await journal.record_invoices(
        tx, [(one.before, one.after) for one in (*new, *changed)], now=now, who=who
    )
    moved = [one.id for one in drafts if one.owes_anew and not one.is_template]
    if moved:
        await balances.recompute(tx, moved, now=now, who=who)
    payable = [one.id for one in drafts if _may_take_money(one)]
    await settlement.attach_unassigned(tx, payable, now=now, who=who)


def _may_take_money(one: Draft) -> bool:
    """Whether money that names the invoice, and could not pay it before, may pay it now."""
    is_another = one.before is None or one.owes_anew or one.client_changes or one.currency_changes
    return is_another and not one.is_template


_NEW_INVOICES = NewRows(INVOICES, FullInvoiceRow)
_NEW_LINES = NewRows(LINES, FullLineRow)


async def _insert(tx: Tx, new: Sequence[Draft], *, now: datetime, home: Home) -> None:
    templates = [one for one in new if one.is_template]
    numbers = await rows.insert_rows(tx, NUMBERS, [{"given_at": now}] * len(templates))
    for one, number in zip(templates, numbers, strict=True):
        invoicenumber = one.after.invoicenumber or "0"
        one.after = one.after._replace(id=LAST_UNUSED - number, invoicenumber=invoicenumber)
    await rows.insert_rows(tx, INVOICES, [one.after._asdict() for one in templates])
    invoices = [one for one in new if not one.is_template]
    ids = await _NEW_INVOICES.insert(tx, [one.after for one in invoices])
    for one, invoice_id in zip(invoices, ids, strict=True):
        one.after = one.after._replace(id=invoice_id)
    await invoice_numbers.give_numbers(tx, invoices, home)


def _new_values(row: FullInvoiceRow | FullLineRow) -> dict[str, object]:
    """All columns but the id, which the database gives."""
    return {name: value for name, value in row._asdict().items() if name != "id"}


def _header_changes(changed: Sequence[Draft], now: datetime) -> dict[int, dict[str, object]]:
    """One UPDATE serves all: each row gets every column that changes in one of them."""
    pairs = [(one.before, one.after) for one in changed if one.before is not None]
    names = sorted({name for pair in pairs for name in changed_columns(*pair)})
    return {
        before.id: {
            **{name: getattr(after, name) for name in names},
            "change_seq": before.change_seq + 1,
            "last_modified": now,
        }
        for before, after in pairs
    }


async def _write_lines(tx: Tx, drafts: Sequence[Draft]) -> None:
    """Write lines that are new, changed or removed, and give the new ones their ids."""
    removed = [row.id for one in drafts for row in one.removed]
    if removed:
        await tx.execute(delete(LINES).where(LINES.c.id.in_(removed)))
    lines = [(one, line) for one in drafts for line in one.lines or ()]
    changed = {line.after.id: _new_values(line.after) for _, line in lines if line.differences}
    await rows.update_rows(tx, LINES, changed)
    new = [(one, line) for one, line in lines if line.before is None]
    owners = [one.id for one, _ in new]
    ids = await _NEW_LINES.insert(tx, [line.after for _, line in new], ihid=owners)
    for (one, line), line_id in zip(new, ids, strict=True):
        line.after = line.after._replace(id=line_id, ihid=one.id)
    await prorata.replace_rows(
        tx, [_entries(one, line) for one, line in lines if _has_new_entries(line)]
    )


def _has_new_entries(line: DraftLine) -> bool:
    before = line.before.prorata_data if line.before else None
    return before != line.after.prorata_data


def _entries(one: Draft, line: DraftLine) -> prorata.LineEntries:
    entries = line.given.prorata if line.given else None
    return prorata.LineEntries(line.after.id, one.id, one.after.client_id, entries or ())


def _changes(one: Draft) -> list[audit.AuditChange]:
    if one.before is None:
        return [audit.AuditChange(one.id, "created", None, one.id)]
    changes = [audit.AuditChange(one.id, *difference) for difference in one.differences]
    for row in one.removed:
        changes.append(audit.AuditChange(one.id, "lines", _line_text(row), None, row.id))
    for line in one.lines or ():
        if line.before is None:
            added = _line_text(line.after)
            changes.append(audit.AuditChange(one.id, "lines", None, added, line.after.id))
        else:
            line_id = line.before.id
            changes += [audit.AuditChange(one.id, *each, line_id) for each in line.differences]
    return changes


def _line_text(line: FullLineRow) -> str:
    amounts = f"{plain(line.qty_order)} x {plain(line.unit_price)}"
    return f"{amounts} {line.item_shortdescription or ''}".rstrip()
