"""The rows of PaymentIntents: found, locked and written for settlement, a batch at a time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypedDict

from sqlalchemy import select, union_all, update

from app.rules import money
from app.rules.claim import Evidence
from app.rules.payment import FINAL, Payment, PaymentState, ReversedTotal
from app.storage.bulk_writes import BulkInsert, BulkUpdate, TableWrite
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.tables.charge_attempts import ChargeAttempt, ChargeAttemptShare
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.stripe_payments import StripePayment

INTENTS = table_of(StripePayment)
SHARES = table_of(InvoicePayment)
CLIENTS = table_of(Client)
ATTEMPTS = table_of(ChargeAttempt)
PARTS = table_of(ChargeAttemptShare)

# An intent that has not ended is asked about after so long without news of it.
CHECK_AFTER = timedelta(minutes=10)


class StripePaymentRow(NamedTuple):
    """All that is known of a PaymentIntent."""

    intent_id: str
    claimed_invoice_id: int | None
    evidence: str | None
    client_id: int | None
    amount: Decimal
    amount_capturable: Decimal
    currency_iso: str
    intent_date: datetime | None
    intent_response: str | None
    webhook_event_id: str | None
    state: int
    state_at: datetime
    reason: str | None
    awaits: str | None
    attempt: int | None
    charge_id: str | None
    stripe_customer_id: str | None
    payment_method_name: str | None
    amount_refunded: Decimal
    amount_lost: Decimal
    disputed: bool


_COLUMNS = projection(INTENTS, StripePaymentRow)
_BY_INTENT = select(*_COLUMNS).where(any_of(INTENTS.c.intent_id, "intents"))
_IN_ORDER = _BY_INTENT.order_by(INTENTS.c.intent_id).with_for_update()
_FIND = PreparedStatement(_BY_INTENT, StripePaymentRow)
_LOCK = PreparedStatement(_IN_ORDER, StripePaymentRow)


class _IntentId(NamedTuple):
    intent_id: str


_HAS_UNAPPLIED_MONEY = INTENTS.c.intent_id.in_(
    select(SHARES.c.intent_id).where(
        SHARES.c.intent_id == INTENTS.c.intent_id, SHARES.c.invoice_id.is_(None)
    )
)
# Whoever names a customer who has paid for years waits for this many at a time.
_PAGE = 200
_WITHOUT_CLIENT = PreparedStatement(
    select(INTENTS.c.intent_id)
    .where(
        any_of(INTENTS.c.stripe_customer_id, "customers"),
        INTENTS.c.client_id.is_(None),
        INTENTS.c.stripe_customer_id.in_(select(CLIENTS.c.stripe_customer_id)),
    )
    .order_by(INTENTS.c.intent_id)
    .limit(_PAGE),
    _IntentId,
)
_PARTS_OF_ATTEMPTS = PARTS.join(ATTEMPTS, ATTEMPTS.c.id == PARTS.c.attempt_id)
# A consolidated charge claims its first invoice; the others stand with its attempt.
_CLAIMED = INTENTS.alias()
_FOR_INVOICES = union_all(
    select(_CLAIMED.c.intent_id).where(any_of(_CLAIMED.c.claimed_invoice_id, "ids")),
    select(ATTEMPTS.c.intent_id)
    .select_from(_PARTS_OF_ATTEMPTS)
    .where(any_of(PARTS.c.invoice_id, "ids")),
)
_UNAPPLIED = PreparedStatement(
    select(INTENTS.c.intent_id)
    .where(INTENTS.c.intent_id.in_(_FOR_INVOICES), _HAS_UNAPPLIED_MONEY)
    .order_by(INTENTS.c.intent_id),
    _IntentId,
)


class _Part(NamedTuple):
    """The part of a consolidated charge that is for one invoice."""

    intent_id: str
    invoice_id: int
    amount_minor: int
    currency: str


_PARTS = PreparedStatement(
    select(ATTEMPTS.c.intent_id, PARTS.c.invoice_id, PARTS.c.amount_minor, ATTEMPTS.c.currency)
    .select_from(_PARTS_OF_ATTEMPTS)
    .where(any_of(ATTEMPTS.c.intent_id, "intents")),
    _Part,
)


async def find(tx: Tx, intents: Sequence[str]) -> dict[str, Payment]:
    return _by_intent(await _FIND.all(tx, intents=intents))


async def lock(tx: Tx, intents: Sequence[str]) -> dict[str, Payment]:
    """The payments that are known, locked in the order of their intents."""
    return _by_intent(await _LOCK.all(tx, intents=intents))


async def find_unapplied_claims(tx: Tx, invoice_ids: Iterable[int]) -> list[str]:
    """The intents that are for one of these invoices and have money that no invoice has."""
    found = await _UNAPPLIED.all(tx, ids=sorted(invoice_ids))
    return [row.intent_id for row in found]


async def find_without_client(tx: Tx, customers: Collection[str]) -> list[str]:
    """Some of the intents of these Stripe customers that no client has, though one has the
    customer; none is left once all are booked."""
    if not customers:
        return []
    found = await _WITHOUT_CLIENT.all(tx, customers=sorted(customers))
    return [row.intent_id for row in found]


async def load_planned(tx: Tx, intents: Sequence[str]) -> dict[str, dict[int, Decimal]]:
    """By intent, the parts of consolidated charges as they were made."""
    planned: dict[str, dict[int, Decimal]] = {}
    for row in await _PARTS.all(tx, intents=intents):
        amount = money.from_minor(row.amount_minor, row.currency)
        planned.setdefault(row.intent_id, {})[row.invoice_id] = amount
    return planned


def _by_intent(rows: Iterable[StripePaymentRow]) -> dict[str, Payment]:
    return {row.intent_id: _payment(row) for row in rows}


def _payment(row: StripePaymentRow) -> Payment:
    return Payment(
        intent_id=row.intent_id,
        state=PaymentState(row.state),
        state_at=row.state_at,
        amount=row.amount,
        currency=row.currency_iso,
        intent_at=row.intent_date,
        claimed_invoice_id=row.claimed_invoice_id,
        evidence=Evidence(row.evidence) if row.evidence else None,
        client_id=row.client_id,
        attempt=row.attempt,
        charge_id=row.charge_id,
        customer_id=row.stripe_customer_id,
        reason=row.reason,
        method=row.payment_method_name,
        awaits=row.awaits,
        capturable=row.amount_capturable,
        event_id=row.webhook_event_id,
        response=row.intent_response,
        back=ReversedTotal(row.amount_refunded, row.amount_lost, row.disputed),
    )


async def with_clients(tx: Tx, payments: Mapping[str, Payment]) -> dict[str, Payment]:
    """The payments, each with the client whose Stripe customer it names."""
    wanted = {
        one.customer_id for one in payments.values() if one.client_id is None and one.customer_id
    }
    if not wanted:
        return dict(payments)
    found = await _CLIENTS_BY_CUSTOMER.all(tx, customers=sorted(wanted))
    client_of = {row.stripe_customer_id: row.id for row in found}
    return {
        intent: one._replace(client_id=one.client_id or client_of.get(one.customer_id or ""))
        for intent, one in payments.items()
    }


class _ClientRow(NamedTuple):
    id: int
    stripe_customer_id: str


_CLIENTS_BY_CUSTOMER = PreparedStatement(
    # The last row counts: of clients who share a customer, the first.
    select(*projection(CLIENTS, _ClientRow))
    .where(any_of(CLIENTS.c.stripe_customer_id, "customers"))
    .order_by(CLIENTS.c.id.desc()),
    _ClientRow,
)


def writes(
    known: Mapping[str, Payment], after: Mapping[str, Payment], now: datetime
) -> list[TableWrite]:
    """Insert the payments that are new and update those that changed."""
    new, changed = [], []
    for intent in sorted(after):
        payment = after[intent]
        if intent not in known:
            new.append(_columns(payment, now))
        elif known[intent] != payment:
            changed.append(_columns(payment, now))
    return [(_INSERT, new), (_UPDATE, changed)]


class _Columns(TypedDict):
    intent_id: str
    claimed_invoice_id: int | None
    evidence: str | None
    client_id: int | None
    amount: Decimal
    amount_capturable: Decimal
    currency_iso: str
    intent_date: datetime | None
    intent_response: str | None
    webhook_event_id: str | None
    webhook_received_date: datetime | None
    state: int
    state_at: datetime
    reason: str | None
    awaits: str | None
    attempt: int | None
    charge_id: str | None
    stripe_customer_id: str | None
    payment_method_name: str | None
    amount_refunded: Decimal
    amount_lost: Decimal
    disputed: bool
    check_at: datetime | None


def _columns(payment: Payment, now: datetime) -> _Columns:
    return {
        "intent_id": payment.intent_id,
        "claimed_invoice_id": payment.claimed_invoice_id,
        "evidence": payment.evidence,
        "client_id": payment.client_id,
        "amount": payment.amount,
        "amount_capturable": payment.capturable,
        "currency_iso": payment.currency,
        "intent_date": payment.intent_at,
        "intent_response": payment.response,
        "webhook_event_id": payment.event_id,
        "webhook_received_date": now if payment.event_id else None,
        "state": payment.state,
        "state_at": payment.state_at,
        "reason": payment.reason,
        "awaits": payment.awaits,
        "attempt": payment.attempt,
        "charge_id": payment.charge_id,
        "stripe_customer_id": payment.customer_id,
        "payment_method_name": payment.method,
        "amount_refunded": payment.back.refunded,
        "amount_lost": payment.back.lost,
        "disputed": payment.back.disputed,
        "check_at": None if payment.state in FINAL else now + CHECK_AFTER,
    }


_INSERT = BulkInsert(INTENTS, _Columns.__annotations__)
_UPDATE = BulkUpdate(
    INTENTS, "intent_id", [name for name in _Columns.__annotations__ if name != "intent_id"]
)


async def schedule_check(tx: Tx, intent_id: str, at: datetime | None) -> None:
    """Set when reconciliation asks about an unfinished intent again; None leaves it to events."""
    await tx.execute(
        update(INTENTS)
        .where(INTENTS.c.intent_id == intent_id, INTENTS.c.check_at.is_not(None))
        .values(check_at=at)
    )
