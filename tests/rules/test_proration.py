"""The price of some days of a period, by the formula of docs/billing.md."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from app.rules.proration import prorated, prorated_sum
from app.rules.schedule import BillingPeriod, TemplateSchedule, periods_between

MARCH = BillingPeriod(date(2026, 3, 1), date(2026, 3, 31))
FEBRUARY = BillingPeriod(date(2028, 2, 1), date(2028, 2, 29))
YEAR = BillingPeriod(date(2026, 1, 1), date(2026, 12, 31))
LEAP_YEAR = BillingPeriod(date(2028, 1, 1), date(2028, 12, 31))


@pytest.mark.parametrize(
    ("amount", "period", "since", "until", "currency", "expected"),
    [
        # HaloPSA's guide: two licences come on the 16th of March; sixteen of 31 days are left.
        ("20", MARCH, "2026-03-16", "2026-03-31", "usd", "10.32"),
        ("20", MARCH, "2026-03-01", "2026-03-15", "usd", "9.68"),
        ("20", MARCH, "2026-03-01", "2026-03-31", "usd", "20"),
        ("20", MARCH, "2026-03-31", "2026-03-31", "usd", "0.65"),
        # Days outside of the period cost nothing in it.
        ("20", MARCH, "2026-02-10", "2026-04-20", "usd", "20"),
        ("20", MARCH, "2026-04-01", "2026-04-20", "usd", "0"),
        ("20", MARCH, "2026-02-01", "2026-02-28", "usd", "0"),
        ("20", MARCH, "2026-03-20", "2026-03-19", "usd", "0"),
        # Leap years have a day more, in February and in the year.
        ("29", FEBRUARY, "2028-02-29", "2028-02-29", "usd", "1"),
        ("365", YEAR, "2026-12-31", "2026-12-31", "usd", "1"),
        ("366", LEAP_YEAR, "2028-02-29", "2028-02-29", "usd", "1"),
        # Currencies without cents, with three decimals, and what goes instead of coming.
        ("3100", MARCH, "2026-03-16", "2026-03-31", "jpy", "1600"),
        ("1000", MARCH, "2026-03-16", "2026-03-31", "jpy", "516"),
        ("10", MARCH, "2026-03-16", "2026-03-31", "kwd", "5.16"),
        ("-20", MARCH, "2026-03-16", "2026-03-31", "usd", "-10.32"),
    ],
)  # fmt: skip
def test_days_cost_their_share(
    amount: str, period: BillingPeriod, since: str, until: str, currency: str, expected: str
) -> None:
    days = (date.fromisoformat(since), date.fromisoformat(until))

    assert prorated(Decimal(amount), period, *days, currency) == Decimal(expected)


@given(
    st.decimals("-100000", "100000", places=4),
    st.lists(st.integers(0, 30), max_size=6),
    st.sampled_from(["usd", "jpy", "kwd"]),
)
def test_the_parts_of_a_period_add_up_to_the_whole(
    amount: Decimal, cuts: list[int], currency: str
) -> None:
    assert MARCH.last is not None
    firsts = sorted({MARCH.first, *(MARCH.first + timedelta(days=one) for one in cuts)})
    lasts = [one - timedelta(days=1) for one in firsts[1:]] + [MARCH.last]

    parts = [
        prorated(amount, MARCH, first, last, currency)
        for first, last in zip(firsts, lasts, strict=True)
    ]

    whole = prorated(amount, MARCH, MARCH.first, MARCH.last, currency)
    assert sum(parts) == whole


def test_days_of_several_periods_cost_their_share_of_each() -> None:
    monthly = TemplateSchedule(2, date(2026, 4, 1))
    since, until = date(2026, 2, 15), date(2026, 3, 31)

    periods = list(periods_between(monthly, since, until))

    assert [one.first for one in periods] == [date(2026, 2, 1), date(2026, 3, 1)]
    assert prorated_sum(Decimal(28), periods, since, until, "usd") == 14 + 28
    assert list(periods_between(TemplateSchedule(0, since), since, until)) == []
