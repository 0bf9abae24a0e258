"""The invoices on the page of a link: what is due, and whether each can be paid now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import bindparam, literal_column, select

from app.errors import AmountNotAllowed
from app.ledger.pay_links import StoredPayLink
from app.payments.autopay import holds
from app.payments.autopay.candidates import CLIENTS, INVOICES, Candidate, find_candidates
from app.rules import money
from app.rules.attempt import AttemptState
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement
from app.storage.tables.invoices import HAS_AMOUNT_DUE

# Stripe's page has so many lines at most. Who owes more invoices pays the oldest first.
INVOICES_MAX = 100


class PayState(StrEnum):
    """Whether an invoice can be paid by its link now, and what it waits for otherwise."""

    DUE = "due"
    PAID = "paid"
    VOIDED = "voided"
    # An automatic charge has begun, or its answer is missing.
    CHARGING = "charging"
    # A bank debit is under way: days.
    PROCESSING = "processing"
    # A payment was refunded or is disputed: a person decides.
    REVERSED = "reversed"
    # A payment that was begun elsewhere, or that nobody has assigned yet, may be for it.
    AWAITED = "awaited"
    # Stripe takes no such amount.
    NOT_ONLINE = "not_online"


@dataclass(frozen=True, slots=True)
class PayableInvoice:
    """An invoice on the page of a link."""

    candidate: Candidate
    state: PayState

    @property
    def invoice_id(self) -> int:
        return self.candidate.invoice_id

    @property
    def number(self) -> str:
        return self.candidate.invoicenumber or str(self.candidate.invoice_id)

    @property
    def due_on(self) -> date | None:
        return self.candidate.duedate

    @property
    def amount(self) -> Decimal:
        return self.candidate.amount

    @property
    def currency(self) -> str:
        return self.candidate.currency

    @property
    def amount_minor(self) -> int:
        """In Stripe's minor units; only of one that is due."""
        return money.to_minor(self.amount, self.currency)


@dataclass(frozen=True, slots=True)
class Owed:
    """All that a link shows. `has_more` where the client owes more invoices than one page pays."""

    invoices: Sequence[PayableInvoice]
    client_name: str | None
    customer_id: str | None
    has_more: bool = False

    def due(self, currency: str) -> list[PayableInvoice]:
        """The invoices of a currency that can be paid now, the oldest first."""
        return [
            one for one in self.invoices if one.state == PayState.DUE and one.currency == currency
        ]

    def currencies(self) -> list[str]:
        """The currencies in which something can be paid now."""
        return sorted({one.currency for one in self.invoices if one.state == PayState.DUE})


async def load_owed(tx: Tx, link: StoredPayLink) -> Owed:
    """All that the link shows now."""
    ids, has_more = await _invoice_ids(tx, link)
    found = await find_candidates(tx, ids)
    candidates = [found[one] for one in ids if one in found]
    client_id = link.client_id or next((one.client_id for one in candidates), None)
    client = (await _CLIENT.all(tx, client_id=client_id))[:1] if client_id else []
    return Owed(
        await with_states(tx, candidates),
        client[0].name if client else None,
        (client[0].stripe_customer_id or None) if client else None,
        has_more,
    )


async def with_states(tx: Tx, candidates: Sequence[Candidate]) -> list[PayableInvoice]:
    """Invoices, each with whether it can be paid now."""
    held = await holds.find_holds(tx, candidates)
    return [PayableInvoice(one, _state(one, is_held=one.invoice_id in held)) for one in candidates]


def _state(one: Candidate, *, is_held: bool) -> PayState:
    last = one.last.state if one.last else None
    if one.voided:
        return PayState.VOIDED
    if one.pending or last == AttemptState.PROCESSING:
        return PayState.PROCESSING
    if one.amount <= 0:
        return PayState.PAID
    if last in (AttemptState.OPEN, AttemptState.UNKNOWN):
        return PayState.CHARGING
    if one.reversed:
        return PayState.REVERSED
    if is_held:
        return PayState.AWAITED
    try:
        money.to_minor(one.amount, one.currency)
    except AmountNotAllowed:
        return PayState.NOT_ONLINE
    return PayState.DUE


async def _invoice_ids(tx: Tx, link: StoredPayLink) -> tuple[Sequence[int], bool]:
    if link.invoice_id is not None:
        return [link.invoice_id], False
    ids = [row.id for row in await _OF_CLIENT.all(tx, client_id=link.client_id)]
    return ids[:INVOICES_MAX], len(ids) > INVOICES_MAX


def set_aside(owed: Iterable[PayableInvoice], invoice_ids: Iterable[int]) -> list[PayableInvoice]:
    """The invoices, of which these wait for a payment that only Stripe knows of."""
    waiting = set(invoice_ids)
    return [
        PayableInvoice(one.candidate, PayState.AWAITED)
        if one.invoice_id in waiting and one.state == PayState.DUE
        else one
        for one in owed
    ]


class _InvoiceId(NamedTuple):
    id: int


class _Client(NamedTuple):
    name: str
    stripe_customer_id: str | None


_CLIENT = PreparedStatement(
    select(CLIENTS.c.name, CLIENTS.c.stripe_customer_id).where(
        CLIENTS.c.id == bindparam("client_id")
    ),
    _Client,
)
_OF_CLIENT = PreparedStatement(
    select(INVOICES.c.id)
    .where(
        INVOICES.c.client_id == bindparam("client_id"),
        INVOICES.c.is_recurring_invoice.is_(False),
        INVOICES.c.voided.is_(False),
        HAS_AMOUNT_DUE,
        INVOICES.c.amountdue > 0,
    )
    .order_by(INVOICES.c.duedate, INVOICES.c.id)
    .limit(literal_column(str(INVOICES_MAX + 1))),
    _InvoiceId,
)
