"""Daily exchange rates, as the European Central Bank publishes them: units for one euro.

A file has a row a day and a column a currency, of either of the bank's two forms: `eurofxref.csv`
with days such as `26 November 2026`, and `eurofxref-hist.csv` with `2026-11-26`.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from app.errors import InvalidField

EURO = "eur"
# A day without a rate takes that of the last day that has one; the longest pause of the bank's
# calendar, Easter, has five days. Beyond this the file is missing days.
RATE_AGE_MAX = 31
_NOTHING = frozenset({"", "N/A"})
_DAYS = ("%Y-%m-%d", "%d %B %Y")


@dataclass(frozen=True, slots=True)
class DailyRates:
    """The units of each currency, by its code in small letters, that one euro is worth on a day."""

    day: date
    of_euro: Mapping[str, Decimal]

    def in_home(self, home: str) -> dict[str, Decimal]:
        """Units of the home currency for one of each; nothing where the day has no rate of it."""
        known = {**self.of_euro, EURO: Decimal(1)}
        if home not in known:
            return {}
        return {code: known[home] / rate for code, rate in known.items() if code != home}


def parse_daily_rates(text: str) -> list[DailyRates]:
    """The days of a file, in its order. InvalidField names the row and the column of an error."""
    rows = csv.reader(io.StringIO(text.lstrip("\ufeff")))
    heads = [one.strip() for one in next(rows, [])]
    if not heads or heads[0] != "Date":
        raise InvalidField("row 1, column 1", "is not Date: the file has not the bank's form")
    found = [_day(row, number, heads) for number, row in enumerate(rows, start=2) if any(row)]
    if len({one.day for one in found}) < len(found):
        raise InvalidField("column Date", "has a day twice")
    return found


def _day(row: Sequence[str], number: int, heads: Sequence[str]) -> DailyRates:
    return DailyRates(_date(row[0].strip(), number), dict(_rates(row, number, heads)))


def _date(text: str, number: int) -> date:
    for form in _DAYS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    raise InvalidField(f"row {number}, column Date", f"{text!r} is no day")


def _rates(row: Sequence[str], number: int, heads: Sequence[str]) -> Iterator[tuple[str, Decimal]]:
    if len(row) > len(heads):
        raise InvalidField(f"row {number}", f"has {len(row)} columns, and the first {len(heads)}")
    for head, cell in zip(heads[1:], row[1:], strict=False):
        if head and cell.strip() not in _NOTHING:
            yield head.lower(), _rate(cell.strip(), f"row {number}, column {head}")


def _rate(text: str, at: str) -> Decimal:
    try:
        rate = Decimal(text)
    except InvalidOperation:
        rate = Decimal(0)
    if not rate.is_finite() or rate <= 0:
        raise InvalidField(at, f"{text!r} is no rate")
    return rate


def past_rate(rates: Mapping[date, Decimal], day: date) -> Decimal | None:
    """The rate that counted on a day of the past: of it, or of the last day before that has one.

    None unless a later day is known too, for the newest rate is the currency's own.
    """
    if not any(one > day for one in rates):
        return None
    earlier = [one for one in rates if one <= day and (day - one).days <= RATE_AGE_MAX]
    return rates[max(earlier)] if earlier else None
