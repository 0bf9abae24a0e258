"""Days on which banks are closed: weekends everywhere, and the public holidays of a country.

The holidays are those of the library `holidays`, by ISO 3166 code: `DE`, or `DE-BY` for a part of
a country that has days of its own.
"""

from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from app.errors import InvalidField

_SATURDAY = 5
# No country has so many closed days in a row; a calendar that had would be wrong.
CLOSED_IN_A_ROW_MAX = 31


class DayMove(StrEnum):
    """Where a charge goes whose day is a weekend or a holiday."""

    FORWARD = "forward"
    BACK = "back"


class _Days(Protocol):
    def __contains__(self, day: object, /) -> bool: ...


def is_closed(day: date, region: str | None) -> bool:
    """Whether banks are closed on a day; without a region, weekends alone count."""
    if day.weekday() >= _SATURDAY:
        return True
    return region is not None and day in holidays_of(region)


# The invoices of a run fall due on a few days, and the library is slow to compare one.
@lru_cache(maxsize=4096)
def open_day(day: date, move: DayMove | None, region: str | None) -> date:
    """The day itself where banks are open, else the next one that they are, in that direction."""
    if move is None:
        return day
    step = timedelta(days=1 if move == DayMove.FORWARD else -1)
    found = day
    for _ in range(CLOSED_IN_A_ROW_MAX):
        if not is_closed(found, region):
            return found
        found += step
    return day


@lru_cache(maxsize=64)
def holidays_of(region: str, field: str = "holidays") -> _Days:
    """The public holidays of a country or a part of it, or InvalidField."""
    from holidays import country_holidays

    country, _, part = region.partition("-")
    try:
        found: _Days = country_holidays(country, subdiv=part or None)
    except NotImplementedError:
        raise InvalidField(
            field, f"{region!r} is no country or region with known holidays"
        ) from None
    return found
