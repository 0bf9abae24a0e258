"""What became of each invoice in one autopay run."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from app.payments.autopay.eligibility import Candidate, Skip
from app.rules import money
from app.rules.attempt import AttemptState
from app.storage.engines import Record


class OutcomeKind(StrEnum):
    CHARGED = "charged"
    PENDING = "pending"
    DECLINED = "declined"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one invoice in one run."""

    kind: OutcomeKind
    invoice_id: int
    amount: Decimal
    currency: str
    intent_id: str | None = None
    reason: str | None = None
    next_try: date | None = None


def attempt_outcome(
    kind: OutcomeKind,
    row: Record,
    *,
    intent_id: str | None = None,
    reason: str | None = None,
    next_try: date | None = None,
) -> Outcome:
    amount = money.from_minor(row.amount_minor, row.currency)
    return Outcome(kind, row.invoice_id, amount, row.currency, intent_id, reason, next_try)


def skipped_outcome(one: Candidate, skip: Skip) -> Outcome:
    waits = one.last is not None and one.last.state == AttemptState.UNKNOWN
    return Outcome(
        OutcomeKind.UNKNOWN if waits else OutcomeKind.SKIPPED,
        one.invoice_id,
        one.amount,
        one.currency,
        one.last.intent_id if one.last else None,
        skip.reason,
        skip.next_try,
    )
