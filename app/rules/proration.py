"""The part of a period's price that some of its days cost: published in docs/billing.md.

The days `i` to `j` of a period of `n` days cost `R(A * j / n) - R(A * (i - 1) / n)`, where `A` is
the price of the whole period and `R` rounds to the currency. So the parts of a period, however it
is split, add up to the price of the whole, to the cent.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from app.rules import money
from app.rules.schedule import BillingPeriod


def prorated(
    amount: Decimal, period: BillingPeriod, since: date, until: date, currency: str
) -> Decimal:
    """The price of the days from `since` to `until`, both included, as far as they are in it."""
    assert period.last is not None, "a schedule of once has no days to share"
    days = (period.last - period.first).days + 1
    before = min(max((since - period.first).days, 0), days)
    reached = min(max((until - period.first).days + 1, before), days)
    return _up_to(amount, reached, days, currency) - _up_to(amount, before, days, currency)


def prorated_sum(
    amount: Decimal, periods: Iterable[BillingPeriod], since: date, until: date, currency: str
) -> Decimal:
    """The same over several periods, each of which costs `amount`."""
    parts = (prorated(amount, one, since, until, currency) for one in periods)
    return sum(parts, Decimal(0))


def _up_to(amount: Decimal, day: int, days: int, currency: str) -> Decimal:
    return money.rounded(amount * day / days, currency)
