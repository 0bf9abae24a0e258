"""When the prices of a template go up, and to what."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from app.rules import money
from app.rules.price_increase import PriceIncrease, increase_days, last_before, raised_price

WEEKLY, MONTHLY, YEARLY = 1, 2, 3


def day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


@pytest.mark.parametrize(
    ("every", "last", "anchor", "first", "expected"),
    [
        # Said by a person: every year since, also those that were missed.
        (YEARLY, "2025-02-01", None, "2026-01-01", []),
        (YEARLY, "2025-02-01", None, "2026-02-01", ["2026-02-01"]),
        (YEARLY, "2025-02-01", None, "2026-03-01", ["2026-02-01"]),
        (YEARLY, "2023-02-01", None, "2025-02-28", ["2024-02-01", "2025-02-01"]),
        (MONTHLY, "2026-01-31", None, "2026-03-31", ["2026-02-28", "2026-03-31"]),
        # Counted from the line's own day, which shorter months do not move.
        (MONTHLY, "2026-02-28", "2026-01-31", "2026-03-31", ["2026-03-31"]),
        (YEARLY, "2027-02-28", "2024-02-29", "2028-03-01", ["2028-02-29"]),
        (WEEKLY, "2026-01-05", "2026-01-05", "2026-01-12", ["2026-01-12"]),
        # A last day that is none of the series begins one of its own.
        (YEARLY, "2025-06-15", "2021-02-01", "2026-06-15", ["2026-06-15"]),
        # Nobody has said one: what lies before the period counts as done.
        (YEARLY, None, "2021-02-01", "2026-02-01", ["2026-02-01"]),
        (YEARLY, None, "2021-02-01", "2026-03-01", []),
        (YEARLY, None, "2026-02-01", "2026-02-01", []),
        (YEARLY, None, "2026-02-02", "2026-02-01", []),
        (YEARLY, None, None, "2026-02-01", []),
        # The calendar ends.
        (YEARLY, "9998-06-01", None, "9999-12-31", ["9999-06-01"]),
    ],
)  # fmt: skip
def test_a_price_goes_up_on_the_days_since_its_last_increase(
    every: int, last: str | None, anchor: str | None, first: str, expected: list[str]
) -> None:
    increase = PriceIncrease(Decimal(5), every, day(last), day(anchor))

    found = list(increase_days(increase, date.fromisoformat(first)))

    assert [one.isoformat() for one in found] == expected


@pytest.mark.parametrize(
    ("last", "anchor", "first", "expected"),
    [
        ("2020-05-05", "2021-02-01", "2026-02-01", "2020-05-05"),
        (None, None, "2026-02-01", "2026-02-01"),
        (None, "2026-02-01", "2026-02-01", "2026-02-01"),
        (None, "2026-01-31", "2026-02-01", "2026-01-31"),
        (None, "2021-02-01", "2026-02-01", "2025-02-01"),
        (None, "2021-02-01", "2026-02-02", "2026-02-01"),
    ],
)
def test_the_last_increase_is_the_one_that_was_said_or_the_newest_before_the_period(
    last: str | None, anchor: str | None, first: str, expected: str
) -> None:
    increase = PriceIncrease(Decimal(5), YEARLY, day(last), day(anchor))

    assert last_before(increase, date.fromisoformat(first)).isoformat() == expected


@pytest.mark.parametrize(
    ("price", "percent", "currency", "expected"),
    [
        ("100", "3.5", "usd", "103.50"), ("9.99", "5", "usd", "10.49"),
        ("0.10", "5", "usd", "0.11"), ("-9.99", "5", "usd", "-10.49"),
        ("1000", "2.55", "jpy", "1026"), ("1.25", "10", "kwd", "1.38"),
        ("0.0000123456", "10", "usd", "0.00001358016"),
        ("0.333333333333333", "10", "usd", "0.366666666666666"),
        ("10.005", "100", "usd", "20.01"), ("0", "50", "usd", "0"),
        ("1250", "0.0617", "usd", "1250.77"),
    ],
)  # fmt: skip
def test_a_price_is_rounded_as_it_was(
    price: str, percent: str, currency: str, expected: str
) -> None:
    assert raised_price(Decimal(price), Decimal(percent), currency) == Decimal(expected)


@pytest.mark.parametrize(
    ("percent", "every", "applies"),
    [("5", 3, True), ("0.01", 1, True), ("0", 3, False), ("-5", 3, False), ("5", 0, False),
     ("5", 12, False)],
)  # fmt: skip
def test_without_a_percentage_or_a_period_no_price_goes_up(
    percent: str, every: int, applies: bool
) -> None:
    assert PriceIncrease(Decimal(percent), every).applies == applies


@given(
    st.decimals("0.01", "10000", places=2),
    st.decimals("0.01", "50", places=2),
    st.sampled_from(["usd", "jpy", "kwd"]),
)
def test_an_increase_never_lowers_a_price_and_keeps_the_currencys_steps(
    price: Decimal, percent: Decimal, currency: str
) -> None:
    start = money.rounded(price, currency)

    raised = raised_price(start, percent, currency)

    assert raised >= start
    assert money.rounded(raised, currency) == raised


@given(
    st.dates(date(2000, 1, 1), date(2020, 1, 1)),
    st.lists(st.integers(0, 4000), min_size=1, max_size=8),
    st.sampled_from([WEEKLY, MONTHLY, YEARLY]),
)
def test_however_the_periods_fall_each_increase_is_made_once(
    anchor: date, offsets: list[int], every: int
) -> None:
    """Billed period by period or once at the end: the same days."""
    firsts = [anchor + timedelta(days=one) for one in sorted(offsets)]

    def increase(last: date) -> PriceIncrease:
        return PriceIncrease(Decimal(5), every, last, anchor)

    made: list[date] = []
    for first in firsts:
        made += increase_days(increase(made[-1] if made else anchor), first)

    assert made == list(increase_days(increase(anchor), firsts[-1]))
    assert len(set(made)) == len(made)
