"""Invoice numbers: a pattern of its own, or the invoice's id."""

import re
from dataclasses import dataclass

_PLACES = re.compile(r"\{(year|number)(?::([1-9][0-9]?))?\}")
# A typed number may be the same as the one that comes next; so many are passed over.
TAKEN_MAX = 1_000


@dataclass(frozen=True, slots=True)
class NumberPattern:
    """`INV-{year}-{number:5}`: each year's numbers begin with 1, and are filled up with zeros."""

    pattern: str

    def series(self, year: int) -> str:
        """The name under which the last number is kept: one a year, where the year is in it."""
        return _PLACES.sub(
            lambda found: f"{year:04}" if found[1] == "year" else "{number}", self.pattern
        )

    def number(self, year: int, number: int) -> str:
        return _PLACES.sub(
            lambda found: f"{year:04}" if found[1] == "year" else f"{number:0{int(found[2] or 1)}}",
            self.pattern,
        )


def candidate(invoice_id: int, attempt: int) -> str:
    """An invoice's id for its number; where somebody has typed that, with a count behind it."""
    return str(invoice_id) if attempt == 0 else f"{invoice_id}-{attempt}"
