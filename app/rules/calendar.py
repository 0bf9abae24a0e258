"""Business days in a time zone, and the next time of a daily job."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from app.errors import InvalidField

# No place on earth is further ahead of UTC than this (Kiritimati), so a day that has not begun
# there has begun nowhere.
FURTHEST_AHEAD = timedelta(hours=14)


@lru_cache(maxsize=512)
def zone(name: str, field: str = "timezone") -> ZoneInfo:
    """The IANA time zone of that name, or InvalidField."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidField(field, f"{name!r} is not an IANA time zone") from None


def business_day(now: datetime, timezone: str) -> date:
    """The calendar day at `now` where the business is."""
    return now.astimezone(zone(timezone)).date()


def latest_day(now: datetime) -> date:
    """The furthest calendar day that has begun anywhere at `now`."""
    return (now.astimezone(UTC) + FURTHEST_AHEAD).date()


def next_daily(after: datetime, at: time, timezone: str) -> datetime:
    """The first instant later than `after` at which the local clock shows `at`."""
    local = after.astimezone(zone(timezone))
    due = datetime.combine(local.date(), at, tzinfo=zone(timezone))
    if due <= after:
        due = datetime.combine(local.date() + timedelta(days=1), at, tzinfo=zone(timezone))
    return due.astimezone(UTC)


def on_day(day: date, like: datetime | None, timezone: str) -> datetime:
    """The instant on that day at which the local clock shows what it shows at `like`.

    Midnight without one. A local midnight that is written as an instant of UTC so stays a local
    midnight when the clocks change.
    """
    local = zone(timezone)
    at = like.astimezone(local).time() if like is not None else time()
    return datetime.combine(day, at, tzinfo=local).astimezone(UTC)
