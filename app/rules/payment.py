"""What Stripe can tell us about one payment, which news wins, and how much of it counts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum


class PaymentState(IntEnum):
    """Where a PaymentIntent is. Two events of one second are ordered by these numbers."""

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


@dataclass(frozen=True, slots=True)
class Reversal:
    """Money going back: one refund, one dispute, or a charge's running total of refunds."""

    id: str
    kind: ReversalKind
    amount: Decimal
    status: str


@dataclass(frozen=True, slots=True)
class PaymentNews:
    """One report on one payment, from a webhook, from our own charge or from reconciliation."""

    intent_id: str
    at: datetime
    currency: str
    amount: Decimal | None = None
    state: PaymentState | None = None
    invoice_id: int | None = None
    charge_id: str | None = None
    customer_id: str | None = None
    reason: str | None = None
    method: str | None = None
    reversal: Reversal | None = None
    event_id: int | None = None
    response: str | None = None


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
_DISPUTE_OPEN = frozenset({"needs_response", "under_review"})


def newer(
    known: tuple[PaymentState, datetime], seen: tuple[PaymentState, datetime]
) -> tuple[PaymentState, datetime]:
    """Which of two reports stands, whatever order they arrive in.

    An end (succeeded, canceled) beats everything else; `failed` is no end, for the same intent may
    be tried again. Between two that are no end, the later at Stripe stands, then the higher state.
    """
    if known[0] in FINAL or seen[0] in FINAL:
        return max(known, seen)
    return max(known, seen, key=lambda report: (report[1], report[0]))


def later_reversal(known: Reversal, seen: Reversal) -> Reversal:
    """Which of two reports on one refund, dispute or charge total stands."""
    match seen.kind:
        case ReversalKind.CHARGE:
            return max(known, seen, key=lambda one: one.amount)
        case ReversalKind.REFUND:
            return max(known, seen, key=lambda one: (_REFUND_RANK.get(one.status, 0), one.amount))
        case ReversalKind.DISPUTE:
            return max(known, seen, key=lambda one: (_DISPUTE_RANK.get(one.status, 0), one.amount))


@dataclass(frozen=True, slots=True)
class Reversed:
    refunded: Decimal = Decimal(0)
    lost: Decimal = Decimal(0)
    disputed: bool = False


def reversed_of(reversals: Iterable[Reversal]) -> Reversed:
    """What went back in all.

    Refunds are known one by one and as the charge's running total; the total may know of refunds
    we never heard of, and still contains those that failed later.
    """
    stood = failed = total = lost = Decimal(0)
    disputed = False
    for one in reversals:
        match one.kind:
            case ReversalKind.CHARGE:
                total = max(total, one.amount)
            case ReversalKind.REFUND if _REFUND_RANK.get(one.status, 0) == _CAME_BACK:
                failed += one.amount
            case ReversalKind.REFUND:
                stood += one.amount
            case ReversalKind.DISPUTE:
                lost += one.amount if one.status in _LOST else 0
                disputed |= one.status in _DISPUTE_OPEN
    return Reversed(max(stood, total - failed), lost, disputed)


def counted(state: PaymentState, amount: Decimal, back: Reversed) -> Decimal:
    """How much of a payment counts towards its invoice; never less than nothing."""
    if state != PaymentState.SUCCEEDED:
        return Decimal(0)
    return max(amount - back.refunded - back.lost, Decimal(0))


def status(state: PaymentState, amount: Decimal, back: Reversed) -> PaymentStatus:
    if state != PaymentState.SUCCEEDED:
        return PaymentStatus(state)
    if back.lost:
        return PaymentStatus.DISPUTE_LOST
    if back.disputed:
        return PaymentStatus.DISPUTED
    if back.refunded:
        whole = back.refunded >= amount
        return PaymentStatus.REFUNDED if whole else PaymentStatus.PART_REFUNDED
    return PaymentStatus.SUCCEEDED
