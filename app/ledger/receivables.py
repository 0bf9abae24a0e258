"""The receivables at the end of a day, by client and currency: summed by the database.

Of today they are what invoices say; of a day that is over, what the journal had booked by its end.
An amount is never added to one of another currency.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.sql.selectable import Subquery

from app.ledger.journal_lines import CLIENTS, ENTRIES, INVOICES, LINES
from app.rules import calendar
from app.rules.double_entry import Account, EntryKind
from app.rules.invoice import InvoiceKind
from app.storage.engines import Tx
from app.storage.tables.invoices import HAS_AMOUNT_DUE

# The last day of each age; what is older is the last group.
AGES = (30, 60, 90)
AGE_NAMES = ("not_due", "days_1_30", "days_31_60", "days_61_90", "over_90")
# Clients that one report lists, those who owe most first; the sums by currency are of all.
CLIENTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class ReportDay:
    """The day of a report where the business is, and the instant at which it is over.

    `ends_at` is None for today: what is owed now is read from the invoices themselves.
    """

    day: date
    ends_at: datetime | None


def report_day(day: date | None, *, now: datetime, timezone: str) -> ReportDay:
    """That day, or today. A day to come is reckoned as today, with the days of that date."""
    today = calendar.business_day(now, timezone)
    wanted = day or today
    if wanted >= today:
        return ReportDay(wanted, None)
    return ReportDay(wanted, calendar.on_day(wanted + timedelta(days=1), None, timezone))


class AgedReceivable(NamedTuple):
    """The amounts that one owes in a currency, by the days since they were due."""

    client_id: int | None
    client_name: str | None
    currency: str
    amounts: tuple[Decimal, ...]

    @property
    def total(self) -> Decimal:
        return sum(self.amounts, Decimal(0))


async def load_ageing(
    tx: Tx, at: ReportDay, *, client_id: int | None = None
) -> list[AgedReceivable]:
    """By client and currency, who owes most first within a currency; at most CLIENTS_MAX."""
    owed = _owed(at, client_id)
    whole = func.sum(owed.c.amount)
    statement = (
        select(owed.c.client_id, CLIENTS.c.name, owed.c.currency, *_sums(owed, at.day))
        .select_from(owed.outerjoin(CLIENTS, CLIENTS.c.id == owed.c.client_id))
        .group_by(owed.c.client_id, CLIENTS.c.name, owed.c.currency)
        .order_by(owed.c.currency, whole.desc(), owed.c.client_id)
        .limit(CLIENTS_MAX)
    )
    return [
        AgedReceivable(client, name, currency, _amounts(sums))
        for client, name, currency, *sums in await tx.execute(statement)
    ]


async def load_ageing_totals(
    tx: Tx, at: ReportDay, *, client_id: int | None = None
) -> list[AgedReceivable]:
    """By currency alone, of all clients."""
    owed = _owed(at, client_id)
    statement = (
        select(owed.c.currency, *_sums(owed, at.day))
        .group_by(owed.c.currency)
        .order_by(owed.c.currency)
    )
    return [
        AgedReceivable(None, None, currency, _amounts(sums))
        for currency, *sums in await tx.execute(statement)
    ]


class FallingDue(NamedTuple):
    """Open amounts of a currency: overdue, due within so many days, and later or without a day."""

    currency: str
    overdue: Decimal
    within: Decimal
    later: Decimal


async def load_falling_due(tx: Tx, at: ReportDay, days: int) -> list[FallingDue]:
    """By currency; a due date that is the day itself falls within."""
    owed, last = _owed(at, None), at.day + timedelta(days=days)
    due = owed.c.duedate
    parts = (
        due < at.day,
        (due >= at.day) & (due <= last),
        or_(due.is_(None), due > last),
    )
    sums = [_sum_where(one, owed) for one in parts]
    statement = select(owed.c.currency, *sums).group_by(owed.c.currency).order_by(owed.c.currency)
    return [
        FallingDue(currency, *_amounts(found)) for currency, *found in await tx.execute(statement)
    ]


class SalesOutstanding(NamedTuple):
    """Receivables of a currency at the end of a day, and the sales of the days up to it."""

    currency: str
    receivable: Decimal
    sales: Decimal


async def load_sales_outstanding(
    tx: Tx, at: ReportDay, days: int, *, timezone: str
) -> list[SalesOutstanding]:
    """By currency, from the journal: invoices less credit notes and voids, as they were booked."""
    since = calendar.on_day(at.day - timedelta(days=days - 1), None, timezone)
    until = at.ends_at or calendar.on_day(at.day + timedelta(days=1), None, timezone)
    sales = await tx.execute(
        select(ENTRIES.c.currency_iso, func.sum(-LINES.c.amount))
        .join(LINES, LINES.c.entry_id == ENTRIES.c.id)
        .where(
            ENTRIES.c.at >= since,
            ENTRIES.c.at < until,
            ENTRIES.c.kind != EntryKind.OPENING,
            LINES.c.account == Account.INCOME,
        )
        .group_by(ENTRIES.c.currency_iso)
    )
    sold = {currency: amount or Decimal(0) for currency, amount in sales}
    owed = {one.currency: one.total for one in await load_ageing_totals(tx, at)}
    return [
        SalesOutstanding(one, owed.get(one, Decimal(0)), sold.get(one, Decimal(0)))
        for one in sorted(owed.keys() | sold.keys())
    ]


# --- statements --------------------------------------------------------------------------------


def _owed(at: ReportDay, client_id: int | None) -> Subquery:
    """Each open amount with its client, currency and due date."""
    owed = _owed_now() if at.ends_at is None else _owed_then(at.ends_at)
    if client_id is None:
        return owed
    return select(owed).where(owed.c.client_id == client_id).subquery()


def _owed_now() -> Subquery:
    return (
        select(
            INVOICES.c.client_id,
            INVOICES.c.currency_iso.label("currency"),
            INVOICES.c.duedate,
            INVOICES.c.amountdue.label("amount"),
        )
        .where(
            INVOICES.c.id > 0,
            INVOICES.c.voided.is_(False),
            INVOICES.c.is_recurring_invoice.is_(False),
            INVOICES.c.invoicetype == InvoiceKind.INVOICE.value,
            HAS_AMOUNT_DUE,
        )
        .subquery()
    )


def _owed_then(ends_at: datetime) -> Subquery:
    """Receivables that were booked before that instant and had not been settled by it."""
    amount = func.sum(LINES.c.amount)
    booked = (
        select(
            LINES.c.client_id,
            LINES.c.invoice_id,
            ENTRIES.c.currency_iso.label("currency"),
            amount.label("amount"),
        )
        .join(ENTRIES, ENTRIES.c.id == LINES.c.entry_id)
        .where(LINES.c.account == Account.RECEIVABLE, ENTRIES.c.at < ends_at)
        .group_by(LINES.c.client_id, LINES.c.invoice_id, ENTRIES.c.currency_iso)
        .having(amount > 0)
        .subquery()
    )
    return (
        select(booked.c.client_id, booked.c.currency, INVOICES.c.duedate, booked.c.amount)
        .select_from(booked.outerjoin(INVOICES, INVOICES.c.id == booked.c.invoice_id))
        .subquery()
    )


def _sums(owed: Subquery, day: date) -> list[ColumnElement[Decimal]]:
    """A sum for each age, in their order; an invoice without a due date is not due."""
    due = owed.c.duedate
    ends = [day - timedelta(days=age) for age in AGES]
    starts = [day, *ends]
    between = [(due < start) & (due >= end) for start, end in zip(starts, ends, strict=False)]
    ages = [or_(due.is_(None), due >= day), *between, due < ends[-1]]
    return [_sum_where(one, owed) for one in ages]


def _sum_where(condition: ColumnElement[bool], owed: Subquery) -> ColumnElement[Decimal]:
    return func.sum(case((condition, owed.c.amount), else_=Decimal(0)))


def _amounts(sums: Sequence[Decimal | None]) -> tuple[Decimal, ...]:
    return tuple(one or Decimal(0) for one in sums)
