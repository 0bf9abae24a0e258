"""Apportionment: rounded parts of a document that add up to its rounded sum."""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal

from app.rules import money


def apportion(amounts: Sequence[Decimal], total: Decimal, currency: str) -> list[Decimal]:
    """Each amount rounded up or down to the currency's step, so that they add up to the total.

    The largest remainders are rounded up first, the earlier of equal ones before the later
    (largest remainder method). A total that no such rounding reaches goes to the largest amount.
    """
    step = money.smallest(currency)
    floors = [(one / step).to_integral_value(ROUND_FLOOR) * step for one in amounts]
    steps_left = int((total - sum(floors, Decimal(0))) / step)
    by_remainder = sorted(range(len(amounts)), key=lambda at: floors[at] - amounts[at])
    is_reached = 0 <= steps_left <= len(amounts)
    raised = frozenset(by_remainder[:steps_left] if is_reached else ())
    parts = [one + step if at in raised else one for at, one in enumerate(floors)]
    beyond = total - sum(parts, Decimal(0))
    if beyond and parts:
        largest = max(range(len(parts)), key=lambda at: abs(parts[at]))
        parts[largest] += beyond
    return parts
