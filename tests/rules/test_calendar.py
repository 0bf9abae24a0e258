"""Business days begin where the business is; a daily job has one next instant, DST or not."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, strategies as st

from app.errors import InvalidField
from app.rules import calendar
from app.rules.calendar import business_day, latest_day, next_daily

MOMENTS = st.integers(1_600_000_000, 2_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))
ZONES = [
    "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "UTC", "Australia/Lord_Howe",
    "America/Santiago",
]  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "timezone", "day"),
    [
        ("2026-11-22T00:00", "UTC", date(2026, 11, 22)),
        ("2026-11-21T23:59:59", "UTC", date(2026, 11, 21)),
        ("2026-11-22T04:59", "America/New_York", date(2026, 11, 21)),
        ("2026-11-22T05:00", "America/New_York", date(2026, 11, 22)),
        ("2026-11-21T23:00", "Europe/Berlin", date(2026, 11, 22)),
        ("2026-07-21T22:00", "Europe/Berlin", date(2026, 7, 22)),
        ("2026-07-21T21:59", "Europe/Berlin", date(2026, 7, 21)),
        ("2026-11-21T10:00", "Pacific/Kiritimati", date(2026, 11, 22)),
        ("2026-11-22T11:59", "Etc/GMT+12", date(2026, 11, 21)),
        ("2026-11-21T18:15", "Asia/Kathmandu", date(2026, 11, 22)),
    ],
)
def test_the_business_day_is_the_one_on_the_businesss_own_wall(
    now: str, timezone: str, day: date
) -> None:
    assert business_day(at(now), timezone) == day


def test_no_day_has_begun_anywhere_that_has_not_begun_in_kiritimati() -> None:
    assert latest_day(at("2026-11-21T09:59")) == date(2026, 11, 21)
    assert latest_day(at("2026-11-21T10:00")) == date(2026, 11, 22)


@given(MOMENTS, st.sampled_from([*ZONES, "Pacific/Apia", "Etc/GMT+12"]))
def test_nowhere_is_a_day_later_than_the_latest(now: datetime, timezone: str) -> None:
    assert business_day(now, timezone) <= latest_day(now)


@pytest.mark.parametrize(
    ("after", "local", "timezone", "due"),
    [
        ("2026-11-22T05:59", time(6), "UTC", "2026-11-22T06:00"),
        ("2026-11-22T06:00", time(6), "UTC", "2026-11-23T06:00"),
        ("2026-11-22T06:00:01", time(6), "UTC", "2026-11-23T06:00"),
        ("2026-11-21T23:30", time(0, 15), "Europe/Berlin", "2026-11-22T23:15"),
        ("2026-11-22T04:00", time(6), "America/New_York", "2026-11-22T11:00"),
        # Clocks go forward on 29 March at 02:00: half past two does not exist that day.
        ("2026-03-28T12:00", time(2, 30), "Europe/Berlin", "2026-03-29T01:30"),
        ("2026-03-29T01:30", time(2, 30), "Europe/Berlin", "2026-03-30T00:30"),
        ("2026-03-28T12:00", time(6), "Europe/Berlin", "2026-03-29T04:00"),
        # Clocks go back on 25 October at 03:00: half past two happens twice, the job once.
        ("2026-10-24T12:00", time(2, 30), "Europe/Berlin", "2026-10-25T00:30"),
        ("2026-10-25T00:30", time(2, 30), "Europe/Berlin", "2026-10-26T01:30"),
        ("2026-10-25T01:00", time(2, 30), "Europe/Berlin", "2026-10-26T01:30"),
        ("2026-11-21T09:00", time(0), "Pacific/Kiritimati", "2026-11-21T10:00"),
    ],
)
def test_a_daily_job_is_next_due_when_the_local_clock_shows_its_time(
    after: str, local: time, timezone: str, due: str
) -> None:
    assert next_daily(at(after), local, timezone) == at(due)


@given(MOMENTS, st.times(), st.sampled_from(ZONES))
def test_a_daily_job_is_always_due_within_a_day_and_a_bit_and_only_once_a_day(
    after: datetime, local: time, timezone: str
) -> None:
    due = next_daily(after, local, timezone)
    following = next_daily(due, local, timezone)

    assert after < due <= after + timedelta(hours=26)
    assert business_day(following, timezone) > business_day(due, timezone)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "UTC\0", "/etc/localtime"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidField, match="timezone"):
        calendar.zone(name)
