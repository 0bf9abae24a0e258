"""Prices of a template that go up by a percentage, again and again: when, and to what.

Published in docs/billing.md. Days are those where the client is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal

from app.rules import money
from app.rules.schedule import is_occurrence, next_occurrence, occurrence_before, recurs

# As the numbers of HaloPSA: a price that is finer than its currency keeps so many digits.
_PRICE = Context(prec=15, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class PriceIncrease:
    """By how much a price goes up, and how often: `every` is a code of `period`."""

    percent: Decimal
    every: int
    # The day of its last increase, as it was said or done; and the day that they are counted from.
    last: date | None = None
    anchor: date | None = None

    @property
    def applies(self) -> bool:
        return self.percent > 0 and recurs(self.every)


def last_before(increase: PriceIncrease, first: date) -> date:
    """The day of the last increase, as far as it is known before the period of that first day.

    Where nobody has said one, all days before the period count as done: a price that was agreed
    years ago is not raised for each of them at once.
    """
    if increase.last is not None:
        return increase.last
    if increase.anchor is None or increase.anchor >= first:
        return first
    return occurrence_before(increase.anchor, increase.every, first - timedelta(days=1)) or first


def increase_days(increase: PriceIncrease, first: date) -> Iterator[date]:
    """The days since the last increase on which the price goes up, until that first day."""
    last = last_before(increase, first)
    anchor = increase.anchor
    if anchor is None or not is_occurrence(anchor, increase.every, last):
        anchor = last
    day = next_occurrence(anchor, increase.every, last)
    while day is not None and day <= first:
        yield day
        day = next_occurrence(anchor, increase.every, day)


def raised_price(price: Decimal, percent: Decimal, currency: str) -> Decimal:
    """The price after one increase, rounded as it was: to the currency, or to 15 digits."""
    raised = _PRICE.multiply(price, _PRICE.add(1, percent.scaleb(-2)))
    return money.rounded(raised, currency) if money.rounded(price, currency) == price else raised
