"""The periods that a template bills, and the day on which an invoice is due: calendar days alone.

Every day here is one where the client is; whoever has an instant asks `rules/calendar.py` for it.
"""

from calendar import monthrange
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, date, timedelta
from enum import StrEnum

# HaloPSA's codes of `period`, in months; 0 is once, 1 is a week.
_WEEKLY = 1
_MONTHS = {2: 1, 3: 12, 4: 3, 5: 6, 6: 60, 7: 36, 8: 24, 9: 48}
# No due day is earlier: the readers of dates refuse what lies before.
_EARLIEST = date(1900, 1, 1)


@dataclass(frozen=True, slots=True)
class TemplateSchedule:
    """When a template bills.

    `anchor` is the day from which the periods are counted, so that a monthly schedule of the 31st
    comes back to the 31st. `next_day` is the first day of the next period to bill; None where
    nobody has said one. `starts_on` and `ends_on` are the first and the last day of the template.
    """

    period: int | None
    next_day: date | None = None
    anchor: date | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    last_billed: date | None = None

    @property
    def recurs(self) -> bool:
        return recurs(self.period)

    @property
    def is_once(self) -> bool:
        """Without a period and a day it is no schedule at all: each day is one of its own."""
        return not self.recurs and (self.period is not None or self.next_day is not None)


@dataclass(frozen=True, slots=True)
class BillingPeriod:
    """A period that a template bills; a schedule of once has a day and no end."""

    first: date
    last: date | None = None


class NotBilled(StrEnum):
    """The reason why a template bills nothing now."""

    AHEAD = "its next period has not begun"
    ENDED = "it has ended"
    ONCE = "it bills once, and has"


def billing_period(
    schedule: TemplateSchedule, *, today: date, made: Collection[date] = (), early: bool = False
) -> BillingPeriod | NotBilled:
    """The first period that is not made yet and has begun, or the reason why there is none.

    `made` are the first days of periods that have an invoice; `early` bills one ahead of its day.
    """
    if schedule.is_once and made:
        return NotBilled.ONCE
    for first in _periods(schedule, today):
        if schedule.ends_on is not None and first > schedule.ends_on:
            return NotBilled.ENDED
        if first in made:
            continue
        if first > today and not early:
            return NotBilled.AHEAD
        return _whole_period(schedule, first)
    return NotBilled.ENDED if schedule.recurs else NotBilled.ONCE


def due_periods(
    schedule: TemplateSchedule, today: date, made: Collection[date]
) -> Iterator[BillingPeriod]:
    """Every period that has begun and is not made, in their order."""
    known = set(made)
    while isinstance(found := billing_period(schedule, today=today, made=known), BillingPeriod):
        yield found
        known.add(found.first)


def next_period(schedule: TemplateSchedule, billed: date, made: Collection[date]) -> date | None:
    """The first day of the next period without an invoice, once `billed` has one.

    None for a schedule of once, and for one that has come to the calendar's end.
    """
    following = _following(schedule, billed)
    while following is not None and following in made:
        following = _following(schedule, following)
    return following


def periods_between(
    schedule: TemplateSchedule, since: date, until: date
) -> Iterator[BillingPeriod]:
    """The periods that have a day from `since` to `until`, in their order."""
    if not schedule.recurs:
        return
    first = occurrence_before(_anchor(schedule, since), schedule.period or 0, since)
    while first is not None and first <= until:
        yield _whole_period(schedule, first)
        first = _following(schedule, first)


def _periods(schedule: TemplateSchedule, today: date) -> Iterator[date]:
    """The first days of the periods to look at, in their order."""
    first: date | None = _first_period(schedule, today)
    while first is not None:
        yield first
        first = _following(schedule, first)


def _first_period(schedule: TemplateSchedule, today: date) -> date | None:
    first = schedule.next_day
    if first is None:
        return _undated_period(schedule, today)
    if schedule.starts_on is None or first >= schedule.starts_on:
        return first
    if not schedule.recurs:
        return schedule.starts_on
    return _following(schedule, schedule.starts_on - timedelta(days=1))


def _undated_period(schedule: TemplateSchedule, today: date) -> date | None:
    """Without a next day: after the last period that was billed, or that which today lies in."""
    if schedule.recurs and schedule.last_billed is not None:
        anchor = schedule.starts_on or schedule.last_billed
        return next_occurrence(anchor, schedule.period or 0, schedule.last_billed)
    start = schedule.starts_on
    if start is None or not schedule.recurs or start > today:
        return start if start is not None and start > today else today
    return occurrence_before(start, schedule.period or 0, today)


def _whole_period(schedule: TemplateSchedule, first: date) -> BillingPeriod:
    following = _following(schedule, first)
    return BillingPeriod(first, None if following is None else following - timedelta(days=1))


def _following(schedule: TemplateSchedule, day: date) -> date | None:
    if not schedule.recurs:
        return None
    return next_occurrence(_anchor(schedule, day), schedule.period or 0, day)


def _anchor(schedule: TemplateSchedule, day: date) -> date:
    """The day to count from: the schedule's first, where the present period is counted from it."""
    known = schedule.next_day or day
    for one in (schedule.starts_on, schedule.anchor):
        if one is not None and is_occurrence(one, schedule.period or 0, known):
            return one
    return known


# --- a period after another ------------------------------------------------------------------


def occurrence(anchor: date, period: int, number: int) -> date | None:
    """The day `number` periods after the anchor, or before it; the last day of a shorter month.

    None where the calendar has no such day.
    """
    if period == _WEEKLY:
        days = 7 * number
        return anchor + timedelta(days=days) if _is_within(anchor.toordinal() + days) else None
    months = anchor.year * 12 + anchor.month - 1 + _MONTHS[period] * number
    return _clipped(months, anchor.day) if 12 <= months < (MAXYEAR + 1) * 12 else None


def recurs(period: int | None) -> bool:
    """Whether it is the code of a period that comes again."""
    return period == _WEEKLY or period in _MONTHS


def is_occurrence(anchor: date, period: int, day: date) -> bool:
    return occurrence(anchor, period, _number_before(anchor, period, day)) == day


def next_occurrence(anchor: date, period: int, day: date) -> date | None:
    """The first occurrence that is later than `day`."""
    return occurrence(anchor, period, _number_before(anchor, period, day) + 1)


def occurrence_before(anchor: date, period: int, day: date) -> date | None:
    """The last occurrence that is not later than `day`."""
    return occurrence(anchor, period, _number_before(anchor, period, day))


def _number_before(anchor: date, period: int, day: date) -> int:
    """The number of the last occurrence that is not later than `day`."""
    if period == _WEEKLY:
        return (day - anchor).days // 7
    months = (day.year - anchor.year) * 12 + day.month - anchor.month
    number = months // _MONTHS[period]
    found = occurrence(anchor, period, number)
    return number if found is None or found <= day else number - 1


def _is_within(ordinal: int) -> bool:
    return date.min.toordinal() <= ordinal <= date.max.toordinal()


def _clipped(months: int, day: int) -> date:
    """That day of a month, counted from the year 0, or the month's last."""
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day, monthrange(year, month + 1)[1]))


# --- the due day -----------------------------------------------------------------------------


def due_date(invoiced: date, kind: int, days: int) -> date:
    """The due day by HaloPSA's `due_date_type` and `due_date_int`.

    A number that leads out of the calendar gives its last day, or the first that we read.
    """
    match kind:
        case 1:
            return _days_later(_last_of_month(invoiced), days)
        case 2:
            return _day_of_month(_month_later(invoiced), days)
        case 3:
            return _day_of_month(invoiced, days)
        case _:
            return _days_later(invoiced, days)


def _days_later(day: date, days: int) -> date:
    if days > (date.max - day).days:
        return date.max
    if days < (_EARLIEST - day).days:
        return _EARLIEST
    return day + timedelta(days=days)


def _month_later(day: date) -> date:
    months = day.year * 12 + day.month
    return _clipped(months, 1) if months < (MAXYEAR + 1) * 12 else day


def _last_of_month(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def _day_of_month(day: date, number: int) -> date:
    last = monthrange(day.year, day.month)[1]
    return day.replace(day=min(max(number, 1), last))
