"""A client's statement of account: all that was invoiced, credited and paid in a period."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import ColumnElement, Table, func, select

from app.documents.document_content import Party
from app.documents.invoice_document import CLIENTS, INVOICES, PAYMENTS, buyer_of, day_of
from app.errors import InvalidField, NotFound, Refused
from app.rules import calendar
from app.rules.invoice import InvoiceKind
from app.storage.engines import Record, Tx

# Far beyond any statement that a person reads.
ENTRIES_MAX = 2000
# The last days of the buckets by which open invoices are sorted, counted from their due day.
AGES = (0, 30, 60, 90)


class StatementEntryKind(StrEnum):
    """An entry's kind, which is also the key of its word in each language."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note_row"
    PAYMENT = "payment"


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """A positive amount is charged to the client, a negative one is credited."""

    day: date
    kind: StatementEntryKind
    number: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class StatementDocument:
    """`open_by_age` is open now: not due, then due since up to 30, 60, 90 and more days."""

    client_id: int
    client: Party
    language: str
    currency: str
    period: tuple[date, date]
    opening: Decimal
    entries: Sequence[StatementEntry]
    open_by_age: Sequence[Decimal]

    @property
    def closing(self) -> Decimal:
        return self.opening + sum((one.amount for one in self.entries), Decimal(0))


async def load_statement_document(
    tx: Tx,
    client_id: int,
    period: tuple[date, date],
    *,
    timezone: str,
    now: datetime,
    currency: str = "",
) -> StatementDocument:
    """The statement of a client in one currency; InvalidField where there are several."""
    if period[1] < period[0]:
        raise InvalidField("to", "is before from")
    client = (await tx.execute(select(CLIENTS).where(CLIENTS.c.id == client_id))).one_or_none()
    if client is None:
        raise NotFound("Client", client_id)
    zone = client.timezone or timezone
    shown = await _currency(tx, client_id, currency.lower())
    since = _midnight(period[0], zone)
    until = _midnight(period[1] + timedelta(days=1), zone)
    invoices, payments = _of_invoices(client_id, shown), _of_payments(client_id, shown)
    return StatementDocument(
        client_id=client_id,
        client=buyer_of(client),
        language=client.language or "",
        currency=shown.upper(),
        period=period,
        opening=await _balance_before(tx, since, invoices, payments),
        entries=await _load_entries(tx, (since, until), invoices, payments, zone),
        open_by_age=await _open_by_age(tx, invoices, calendar.business_day(now, zone)),
    )


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), tzinfo=calendar.zone(zone)).astimezone(UTC)


async def _currency(tx: Tx, client_id: int, wanted: str) -> str:
    found = await tx.scalars(
        select(INVOICES.c.currency_iso).where(INVOICES.c.client_id == client_id, INVOICES.c.id > 0)
        .distinct().order_by(INVOICES.c.currency_iso)
    )  # fmt: skip
    currencies = list(found)
    if not wanted and len(currencies) == 1:
        return str(currencies[0])
    if not currencies:
        raise Refused(f"client {client_id} has no invoices")
    if wanted not in currencies:
        raise InvalidField("currency", f"name one of {', '.join(currencies).upper()}")
    return wanted


Conditions = list[ColumnElement[bool]]


def _of_invoices(client_id: int, currency: str) -> Conditions:
    return [
        INVOICES.c.client_id == client_id,
        INVOICES.c.id > 0,
        INVOICES.c.currency_iso == currency,
        INVOICES.c.voided.is_(False),
        INVOICES.c.invoicetype.in_((InvoiceKind.INVOICE.value, InvoiceKind.CREDIT_NOTE.value)),
    ]


def _of_payments(client_id: int, currency: str) -> Conditions:
    """Money; a payment by credit note moves none, and the note itself is an entry."""
    return [
        PAYMENTS.c.client_id == client_id,
        PAYMENTS.c.currency_iso == currency,
        PAYMENTS.c.counted > 0,
        PAYMENTS.c.credit_note_id.is_(None),
    ]


async def _balance_before(
    tx: Tx, since: datetime, invoices: Conditions, payments: Conditions
) -> Decimal:
    is_credit = INVOICES.c.invoicetype == InvoiceKind.CREDIT_NOTE.value
    charged = await _sum(
        tx, INVOICES, "total", *invoices, ~is_credit, INVOICES.c.invoice_date < since
    )
    credited = await tx.scalar(
        select(func.sum(func.abs(INVOICES.c.total))).where(
            *invoices, is_credit, INVOICES.c.invoice_date < since
        )
    )
    paid = await _sum(tx, PAYMENTS, "counted", *payments, PAYMENTS.c.date < since)
    return charged - (credited or Decimal(0)) - paid


async def _sum(tx: Tx, table: Table, name: str, *conditions: ColumnElement[bool]) -> Decimal:
    found: Decimal | None = await tx.scalar(select(func.sum(table.c[name])).where(*conditions))
    return found or Decimal(0)


async def _load_entries(
    tx: Tx,
    bounds: tuple[datetime, datetime],
    invoices: Conditions,
    payments: Conditions,
    zone: str,
) -> list[StatementEntry]:
    since, until = bounds
    charged = await tx.execute(
        select(INVOICES)
        .where(*invoices, INVOICES.c.invoice_date >= since, INVOICES.c.invoice_date < until)
        .order_by(INVOICES.c.invoice_date, INVOICES.c.id)
        .limit(ENTRIES_MAX + 1)
    )
    paid = await tx.execute(
        select(PAYMENTS)
        .where(*payments, PAYMENTS.c.date >= since, PAYMENTS.c.date < until)
        .order_by(PAYMENTS.c.date, PAYMENTS.c.id)
        .limit(ENTRIES_MAX + 1)
    )
    entries = [_charge(one, zone) for one in charged] + [_payment(one, zone) for one in paid]
    if len(entries) > ENTRIES_MAX:
        raise Refused(f"the statement has more than {ENTRIES_MAX} entries; take a shorter period")
    # Of one day, what is charged stands before what pays it.
    return sorted(entries, key=lambda one: (one.day, one.amount <= 0))


def _charge(row: Record, zone: str) -> StatementEntry:
    is_credit = row.invoicetype == InvoiceKind.CREDIT_NOTE
    return StatementEntry(
        day=day_of(row.invoice_date, zone) or row.invoice_date.date(),
        kind=StatementEntryKind.CREDIT_NOTE if is_credit else StatementEntryKind.INVOICE,
        number=row.invoicenumber or str(row.id),
        amount=-abs(row.total) if is_credit else row.total,
    )


def _payment(row: Record, zone: str) -> StatementEntry:
    return StatementEntry(
        day=day_of(row.date, zone) or row.date.date(),
        kind=StatementEntryKind.PAYMENT,
        number=row.payment_method_name or row.reference or "",
        amount=-row.counted,
    )


async def _open_by_age(tx: Tx, invoices: Conditions, today: date) -> list[Decimal]:
    """The amounts due now, by the days since they were due; without a due day they are not."""
    sums = []
    for place in range(len(AGES) + 1):
        conditions: Conditions = [*invoices, INVOICES.c.amountdue > 0]
        # Bucket 0 is not due, the last one is without an end.
        if place == 0:
            conditions.append(INVOICES.c.duedate.is_(None) | (INVOICES.c.duedate >= today))
        else:
            conditions.append(INVOICES.c.duedate < today - timedelta(days=AGES[place - 1]))
        if 0 < place < len(AGES):
            conditions.append(INVOICES.c.duedate >= today - timedelta(days=AGES[place]))
        sums.append(await _sum(tx, INVOICES, "amountdue", *conditions))
    return sums
