"""All that is known of one PaymentIntent, read from indexes for its page."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select

from app.ledger import payout_lines
from app.ledger.payout_lines import PaymentMovement
from app.ledger.reversals import ReversalRow
from app.rules import money
from app.rules.payment import ReversalKind
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.charge_attempts import ChargeAttempt, ChargeAttemptShare
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice, InvoiceChange
from app.storage.tables.stripe_events import StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_payouts import StripePayout
from app.storage.tables.stripe_refund_requests import RefundRequest
from app.storage.tables.stripe_reversals import StripeReversal

INTENTS = table_of(StripePayment)
SHARES = table_of(InvoicePayment)
INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)
ATTEMPTS = table_of(ChargeAttempt)
ATTEMPT_SHARES = table_of(ChargeAttemptShare)
EVENTS = table_of(StripeEvent)
REQUESTS = table_of(RefundRequest)
REVERSALS = table_of(StripeReversal)
PAYOUTS = table_of(StripePayout)
CHANGES = table_of(InvoiceChange)

# More of one kind than anybody reads on one page; the newest are shown.
ROWS_MAX = 200
# Entries of an invoice's history that are about its money.
_HISTORY = ("payments", "payment_retry", "note")


class IntentRow(NamedTuple):
    """A PaymentIntent as Stripe reports it."""

    intent_id: str
    state: int
    state_at: datetime
    amount: Decimal
    currency_iso: str
    amount_refunded: Decimal
    amount_lost: Decimal
    disputed: bool
    client_id: int | None
    stripe_customer_id: str | None
    payment_method_name: str | None
    charge_id: str | None
    reason: str | None
    awaits: str | None
    claimed_invoice_id: int | None
    evidence: str | None
    intent_date: datetime | None


class AllocatedShare(NamedTuple):
    """The part of a payment that one invoice has, or none has."""

    id: int
    invoice_id: int | None
    client_id: int | None
    amount: Decimal
    counted: Decimal
    status: int
    evidence: str | None
    invoicenumber: str | None
    amountdue: Decimal | None
    duedate: date | None


class AttemptRow(NamedTuple):
    """One try of ours on this intent."""

    id: int
    invoice_id: int
    number: int
    state: str
    step: str
    amount_minor: int
    currency: str
    client_id: int | None
    customer_id: str
    payment_method_id: str | None
    created_at: datetime
    confirm_sent_at: datetime | None
    finished_at: datetime | None
    check_at: datetime | None
    code: str | None
    decline_code: str | None
    reason: str | None
    next_try_on: date | None

    @property
    def amount(self) -> Decimal:
        return money.from_minor(self.amount_minor, self.currency)


class HeardEvent(NamedTuple):
    """An event about this intent, without its body."""

    id: int
    event_id: str
    type: str
    object_id: str | None
    created_at: datetime
    received_at: datetime
    source: str
    state: str
    tries: int
    next_try_at: datetime | None
    error: str | None


class RequestedRefund(NamedTuple):
    """A refund that a person asked us for."""

    id: int
    invoice_id: int | None
    amount_minor: int
    currency: str
    reason: str
    who: str
    state: str
    refund_id: str | None
    created_at: datetime
    said: str | None

    @property
    def amount(self) -> Decimal:
        return money.from_minor(self.amount_minor, self.currency)


class HoldingPayout(NamedTuple):
    """The payout that holds a movement of this payment."""

    payout_id: str
    status: str
    arrival_date: date


class HistoryEntry(NamedTuple):
    """A change that a person or a run made to an invoice of this payment."""

    id: int
    invoice_id: int | None
    field_name: str | None
    old_value: str | None
    new_value: str | None
    who: str | None
    datetime: datetime | None


class PaymentDetails(NamedTuple):
    """Everything about one PaymentIntent. `intent` is None for one that only events name."""

    intent_id: str
    intent: IntentRow | None
    client_id: int | None
    client_name: str | None
    shares: Sequence[AllocatedShare]
    attempts: Sequence[AttemptRow]
    events: Sequence[HeardEvent]
    requests: Sequence[RequestedRefund]
    reversals: Sequence[ReversalRow]
    movements: Sequence[PaymentMovement]
    payouts: Sequence[HoldingPayout]
    history: Sequence[HistoryEntry]

    @property
    def currency(self) -> str:
        if self.intent is not None:
            return self.intent.currency_iso
        return self.attempts[0].currency if self.attempts else "usd"


async def load_payment_details(tx: Tx, intent_id: str) -> PaymentDetails | None:
    """Everything known of an intent; None when nothing has ever named it."""
    intent = await _intent(tx, intent_id)
    attempts = await _attempts(tx, intent_id)
    events = await _events(tx, intent_id)
    if intent is None and not attempts and not events:
        return None
    shares = await _shares(tx, intent_id)
    client_id = _client_of(intent, shares, attempts)
    movements = await payout_lines.list_movements(tx, [intent_id])
    invoice_ids = {one.invoice_id for one in shares if one.invoice_id is not None}
    invoice_ids |= {one.invoice_id for one in attempts}
    return PaymentDetails(
        intent_id=intent_id,
        intent=intent,
        client_id=client_id,
        client_name=await tx.scalar(select(CLIENTS.c.name).where(CLIENTS.c.id == client_id))
        if client_id
        else None,
        shares=shares,
        attempts=attempts,
        events=events,
        requests=await _requests(tx, intent_id),
        reversals=await _reversals(tx, intent_id),
        movements=movements,
        payouts=await _payouts(tx, {one.payout_id for one in movements if one.payout_id}),
        history=await _history(tx, invoice_ids, intent_id),
    )


def _client_of(
    intent: IntentRow | None, shares: Sequence[AllocatedShare], attempts: Sequence[AttemptRow]
) -> int | None:
    known = [intent.client_id] if intent is not None else []
    known += [one.client_id for one in shares]
    known += [one.client_id for one in attempts]
    return next((one for one in known if one is not None), None)


async def _intent(tx: Tx, intent_id: str) -> IntentRow | None:
    wanted = select(*projection(INTENTS, IntentRow)).where(INTENTS.c.intent_id == intent_id)
    row = (await tx.execute(wanted)).one_or_none()
    return IntentRow._make(row) if row else None


async def _shares(tx: Tx, intent_id: str) -> list[AllocatedShare]:
    own = [SHARES.c[name] for name in AllocatedShare._fields[:7]]
    invoice = [INVOICES.c[name] for name in AllocatedShare._fields[7:]]
    wanted = (
        select(*own, *invoice)
        .join_from(SHARES, INVOICES, INVOICES.c.id == SHARES.c.invoice_id, isouter=True)
        .where(SHARES.c.intent_id == intent_id)
        .order_by(SHARES.c.invoice_id.is_(None), SHARES.c.invoice_id)
        .limit(ROWS_MAX)
    )
    return [AllocatedShare._make(row) for row in await tx.execute(wanted)]


async def _attempts(tx: Tx, intent_id: str) -> list[AttemptRow]:
    wanted = select(*projection(ATTEMPTS, AttemptRow)).where(ATTEMPTS.c.intent_id == intent_id)
    rows = await tx.execute(wanted.order_by(ATTEMPTS.c.id.desc()).limit(ROWS_MAX))
    return [AttemptRow._make(row) for row in rows]


async def _events(tx: Tx, intent_id: str) -> list[HeardEvent]:
    wanted = select(*projection(EVENTS, HeardEvent)).where(EVENTS.c.intent_id == intent_id)
    rows = await tx.execute(wanted.order_by(EVENTS.c.id.desc()).limit(ROWS_MAX))
    return [HeardEvent._make(row) for row in rows]


async def _requests(tx: Tx, intent_id: str) -> list[RequestedRefund]:
    wanted = select(*projection(REQUESTS, RequestedRefund)).where(REQUESTS.c.intent_id == intent_id)
    rows = await tx.execute(wanted.order_by(REQUESTS.c.id.desc()).limit(ROWS_MAX))
    return [RequestedRefund._make(row) for row in rows]


async def _reversals(tx: Tx, intent_id: str) -> list[ReversalRow]:
    wanted = select(*projection(REVERSALS, ReversalRow)).where(
        REVERSALS.c.intent_id == intent_id, REVERSALS.c.kind != ReversalKind.CHARGE
    )
    rows = await tx.execute(wanted.order_by(REVERSALS.c.id).limit(ROWS_MAX))
    return [ReversalRow._make(row) for row in rows]


async def _payouts(tx: Tx, payout_ids: Collection[str]) -> list[HoldingPayout]:
    if not payout_ids:
        return []
    wanted = select(*projection(PAYOUTS, HoldingPayout)).where(PAYOUTS.c.payout_id.in_(payout_ids))
    rows = await tx.execute(wanted.order_by(PAYOUTS.c.arrival_date, PAYOUTS.c.id))
    return [HoldingPayout._make(row) for row in rows]


async def _history(tx: Tx, invoice_ids: Collection[int], intent_id: str) -> list[HistoryEntry]:
    """Changes by hand of these invoices: those that name this intent, and those of all money."""
    if not invoice_ids:
        return []
    wanted = (
        select(*projection(CHANGES, HistoryEntry))
        .where(CHANGES.c.invoice_id.in_(invoice_ids), CHANGES.c.field_name.in_(_HISTORY))
        .order_by(CHANGES.c.id.desc())
        .limit(ROWS_MAX)
    )
    rows = [HistoryEntry._make(row) for row in await tx.execute(wanted)]
    return [one for one in rows if one.field_name != "payments" or _names(one, intent_id)]


def _names(one: HistoryEntry, intent_id: str) -> bool:
    texts = (one.old_value or "", one.new_value or "")
    return any(intent_id in text or "pi_" not in text for text in texts if text)
