"""The bank's daily rates: its two forms, its pauses, and the home currency's point of view."""

from datetime import date
from decimal import Decimal

import pytest

from app.errors import InvalidField
from app.rules.daily_rates import DailyRates, parse_daily_rates, past_rate

DAY = date(2026, 11, 26)
# The forms of https://www.ecb.europa.eu/stats/eurofxref/: of one day, and of all days.
DAILY = "Date, USD, JPY, GBP, \n26 November 2026, 1.0595, 160.51, 0.83400, \n"
HISTORY = "\ufeffDate,USD,JPY,CYP,\n2026-11-26,1.0595,160.51,N/A,\n\n2026-11-25,1.05,160,,\n"


def test_both_forms_of_the_bank_are_read() -> None:
    (daily,) = parse_daily_rates(DAILY)
    first, second = parse_daily_rates(HISTORY)

    rates = {"usd": Decimal("1.0595"), "jpy": Decimal("160.51")}
    assert daily == DailyRates(DAY, {**rates, "gbp": Decimal("0.83400")})
    assert first == DailyRates(DAY, rates)
    assert second == DailyRates(date(2026, 11, 25), {"usd": Decimal("1.05"), "jpy": Decimal(160)})


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", "row 1, column 1"),
        ("day,USD\n", "row 1, column 1"),
        ("Date,USD\n2026-02-30,1\n", "row 2, column Date"),
        ("Date,USD\n,1\n", "row 2, column Date"),
        ("Date,USD\n2026-11-26,1,2\n", "row 2"),
        ("Date,USD\n2026-11-26,1\n2026-11-25,x\n", "row 3, column USD"),
        ("Date,USD\n2026-11-26,0\n", "row 2, column USD"),
        ("Date,USD\n2026-11-26,-1\n", "row 2, column USD"),
        ("Date,USD\n2026-11-26,NaN\n", "row 2, column USD"),
        ("Date,USD\n2026-11-26,Infinity\n", "row 2, column USD"),
        ("Date,USD\n2026-11-26,1\n26 November 2026,1\n", "column Date"),
    ],
)
def test_an_error_is_named_by_its_row_and_column(text: str, at: str) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_daily_rates(text)

    assert refused.value.message.startswith(f"{at}:")


@pytest.mark.parametrize(
    ("home", "expected"),
    [
        ("eur", {"usd": "0.8", "gbp": "2"}),
        ("usd", {"eur": "1.25", "gbp": "2.5"}),
        ("jpy", {}),
    ],
)
def test_rates_are_units_of_the_home_currency(home: str, expected: dict[str, str]) -> None:
    rates = DailyRates(DAY, {"usd": Decimal("1.25"), "gbp": Decimal("0.5")})

    assert rates.in_home(home) == {code: Decimal(one) for code, one in expected.items()}


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-11-19", None),
        ("2026-11-20", "1"),
        ("2026-11-22", "1"),  # a Sunday
        ("2026-11-23", "2"),
        ("2026-11-24", None),  # the newest is the currency's own
        ("2026-12-01", None),
    ],
)
def test_an_earlier_day_has_its_own_rate(day: str, expected: str | None) -> None:
    rates = {
        date(2026, 11, 20): Decimal(1), date(2026, 11, 23): Decimal(2),
        date(2026, 11, 24): Decimal(3),
    }  # fmt: skip

    found = past_rate(rates, date.fromisoformat(day))

    assert found == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(("day", "expected"), [("2026-02-01", "1"), ("2026-02-02", None)])
def test_a_rate_does_not_count_for_more_than_a_month(day: str, expected: str | None) -> None:
    rates = {date(2026, 1, 1): Decimal(1), date(2026, 3, 1): Decimal(2)}

    found = past_rate(rates, date.fromisoformat(day))

    assert found == (None if expected is None else Decimal(expected))
