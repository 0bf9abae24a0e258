"""Refund requests: a person's wish to give money back, guarded and stored before Stripe is asked.

A request is opened under the lock of its PaymentIntent, so that all requests together never exceed
what the payment has left. Whatever then reports the refund, our own call or a webhook, ends in
`settlement.record`, and the request follows the refund's status from there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import bindparam, insert, literal_column, select, update

from app.errors import InvalidField, NotFound, Refused
from app.ledger import allocations, audit, payment_intents
from app.ledger.allocations import Shares
from app.rules import money
from app.rules.claim import INSTALLATION_KEY
from app.rules.payment import Payment, PaymentState, Reversal
from app.rules.refund import (
    REQUEST_KEY,
    UNRESOLVED,
    Promised,
    RefundState,
    refund_state,
    refundable,
)
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, projection
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.stripe_refund_requests import RefundRequest

REQUESTS = table_of(RefundRequest)
PAYMENTS = table_of(InvoicePayment)
# Written out, not bound: the partial index is chosen only for literals.
IS_UNRESOLVED = REQUESTS.c.state.in_([literal_column(f"'{state}'") for state in UNRESOLVED])

# Longer than one call to Stripe may take. Safety hangs on the key, and not on this.
LEASE = timedelta(seconds=45)
# A request without an answer is sent again soon, then ever later; its key lasts for a day.
CHECK_DELAYS = tuple(timedelta(seconds=s) for s in (5, 15, 60, 300, 900, 3600, 6 * 3600))
# The API keeps a caller's Idempotency-Key for so long; after that it may mean another request.
CALLER_KEY_LASTS = timedelta(hours=24)
REASON_MAX = 500
PAGE = 100
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class WantedRefund:
    """A refund that a person asks for: of an InvoicePayment, or of a PaymentIntent.

    Without an amount it is all that is left. A PaymentIntent's may be for one of its invoices.
    """

    reason: str
    who: str
    payment_id: int | None = None
    intent_id: str | None = None
    invoice_id: int | None = None
    amount: Decimal | None = None
    caller_key: str | None = None


class RefundRequestRow(NamedTuple):
    """A refund request as it is stored."""

    id: int
    intent_id: str
    invoice_id: int | None
    amount_minor: int
    currency: str
    reason: str
    who: str
    state: str
    refund_id: str | None
    params: object
    created_at: datetime
    check_at: datetime | None
    checks: int
    said: str | None

    @property
    def amount(self) -> Decimal:
        return money.from_minor(self.amount_minor, self.currency)


_REQUEST = projection(REQUESTS, RefundRequestRow)
_FIND = PreparedStatement(
    select(*_REQUEST).where(REQUESTS.c.id == bindparam("id")), RefundRequestRow
)
_OF_INTENT = PreparedStatement(
    select(*_REQUEST).where(REQUESTS.c.intent_id == bindparam("intent")), RefundRequestRow
)
_OF_CALLER = PreparedStatement(
    select(*_REQUEST).where(REQUESTS.c.caller_key == bindparam("key")), RefundRequestRow
)


# --- opening -----------------------------------------------------------------------------------


class _Target(NamedTuple):
    """The share that a refund is of; `is_share` is false for a whole payment."""

    intent_id: str
    invoice_id: int | None
    is_share: bool


async def open_request(
    tx: Tx, wanted: WantedRefund, *, installation: str, now: datetime
) -> RefundRequestRow:
    """Store the request, or answer the one that the caller's own key has made already."""
    if not 0 < len(wanted.reason.strip()) <= REASON_MAX:
        raise InvalidField("reason", f"has not 1 to {REASON_MAX} characters")
    target = await _find_target(tx, wanted)
    payment = (await payment_intents.lock(tx, [target.intent_id])).get(target.intent_id)
    if payment is None:
        raise NotFound("payment", target.intent_id)
    earlier = await _find_earlier(tx, wanted, now)
    if earlier is not None:
        _assert_same(earlier, target, wanted)
        return earlier
    shares = (await allocations.load(tx, [target.intent_id])).of(target.intent_id)
    left = _refundable(payment, shares, target, await _promised(tx, target.intent_id))
    amount = _checked_amount(wanted.amount, left, payment.currency)
    request_id = await _insert(tx, wanted, target, payment, amount, now)
    params = _params(target, money.to_minor(amount, payment.currency), request_id, installation)
    await _change(tx, request_id, params=params)
    said = f"{request_id}: {money.plain(amount)} ({wanted.reason.strip()})"
    await _audit(tx, target, shares, None, said, who=wanted.who, now=now)
    return await load_request(tx, request_id)


async def _find_target(tx: Tx, wanted: WantedRefund) -> _Target:
    if wanted.payment_id is None:
        assert wanted.intent_id is not None, "a refund names one of the two"
        is_share = wanted.invoice_id is not None
        return _Target(wanted.intent_id, wanted.invoice_id, is_share)
    columns = (PAYMENTS.c.intent_id, PAYMENTS.c.invoice_id)
    statement = select(*columns).where(PAYMENTS.c.id == wanted.payment_id)
    found = (await tx.execute(statement)).one_or_none()
    if found is None:
        raise NotFound("InvoicePayment", wanted.payment_id)
    intent_id, invoice_id = found
    if intent_id is None:
        raise Refused(f"payment {wanted.payment_id} was entered by hand; Stripe has none of it")
    if wanted.invoice_id not in (None, invoice_id):
        raise Refused(f"payment {wanted.payment_id} is not of invoice {wanted.invoice_id}")
    return _Target(intent_id, invoice_id, is_share=True)


async def _find_earlier(tx: Tx, wanted: WantedRefund, now: datetime) -> RefundRequestRow | None:
    if wanted.caller_key is None:
        return None
    found = await _OF_CALLER.all(tx, key=wanted.caller_key)
    if not found or found[0].created_at > now - CALLER_KEY_LASTS:
        return found[0] if found else None
    await _change(tx, found[0].id, caller_key=None)
    return None


def _assert_same(earlier: RefundRequestRow, target: _Target, wanted: WantedRefund) -> None:
    amount = earlier.amount if wanted.amount is None else wanted.amount
    asked = (target.intent_id, target.invoice_id, amount, wanted.reason.strip())
    if asked != (earlier.intent_id, earlier.invoice_id, earlier.amount, earlier.reason):
        raise Refused(f"Idempotency-Key: it has made refund request {earlier.id}, another one")


def _refundable(
    payment: Payment, shares: Shares, target: _Target, promised: Iterable[Promised]
) -> Decimal:
    """The amount that may go back. Refused where no money was taken or the share is not there."""
    if payment.state != PaymentState.SUCCEEDED:
        raise Refused(f"{payment.intent_id} has taken no money")
    share = None
    if target.is_share:
        if target.invoice_id not in shares:
            raise Refused(f"{payment.intent_id} pays nothing of invoice {target.invoice_id}")
        share = shares[target.invoice_id].counted
    counted = sum((one.counted for one in shares.values()), ZERO)
    return refundable(counted, promised, share=share, invoice_id=target.invoice_id)


async def _promised(tx: Tx, intent_id: str) -> list[Promised]:
    """The unresolved requests of a payment. A resolved one is in the payment's shares already."""
    found = await _OF_INTENT.all(tx, intent=intent_id)
    return [Promised(one.amount, one.invoice_id) for one in found if one.state in UNRESOLVED]


def _checked_amount(wanted: Decimal | None, left: Decimal, currency: str) -> Decimal:
    if left <= 0:
        raise Refused("nothing of it is left to refund")
    amount = left if wanted is None else wanted
    if amount <= 0:
        raise InvalidField("amount", "a refund is more than nothing")
    if amount > left:
        raise Refused(f"amount: {money.text(left, currency)} of it is left to refund")
    money.to_minor(amount, currency)
    return amount


async def _insert(
    tx: Tx,
    wanted: WantedRefund,
    target: _Target,
    payment: Payment,
    amount: Decimal,
    now: datetime,
) -> int:
    row: dict[str, object] = {
        "intent_id": target.intent_id,
        "invoice_id": target.invoice_id,
        "amount_minor": money.to_minor(amount, payment.currency),
        "currency": payment.currency,
        "reason": wanted.reason.strip(),
        "who": wanted.who,
        "state": RefundState.OPEN,
        "params": {},
        "created_at": now,
        "check_at": now + LEASE,
        "checks": 0,
        "caller_key": wanted.caller_key,
    }
    found = await tx.scalar(insert(REQUESTS).values(row).returning(REQUESTS.c.id))
    assert isinstance(found, int), "an insert answers its id"
    return found


def _params(
    target: _Target, amount_minor: int, request_id: int, installation: str
) -> dict[str, object]:
    """The parameters of the call, byte for byte, now and at every replay."""
    named = {} if target.invoice_id is None else {"invoice_id": str(target.invoice_id)}
    ours = {INSTALLATION_KEY: installation, REQUEST_KEY: str(request_id)}
    return {
        "payment_intent": target.intent_id,
        "amount": amount_minor,
        "metadata": {**ours, **named},
    }


async def _audit(
    tx: Tx,
    target: _Target,
    shares: Mapping[int | None, object],
    before: str | None,
    after: str,
    *,
    who: str,
    now: datetime,
) -> None:
    """The invoice that is named keeps it in its history, or else each that the payment pays."""
    invoices = [one for one in shares if one is not None]
    named = invoices if target.invoice_id is None else [target.invoice_id]
    changes = [audit.AuditChange(one, "refund", before, after) for one in named]
    await audit.write(tx, changes, who=who, now=now)


# --- ending ------------------------------------------------------------------------------------


async def follow_refunds(tx: Tx, reversals: Iterable[tuple[str, Reversal]]) -> None:
    """Each request has the state of the refund that it made; `reversals` are with their intents."""
    for intent_id, one in reversals:
        if one.request_id is None:
            continue
        is_its_own = (REQUESTS.c.refund_id == one.id) | REQUESTS.c.refund_id.is_(None)
        await tx.execute(
            update(REQUESTS)
            .where(REQUESTS.c.id == one.request_id, REQUESTS.c.intent_id == intent_id, is_its_own)
            .values(refund_id=one.id, state=refund_state(one.status), check_at=None, said=None)
        )


async def end_without_refund(
    tx: Tx, request: RefundRequestRow, state: RefundState, said: str, *, now: datetime
) -> None:
    """End an unresolved request that made no refund: its amount may be refunded again."""
    if not await _change_unresolved(tx, request.id, state=state, said=said, check_at=None):
        return
    shares = (await allocations.load(tx, [request.intent_id])).of(request.intent_id)
    target = _Target(request.intent_id, request.invoice_id, request.invoice_id is not None)
    before = f"{request.id}: {money.plain(request.amount)}"
    after = f"{request.id}: {state}: {said}"
    await _audit(tx, target, shares, before, after, who=request.who, now=now)


async def leave_unknown(tx: Tx, request: RefundRequestRow, said: str, *, now: datetime) -> None:
    """Nobody knows whether the refund was made: the same call is sent again later."""
    wait = CHECK_DELAYS[min(request.checks, len(CHECK_DELAYS) - 1)]
    await _change_unresolved(
        tx,
        request.id,
        state=RefundState.UNKNOWN,
        said=said,
        check_at=now + wait,
        checks=request.checks + 1,
    )


# --- going on ----------------------------------------------------------------------------------


async def list_due(tx: Tx, *, now: datetime) -> list[int]:
    """The ids of requests that have not ended and that nobody has now, a page of them."""
    found = await tx.scalars(
        select(REQUESTS.c.id)
        .where(IS_UNRESOLVED, REQUESTS.c.check_at <= now)
        .order_by(REQUESTS.c.check_at)
        .limit(PAGE)
    )
    return list(found)


async def take_over(tx: Tx, request_id: int, *, now: datetime) -> RefundRequestRow | None:
    """The request under a lease of ours; None while another has it, or when it has ended.

    Its first holder may have sent it before he was gone, so it is unknown from here on.
    """
    taken = await tx.execute(
        update(REQUESTS)
        .where(REQUESTS.c.id == request_id, IS_UNRESOLVED, REQUESTS.c.check_at <= now)
        .values(check_at=now + LEASE, state=RefundState.UNKNOWN)
    )
    return await load_request(tx, request_id) if taken.rowcount else None


async def load_request(tx: Tx, request_id: int) -> RefundRequestRow:
    """The request, which exists."""
    (found,) = await _FIND.all(tx, id=request_id)
    return found


async def _change(tx: Tx, request_id: int, **values: object) -> None:
    await tx.execute(update(REQUESTS).where(REQUESTS.c.id == request_id).values(values))


async def _change_unresolved(tx: Tx, request_id: int, **values: object) -> bool:
    """A webhook may have told of the refund meanwhile; what has ended stays."""
    changed = await tx.execute(
        update(REQUESTS).where(REQUESTS.c.id == request_id, IS_UNRESOLVED).values(values)
    )
    return bool(changed.rowcount)
