"""A payout: when its balance transactions are known, and what is missing until they are."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

# A failed payout keeps its balance transactions: the money comes back by a movement of its own.
ENDED = frozenset({"paid", "failed"})

# Stripe completes the list within hours. A payout that is not whole is asked about ever less often.
ASK_LATER = 0.5
ASK_AT_MOST_EVERY = timedelta(minutes=10)
# Whatever is missing after so long is shown as missing, for a person to ask Stripe.
GIVE_UP_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class PayoutReport:
    """A payout as Stripe shows it."""

    payout_id: str
    status: str
    amount: Decimal
    currency: str
    automatic: bool
    arrival_date: date
    created_at: datetime
    failure_code: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutChange:
    """The report of an event that a payout changed; how it is now is read from Stripe itself."""

    payout_id: str


@dataclass(frozen=True, slots=True)
class BalanceMovement:
    """A balance transaction as Stripe shows it; `amount` less `fee` is `net`."""

    transaction_id: str
    type: str
    currency: str
    amount: Decimal
    fee: Decimal
    net: Decimal
    created_at: datetime
    available_at: datetime
    source_id: str | None = None
    description: str | None = None
    exchange_rate: str | None = None


def wait_before_check(*, missing: Decimal, age: timedelta) -> timedelta | None:
    """The wait before an ended payout is read again; None when there is nothing to wait for."""
    if not missing or age >= GIVE_UP_AFTER:
        return None
    return max(age * ASK_LATER, ASK_AT_MOST_EVERY)
