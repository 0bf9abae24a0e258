"""The life of one refund that we ask for, the key that makes it once, and how much may go back."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

# Our refunds carry the request's id under this key of their metadata.
REQUEST_KEY = "refund_request"


class RefundState(StrEnum):
    OPEN = "open"  # stored, and sent for the first time
    UNKNOWN = "unknown"  # Stripe was asked and gave no answer we can trust
    PENDING = "pending"  # Stripe has the refund; the bank has not answered, or its owner must act
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the money is ours again, or Stripe has no such refund
    REFUSED = "refused"  # Stripe refuses the request itself


UNRESOLVED = (RefundState.OPEN, RefundState.UNKNOWN)

_OF_STATUS = {
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}


def refund_state(status: str) -> RefundState:
    """The state of a request whose refund has this status at Stripe."""
    return _OF_STATUS.get(status, RefundState.PENDING)


def refund_key(installation: str, request_id: int) -> str:
    """The idempotency key of a request: derived, so that every replay is the same call."""
    return f"paydue-{installation}-refund-{request_id}"


@dataclass(frozen=True, slots=True)
class Promised:
    """An amount that an unresolved request may still give back, and the invoice it is for."""

    amount: Decimal
    invoice_id: int | None


def refundable(
    counted: Decimal,
    promised: Iterable[Promised],
    *,
    share: Decimal | None = None,
    invoice_id: int | None = None,
) -> Decimal:
    """The amount that may still be refunded of a payment, or of one share of it.

    `counted` is what the payment has left, and `share` what one share of it has left: that of an
    invoice, or with no `invoice_id` the unapplied one. Unresolved requests have promised theirs.
    """
    every = list(promised)
    left = counted - sum((one.amount for one in every), Decimal(0))
    if share is not None:
        of_share = sum((one.amount for one in every if one.invoice_id == invoice_id), Decimal(0))
        left = min(left, share - of_share)
    return max(left, Decimal(0))
