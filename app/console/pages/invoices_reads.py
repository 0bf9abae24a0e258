"""The list of invoices, and all that one invoice's page shows."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, or_, select

from app.console.language import N_, _
from app.console.pages.listing import FilterField, RowCondition, Window
from app.console.pages.payments_reads import find_clients
from app.console.pages.wording import (
    InvoiceFacts,
    ViewerTime,
)
from app.rules.invoice import InvoicePaymentStatus
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.fulltext import TRIGRAM, search_parameters
from app.storage.prepared import projection
from app.storage.tables.charge_attempts import ChargeAttempt, ChargeAttemptShare
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import INVOICE_SEARCH, Invoice, InvoiceChange, InvoiceLine

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)
CLIENTS = table_of(Client)
SHARES = table_of(InvoicePayment)
ATTEMPTS = table_of(ChargeAttempt)
ATTEMPT_SHARES = table_of(ChargeAttemptShare)
CHANGES = table_of(InvoiceChange)

# An invoice with more lines, payments or changes is read through the API; the page shows these.
ROWS_MAX = 100
NUMBERED_MAX = 200

_STATES = (
    ("open", N_("Open")),
    ("overdue", N_("Overdue")),
    ("autopay", N_("Flagged for autopay")),
    ("person", N_("Needs a person")),
    ("paid", N_("Paid")),
    ("voided", N_("Voided")),
)
FIELDS = (
    FilterField("state", N_("State"), _STATES),
    FilterField("days", N_("Made in the last days"), hint="30"),
    FilterField("client", N_("Client"), hint=N_("name or id")),
    FilterField("number", N_("Number"), hint="INV-1001"),
    FilterField("currency", N_("Currency"), hint="EUR"),
)
VIEWS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (N_("All"), {}),
    (N_("Open"), {"state": "open"}),
    (N_("Overdue"), {"state": "overdue"}),
    (N_("Needs a person"), {"state": "person"}),
    (N_("Paid"), {"state": "paid"}),
)
_FACTS = (
    "voided", "paymentstatus", "amountdue", "payments_pending", "payments_reversed",
    "take_auto_payment", "include_in_autopay", "duedate",
)  # fmt: skip


def _facts(row: "ListedInvoice | InvoiceHeader") -> InvoiceFacts:
    return InvoiceFacts(
        row.voided,
        row.paymentstatus,
        row.amountdue,
        row.payments_pending,
        row.payments_reversed,
        row.take_auto_payment or row.include_in_autopay,
        row.duedate,
    )


class ListedInvoice(NamedTuple):
    """An invoice as a row of the list."""

    id: int
    invoicenumber: str | None
    client_id: int | None
    total: Decimal
    amountdue: Decimal
    currency_iso: str
    voided: bool
    paymentstatus: int
    payments_pending: int
    payments_reversed: int
    take_auto_payment: bool
    include_in_autopay: bool
    duedate: date | None
    invoice_date: datetime | None
    client_name: str | None

    @property
    def facts(self) -> InvoiceFacts:
        return _facts(self)


async def invoices_window(
    tx: Tx, values: Mapping[str, str], times: ViewerTime
) -> tuple[Window, list[str]]:
    """The window of the filters, and what is wrong with those that could not be read."""
    errors: list[str] = []
    base: list[ColumnElement[bool]] = [INVOICES.c.id > 0]
    if "client" in values:
        base.append(INVOICES.c.client_id.in_(await find_clients(tx, values["client"])))
    if "number" in values:
        base.append(INVOICES.c.id.in_(await _numbered(tx, values["number"])))
    wanted: list[RowCondition] = []
    if "state" in values:
        wanted.append(_of_state(values["state"], times.today))
    if "currency" in values:
        currency = values["currency"].lower()
        wanted.append(lambda one: one["currency_iso"] == currency)
    given = values.get("days", "")
    if given and given.isascii() and given.isdigit() and 0 < int(given) < 10_000:
        since = times.now - timedelta(days=int(given))
        wanted.append(lambda one: one["invoice_date"] >= since)
    elif given:
        errors.append(_("Made in the last days: %(given)s is no number of days", given=given))
    return Window(INVOICES, base, wanted, _FACTS, "amountdue", "invoice_date"), errors


def _of_state(state: str, today: date) -> RowCondition:
    def condition(one: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
        is_open = and_(
            one["amountdue"] > 0,
            one["paymentstatus"] != InvoicePaymentStatus.PAID,
            one["voided"].is_(False),
        )
        match state:
            case "open":
                return is_open
            case "overdue":
                return and_(is_open, one["duedate"] < today)
            case "autopay":
                flags = or_(one["take_auto_payment"].is_(True), one["include_in_autopay"].is_(True))
                return and_(is_open, flags)
            case "person":
                return one["payments_reversed"] > 0
            case "paid":
                return one["paymentstatus"] == InvoicePaymentStatus.PAID
        return one["voided"].is_(True)

    return condition


async def _numbered(tx: Tx, given: str) -> list[int]:
    if len(given) < TRIGRAM:
        same = INVOICES.c.invoicenumber == given
        return list(await tx.scalars(select(INVOICES.c.id).where(same).limit(NUMBERED_MAX)))
    wanted = select(INVOICES.c.id).where(INVOICE_SEARCH.holds("q")).limit(NUMBERED_MAX)
    return list(await tx.scalars(wanted, search_parameters("q", given)))


async def load_listed_invoices(tx: Tx, ids: Collection[int]) -> list[ListedInvoice]:
    own = [INVOICES.c[name] for name in ListedInvoice._fields[:-1]]
    wanted = (
        select(*own, CLIENTS.c.name.label("client_name"))
        .join_from(INVOICES, CLIENTS, CLIENTS.c.id == INVOICES.c.client_id, isouter=True)
        .where(INVOICES.c.id.in_(ids))
        .order_by(INVOICES.c.id.desc())
    )
    return [ListedInvoice._make(row) for row in await tx.execute(wanted)]


# --- one invoice -------------------------------------------------------------------------------


class InvoiceHeader(NamedTuple):
    """The part of an invoice that its page shows above the lines."""

    id: int
    invoicenumber: str | None
    client_id: int | None
    reference: str | None
    internal_note: str | None
    invoicetype: int
    is_recurring_invoice: bool
    voided: bool
    posted: bool
    invoice_date: datetime | None
    duedate: date | None
    datepaid: datetime | None
    currency_iso: str
    total: Decimal
    tax_total: Decimal
    amountpaid: Decimal
    amountdue: Decimal
    paymentstatus: int
    payments_pending: int
    payments_reversed: int
    take_auto_payment: bool
    include_in_autopay: bool
    change_seq: int

    @property
    def facts(self) -> InvoiceFacts:
        return _facts(self)

    @property
    def name(self) -> str:
        return self.invoicenumber or _("Invoice %(invoice_id)s", invoice_id=self.id)


class InvoiceLineRow(NamedTuple):
    """A line of an invoice."""

    item_shortdescription: str | None
    qty_order: Decimal
    unit_price: Decimal
    discount_perc: Decimal
    tax_rate: Decimal
    price_includes_tax: bool
    isinactive: bool


class ClientOfInvoice(NamedTuple):
    """The client of an invoice."""

    id: int
    name: str
    inactive: bool
    stripe_customer_id: str | None
    stripe_payment_method_name: str | None


class InvoiceTry(NamedTuple):
    """An attempt to charge this invoice, alone or together with others."""

    id: int
    number: int
    state: str
    amount_minor: int
    currency: str
    intent_id: str | None
    created_at: datetime
    finished_at: datetime | None
    code: str | None
    decline_code: str | None
    reason: str | None
    next_try_on: date | None
    is_consolidated: bool | None


class InvoiceChangeRow(NamedTuple):
    """An entry of an invoice's history."""

    id: int
    field_name: str | None
    old_value: str | None
    new_value: str | None
    who: str | None
    datetime: datetime | None


class InvoiceDetails(NamedTuple):
    """Everything that one invoice's page shows."""

    header: InvoiceHeader
    client: ClientOfInvoice | None
    lines: Sequence[InvoiceLineRow]
    payment_ids: Sequence[int]
    tries: Sequence[InvoiceTry]
    changes: Sequence[InvoiceChangeRow]


async def load_invoice_header(tx: Tx, invoice_id: int) -> InvoiceHeader | None:
    wanted = select(*projection(INVOICES, InvoiceHeader)).where(
        INVOICES.c.id == invoice_id, INVOICES.c.id > 0
    )
    row = (await tx.execute(wanted)).one_or_none()
    return InvoiceHeader._make(row) if row else None


async def load_invoice_details(tx: Tx, invoice_id: int) -> InvoiceDetails | None:
    header = await load_invoice_header(tx, invoice_id)
    if header is None:
        return None
    payments = select(SHARES.c.id).where(SHARES.c.invoice_id == invoice_id)
    return InvoiceDetails(
        header,
        await _client(tx, header.client_id),
        await _lines(tx, invoice_id),
        list(await tx.scalars(payments.order_by(SHARES.c.id.desc()).limit(ROWS_MAX))),
        await _tries(tx, invoice_id),
        await _changes(tx, invoice_id),
    )


async def _client(tx: Tx, client_id: int | None) -> ClientOfInvoice | None:
    if client_id is None:
        return None
    wanted = select(*projection(CLIENTS, ClientOfInvoice)).where(CLIENTS.c.id == client_id)
    row = (await tx.execute(wanted)).one_or_none()
    return ClientOfInvoice._make(row) if row else None


async def _lines(tx: Tx, invoice_id: int) -> list[InvoiceLineRow]:
    wanted = select(*projection(LINES, InvoiceLineRow)).where(LINES.c.ihid == invoice_id)
    rows = await tx.execute(wanted.order_by(LINES.c.sequenceid, LINES.c.id).limit(ROWS_MAX))
    return [InvoiceLineRow._make(row) for row in rows]


async def _tries(tx: Tx, invoice_id: int) -> list[InvoiceTry]:
    together = select(ATTEMPT_SHARES.c.attempt_id).where(ATTEMPT_SHARES.c.invoice_id == invoice_id)
    wanted = select(*projection(ATTEMPTS, InvoiceTry)).where(
        or_(ATTEMPTS.c.invoice_id == invoice_id, ATTEMPTS.c.id.in_(together))
    )
    rows = await tx.execute(wanted.order_by(ATTEMPTS.c.id.desc()).limit(ROWS_MAX))
    return [InvoiceTry._make(row) for row in rows]


async def _changes(tx: Tx, invoice_id: int) -> list[InvoiceChangeRow]:
    wanted = select(*projection(CHANGES, InvoiceChangeRow)).where(
        CHANGES.c.invoice_id == invoice_id
    )
    rows = await tx.execute(wanted.order_by(CHANGES.c.id.desc()).limit(ROWS_MAX))
    return [InvoiceChangeRow._make(row) for row in rows]
