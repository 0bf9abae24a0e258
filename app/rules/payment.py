"""One PaymentIntent's payment: which report wins, and how much of the amount counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import NamedTuple

from app.rules.claim import Evidence


class PaymentState(IntEnum):
    """The state of a PaymentIntent, as we distinguish it."""

    CREATED = 0
    REQUIRES_ACTION = 1
    PROCESSING = 2
    FAILED = 3
    CANCELED = 4
    SUCCEEDED = 5


FINAL = frozenset({PaymentState.CANCELED, PaymentState.SUCCEEDED})


class PaymentStatus(IntEnum):
    """InvoicePayment.status as the API publishes it: the state, and what became of the money."""

    CREATED = 0
    REQUIRES_ACTION = 1
    PROCESSING = 2
    FAILED = 3
    CANCELED = 4
    SUCCEEDED = 5
    PART_REFUNDED = 6
    REFUNDED = 7
    DISPUTED = 8
    DISPUTE_LOST = 9


class ReversalKind(StrEnum):
    REFUND = "refund"
    DISPUTE = "dispute"
    CHARGE = "charge"  # a charge's own running total of refunds
    FRAUD_WARNING = "fraud_warning"  # the card network expects a dispute; no money moves by it


@dataclass(frozen=True, slots=True)
class Reversal:
    """Money going back: a refund, a dispute or its warning, or a charge's total of refunds.

    `invoice_id` is the invoice that one of our own refunds is for, and `request_id` the request
    that made it. A dispute's evidence is due at `evidence_due_at`; its money was withdrawn from
    our balance, and may have been reinstated. `currency` is None where it is the payment's.
    """

    id: str
    kind: ReversalKind
    amount: Decimal
    status: str
    invoice_id: int | None = None
    request_id: int | None = None
    reason: str | None = None
    evidence_due_at: datetime | None = None
    funds_withdrawn: bool = False
    funds_reinstated: bool = False
    currency: str | None = None


NO_INVOICES: Mapping[int, Decimal] = {}


@dataclass(frozen=True, slots=True)
class ReversedTotal:
    """The sum of a payment's reversals, and whether a dispute is open.

    `refunded_of` is the part of the refunds that was made for these invoices by name. It is kept
    with the reversals, not with the payment, and so is no part of the comparison.
    """

    refunded: Decimal = Decimal(0)
    lost: Decimal = Decimal(0)
    disputed: bool = False
    refunded_of: Mapping[int, Decimal] = field(default_factory=lambda: NO_INVOICES, compare=False)


NOTHING_BACK = ReversedTotal()


class PaymentReport(NamedTuple):
    """One report on one payment, from a webhook, from our own charge or from reconciliation.

    `attempt` is the number of our own charge attempt that made the intent. `state` is None when
    the report only links things: an intent to its invoice, money to its way back. `at` is Stripe's
    own time of the report. `invoice_id` is a claim, believed by its `evidence`. `shares` are the
    parts of a consolidated charge, of which `invoice_id` is the first. `is_intents` says that the
    amount is the intent's own word, which beats a Checkout Session's.
    """

    intent_id: str
    at: datetime
    currency: str
    amount: Decimal | None = None
    state: PaymentState | None = None
    intent_at: datetime | None = None
    invoice_id: int | None = None
    shares: Mapping[int, Decimal] | None = None
    evidence: Evidence | None = None
    attempt: int | None = None
    charge_id: str | None = None
    customer_id: str | None = None
    reason: str | None = None
    method: str | None = None
    awaits: str | None = None
    capturable: Decimal | None = None
    reversal: Reversal | None = None
    event_id: str | None = None
    response: str | None = None
    is_intents: bool = True


class Payment(NamedTuple):
    """All we know of one PaymentIntent: what the reports on it so far amount to.

    `amount` is the amount asked for, and once it succeeded the amount received. `awaits` names
    the step that the customer still has to take, as Stripe's `next_action` does; `capturable` is
    the amount that a card holds for us until it is captured.
    """

    intent_id: str
    state: PaymentState
    state_at: datetime
    amount: Decimal
    currency: str
    intent_at: datetime | None = None
    claimed_invoice_id: int | None = None
    evidence: Evidence | None = None
    client_id: int | None = None
    attempt: int | None = None
    charge_id: str | None = None
    customer_id: str | None = None
    reason: str | None = None
    method: str | None = None
    awaits: str | None = None
    capturable: Decimal = Decimal(0)
    event_id: str | None = None
    response: str | None = None
    back: ReversedTotal = NOTHING_BACK

    @property
    def is_pending(self) -> bool:
        """A bank debit under way: no other way to pay may start until it ends."""
        return self.state == PaymentState.PROCESSING


def payment_deletion_refusal(state: PaymentState, *, is_stripes: bool) -> str | None:
    """A payment at Stripe is a fact there; only one that ended without money may go."""
    if not is_stripes:
        return None
    if state == PaymentState.SUCCEEDED:
        return "Stripe took money for it; refund it there"
    if state != PaymentState.CANCELED:
        return "it has not ended at Stripe; cancel it there"
    return None


# A refund that failed gives the money back to us, and it can fail after it had succeeded.
_CAME_BACK = 2
_REFUND_RANK = {
    "pending": 0,
    "requires_action": 0,
    "succeeded": 1,
    "failed": _CAME_BACK,
    "canceled": _CAME_BACK,
}
# `lost` can become `won` late; an appeal comes after a loss. The order is by finality, since
# neither the arrival nor `created` of an event tells what happened last.
_DISPUTE_RANK = {
    "warning_needs_response": 0,
    "warning_under_review": 1,
    "warning_closed": 2,
    "needs_response": 3,
    "under_review": 4,
    "charge_refunded": 5,
    "lost": 6,
    "appeal_needs_response": 7,
    "appeal_under_review": 8,
    "won": 9,
    "prevented": 9,
}
_LOST = frozenset({"lost", "appeal_needs_response", "appeal_under_review"})
DISPUTE_OPEN = ("needs_response", "under_review")
# An inquiry asks a question before any money moves.
INQUIRY_OPEN = ("warning_needs_response", "warning_under_review")
# An early fraud warning, while the charge can still be refunded, and after.
WARNING_OPEN = "actionable"
WARNING_CLOSED = "closed"
# Stripe waits for our evidence.
AWAITS_EVIDENCE = ("warning_needs_response", "needs_response")


def is_inquiry(status: str) -> bool:
    return status.startswith("warning_")


# Steps of the customer that take days: Stripe keeps the intent open, and no page has to be.
TAKES_DAYS = (
    "verify_with_microdeposits",
    "boleto_display_details",
    "oxxo_display_details",
    "konbini_display_details",
    "multibanco_display_details",
    "display_bank_transfer_instructions",
)


# In the place of the invoice a payment claims: somebody said that it is for none.
FOR_NONE = 0


# When nothing is known of an intent's state, any report of it is later than this.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def payment_from_report(news: PaymentReport) -> Payment:
    """A payment as its first report shows it."""
    return Payment(
        intent_id=news.intent_id,
        state=PaymentState.CREATED if news.state is None else news.state,
        state_at=LONG_AGO if news.state is None else news.at,
        amount=news.amount or Decimal(0),
        currency=news.currency,
        intent_at=news.intent_at,
        claimed_invoice_id=news.invoice_id,
        evidence=news.evidence,
        attempt=news.attempt,
        charge_id=news.charge_id,
        customer_id=news.customer_id,
        reason=news.reason,
        method=news.method,
        awaits=news.awaits,
        capturable=news.capturable or Decimal(0),
        event_id=news.event_id,
        response=news.response,
    )


def merge_report(known: Payment, news: PaymentReport) -> Payment:
    """Merge one more report into a payment; the result does not depend on their order."""
    claimed, evidence = _claim(known, news)
    linked = known._replace(
        # Until Stripe has spoken the currency is that of an invoice which somebody named.
        currency=news.currency if known.state_at == LONG_AGO else known.currency,
        claimed_invoice_id=claimed,
        evidence=evidence,
        attempt=known.attempt or news.attempt,
        customer_id=known.customer_id or news.customer_id,
        intent_at=known.intent_at or news.intent_at,
        method=known.method or news.method,
        response=news.response or known.response,
    )
    if news.state is None:
        return linked._replace(amount=_amount(known, PaymentState.CREATED, news))
    if not _stands(known, news.state, news.at):
        return _completed(linked, news) if news.state == known.state else linked
    return linked._replace(
        state=news.state,
        state_at=news.at,
        amount=_amount(known, news.state, news),
        charge_id=news.charge_id or known.charge_id,
        reason=news.reason,
        awaits=news.awaits,
        capturable=news.capturable or Decimal(0),
        event_id=news.event_id or known.event_id,
    )


def claim_ended(news: PaymentReport) -> PaymentReport:
    """The report on an intent of another installation that a person took for ours.

    Whatever becomes of the intent, none of its money is ours.
    """
    reason = "the PaymentIntent is another installation's"
    return news._replace(state=PaymentState.CANCELED, amount=None, reason=reason)


# A person's word beats every program's, and our own records beat what metadata says.
_STRENGTH = {
    None: 0,
    Evidence.AMOUNT: 1,
    Evidence.CUSTOMER: 1,
    Evidence.METADATA: 2,
    Evidence.KEY: 2,
    Evidence.ATTEMPT: 3,
    Evidence.PERSON: 4,
}


def _claim(known: Payment, news: PaymentReport) -> tuple[int | None, Evidence | None]:
    """The better evidence stands; of the same strength, the first claim."""
    if news.invoice_id is None or news.evidence == Evidence.FOREIGN:
        return known.claimed_invoice_id, known.evidence
    if known.claimed_invoice_id is None:
        return news.invoice_id, news.evidence
    if _STRENGTH[news.evidence] > _STRENGTH[known.evidence]:
        return news.invoice_id, news.evidence
    return known.claimed_invoice_id, known.evidence


def _completed(payment: Payment, news: PaymentReport) -> Payment:
    """Complete a payment by another report of the same state: missing fields, the earliest time."""
    ended = payment.state in FINAL
    return payment._replace(
        amount=_amount(payment, payment.state, news),
        state_at=min(payment.state_at, news.at) if ended else payment.state_at,
        charge_id=payment.charge_id or news.charge_id,
        reason=payment.reason or news.reason,
        event_id=payment.event_id or news.event_id,
    )


def _stands(known: Payment, seen: PaymentState, at: datetime) -> bool:
    """Whether a report replaces what is known.

    A final state (succeeded, canceled) beats every other, and success beats a cancellation.
    `failed` is not final, for the same intent may be tried again. Between two that are not final
    the later at Stripe stands; of the same second, the higher rank.
    """
    if known.state in FINAL or seen in FINAL:
        return _RANK[seen] > _RANK[known.state]
    return (at, _RANK[seen]) > (known.state_at, _RANK[known.state])


# A bank debit that starts after a failed card is of the same second, one that fails is not; and to
# wait for a debit that has ended costs a look at Stripe, not to wait for one may charge twice.
_RANK = {
    PaymentState.CREATED: 0,
    PaymentState.REQUIRES_ACTION: 1,
    PaymentState.FAILED: 2,
    PaymentState.PROCESSING: 3,
    PaymentState.CANCELED: 4,
    PaymentState.SUCCEEDED: 5,
}


def _amount(known: Payment, state: PaymentState, news: PaymentReport) -> Decimal:
    """The received amount once there is one, by the intent's word rather than a session's.

    Until then it is the largest amount asked for.
    """
    if news.amount is None:
        return known.amount
    if state == PaymentState.SUCCEEDED:
        is_first = known.state != PaymentState.SUCCEEDED
        return news.amount if is_first or news.is_intents else known.amount
    return known.amount if known.state == PaymentState.SUCCEEDED else max(known.amount, news.amount)


def merge_reversal(known: Reversal, seen: Reversal) -> Reversal:
    """Merge two reports on one refund, dispute or charge total: the more final one stands.

    Each completes the other. A deadline only moves later, as an inquiry becomes a dispute.
    """
    stands = max(known, seen, key=_finality)
    other = known if stands is seen else seen
    due = [one.evidence_due_at for one in (known, seen) if one.evidence_due_at is not None]
    return replace(
        stands,
        invoice_id=stands.invoice_id or other.invoice_id,
        request_id=stands.request_id or other.request_id,
        reason=stands.reason or other.reason,
        evidence_due_at=max(due, default=None),
        funds_withdrawn=known.funds_withdrawn or seen.funds_withdrawn,
        funds_reinstated=known.funds_reinstated or seen.funds_reinstated,
        currency=stands.currency or other.currency,
    )


def _finality(one: Reversal) -> tuple[int, Decimal]:
    match one.kind:
        case ReversalKind.CHARGE:
            return 0, one.amount
        case ReversalKind.REFUND:
            return _REFUND_RANK.get(one.status, 0), one.amount
        case ReversalKind.DISPUTE:
            return _DISPUTE_RANK.get(one.status, 0), one.amount
        case ReversalKind.FRAUD_WARNING:
            return int(one.status == WARNING_CLOSED), one.amount


def is_gone(one: Reversal) -> bool:
    """A refund's money is gone while it is pending; it comes back if the refund fails."""
    return one.kind == ReversalKind.REFUND and _REFUND_RANK.get(one.status, 0) != _CAME_BACK


def reversed_total(
    reversals: Iterable[Reversal], *, currency: str, whole: Decimal
) -> ReversedTotal:
    """Sum up the reversals of a payment of the amount `whole`.

    Refunds are known one by one and as the charge's running total; the total may know of refunds
    we never heard of, and still contains those that failed later. A bank may dispute in its own
    currency: no rate says which part of the payment that is, so it is taken for the whole.
    """
    stood = failed = total = lost = Decimal(0)
    disputed = False
    refunded_of: dict[int, Decimal] = {}
    for one in reversals:
        amount = one.amount if one.currency in (None, currency) else whole
        match one.kind:
            case ReversalKind.CHARGE:
                total = max(total, amount)
            case ReversalKind.REFUND if is_gone(one):
                stood += amount
                if one.invoice_id is not None:
                    earlier = refunded_of.get(one.invoice_id, Decimal(0))
                    refunded_of[one.invoice_id] = earlier + amount
            case ReversalKind.REFUND:
                failed += amount
            case ReversalKind.DISPUTE:
                lost += amount if one.status in _LOST else 0
                disputed |= one.status in DISPUTE_OPEN
    return ReversedTotal(max(stood, total - failed), lost, disputed, refunded_of)
