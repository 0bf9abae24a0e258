"""The list of payments for support: by status, days and client, the newest first."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, or_, select

from app.rules.payment import PaymentStatus
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_payments import StripePayment

SHARES = table_of(InvoicePayment)
INTENTS = table_of(StripePayment)
INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)

# Money that counts and that no invoice has: no status of Stripe's, but the one that is asked for.
UNAPPLIED = "unapplied"
STATUSES = (*(status.name.lower() for status in PaymentStatus), UNAPPLIED)
PAGE = 500


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """The payments that are wanted: of the named statuses, or of all where there is none."""

    statuses: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None  # exclusive
    client: str | None = None  # its id, a part of its name, or its Stripe customer

    def conditions(self) -> list[ColumnElement[bool]]:
        found = []
        if self.since is not None:
            found.append(SHARES.c.date >= self.since)
        if self.until is not None:
            found.append(SHARES.c.date < self.until)
        if self.statuses:
            found.append(or_(*map(_has_status, self.statuses)))
        if self.client is not None:
            found.append(_is_of(self.client))
        return found


def _has_status(name: str) -> ColumnElement[bool]:
    if name == UNAPPLIED:
        return SHARES.c.invoice_id.is_(None) & (SHARES.c.counted > 0)
    return SHARES.c.status == PaymentStatus[name.upper()]


def _is_of(client: str) -> ColumnElement[bool]:
    customer = INTENTS.c.stripe_customer_id == client
    if client.isdecimal():
        return SHARES.c.client_id == int(client)
    named = func.lower(CLIENTS.c.name).contains(client.lower(), autoescape=True)
    return or_(customer, CLIENTS.c.stripe_customer_id == client, named)


class PaymentRow(NamedTuple):
    """An invoice's share of a payment, or the share that no invoice has."""

    id: int
    date: datetime
    status: int
    amount: Decimal
    currency: str
    counted: Decimal
    amount_refunded: Decimal
    intent_id: str | None
    invoice_id: int | None
    invoicenumber: str | None
    client_id: int | None
    client_name: str | None
    payment_method_name: str | None
    reason: str | None

    @property
    def status_name(self) -> str:
        if self.invoice_id is None and self.counted > 0:
            return UNAPPLIED
        return PaymentStatus(self.status).name.lower()


async def iterate_payments(tx: Tx, wanted: PaymentFilter) -> AsyncIterator[PaymentRow]:
    """The payments of a filter, page by page, so that memory stays flat."""
    before: int | None = None
    while True:
        page = _ROWS.where(*wanted.conditions()).order_by(SHARES.c.id.desc()).limit(PAGE)
        if before is not None:
            page = page.where(SHARES.c.id < before)
        found = [PaymentRow._make(row) for row in await tx.execute(page)]
        for row in found:
            yield row
        if len(found) < PAGE:
            return
        before = found[-1].id


_ROWS = (
    select(
        SHARES.c.id,
        SHARES.c.date,
        SHARES.c.status,
        SHARES.c.amount,
        SHARES.c.currency_iso,
        SHARES.c.counted,
        SHARES.c.amount_refunded,
        SHARES.c.intent_id,
        SHARES.c.invoice_id,
        INVOICES.c.invoicenumber,
        func.coalesce(SHARES.c.client_id, INTENTS.c.client_id, INVOICES.c.client_id),
        CLIENTS.c.name,
        SHARES.c.payment_method_name,
        INTENTS.c.reason,
    )
    .outerjoin_from(SHARES, INTENTS, INTENTS.c.intent_id == SHARES.c.intent_id)
    .outerjoin(INVOICES, INVOICES.c.id == SHARES.c.invoice_id)
    .outerjoin(
        CLIENTS,
        CLIENTS.c.id
        == func.coalesce(SHARES.c.client_id, INTENTS.c.client_id, INVOICES.c.client_id),
    )
)
