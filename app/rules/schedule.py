"""The day on which a template makes its next invoice, and the day that invoice is due."""

from calendar import monthrange
from datetime import MAXYEAR, date, datetime, timedelta

# HaloPSA's codes of `period`, in months; 0 is once, 1 is a week.
_WEEKLY = 1
_MONTHS = {2: 1, 3: 12, 4: 3, 5: 6, 6: 60, 7: 36, 8: 24, 9: 48}
# No due day is earlier: the readers of dates refuse what lies before.
_EARLIEST = date(1900, 1, 1)


def next_creation(start: datetime, period: int) -> datetime | None:
    """The same moment a period later, the last day of a shorter month.

    None for a schedule of once, and for one that has come to the calendar's end.
    """
    if period == _WEEKLY:
        return None if _days_left(start.date()) < 7 else start + timedelta(weeks=1)
    months = _MONTHS.get(period)
    if months is None or _months_left(start.date()) < months:
        return None
    day = _months_later(start.date(), months)
    return start.replace(year=day.year, month=day.month, day=day.day)


def due_date(invoiced: date, kind: int, days: int) -> date:
    """The due day by HaloPSA's `due_date_type` and `due_date_int`.

    A number that leads out of the calendar gives its last day, or the first that we read.
    """
    match kind:
        case 1:
            return _days_later(_last_of_month(invoiced), days)
        case 2:
            return _day_of_month(_months_later(invoiced.replace(day=1), 1), days)
        case 3:
            return _day_of_month(invoiced, days)
        case _:
            return _days_later(invoiced, days)


def _days_left(day: date) -> int:
    """The days from this one to the last of the calendar."""
    return (date.max - day).days


def _months_left(day: date) -> int:
    """The months from this one to the last of the calendar."""
    return (MAXYEAR - day.year) * 12 + 12 - day.month


def _days_later(day: date, days: int) -> date:
    if days > _days_left(day):
        return date.max
    if days < (_EARLIEST - day).days:
        return _EARLIEST
    return day + timedelta(days=days)


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _last_of_month(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def _day_of_month(day: date, number: int) -> date:
    last = monthrange(day.year, day.month)[1]
    return day.replace(day=min(max(number, 1), last))
