"""The reports that finance asks for, and the spans of days that they look at."""

from datetime import date
from enum import StrEnum
from typing import NamedTuple

DAYS_MAX = 366


class ReportName(StrEnum):
    AGEING = "ageing"
    EXPECTED = "expected"
    DECLINES = "declines"
    RECOVERED = "recovered"
    DSO = "dso"


# Days that each report looks at where nobody says otherwise: ahead for `expected`, else back.
USUAL_DAYS = {ReportName.EXPECTED: 30, ReportName.DSO: 90}
USUAL_SPAN = 30


class ReportRequest(NamedTuple):
    """A report of a day (None is today), over so many days, of one client where that is asked."""

    name: ReportName
    day: date | None = None
    days: int | None = None
    client_id: int | None = None

    @property
    def span(self) -> int:
        return self.days or USUAL_DAYS.get(self.name, USUAL_SPAN)
