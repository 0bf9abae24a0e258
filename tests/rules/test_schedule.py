"""When a template makes its next invoice, and which day that one falls due."""

from datetime import UTC, date, datetime

import pytest

from app.rules import schedule

# HaloPSA's codes of `period`.
ONCE, WEEK, MONTH, YEAR, QUARTER, HALF_YEAR = range(6)
FIVE_YEARS, THREE_YEARS, TWO_YEARS, FOUR_YEARS = range(6, 10)
# HaloPSA's codes of `due_date_type`: days after the invoice, days after the end of its month, a day
# of the next month, a day of the same month.
AFTER_INVOICE, AFTER_MONTH_END, DAY_OF_NEXT, DAY_OF_SAME = range(4)


@pytest.mark.parametrize(
    ("start", "period", "next_one"),
    [
        ("2026-01-15", ONCE, None),
        ("2026-01-15", WEEK, "2026-01-22"),
        ("2026-01-15", MONTH, "2026-02-15"),
        ("2026-01-15", YEAR, "2027-01-15"),
        ("2026-01-15", QUARTER, "2026-04-15"),
        ("2026-01-15", HALF_YEAR, "2026-07-15"),
        ("2026-01-15", FIVE_YEARS, "2031-01-15"),
        ("2026-01-15", THREE_YEARS, "2029-01-15"),
        ("2026-01-15", TWO_YEARS, "2028-01-15"),
        ("2026-01-15", FOUR_YEARS, "2030-01-15"),
        # No code of HaloPSA's: nothing more is made, rather than at a guess.
        ("2026-01-15", 10, None),
        ("2026-01-15", -1, None),
        # Over the end of a month, a year, and of a shorter month.
        ("2026-02-26", WEEK, "2026-03-05"),
        ("2028-02-26", WEEK, "2028-03-04"),
        ("2026-12-28", WEEK, "2027-01-04"),
        ("2026-11-30", MONTH, "2026-12-30"),
        ("2026-12-31", MONTH, "2027-01-31"),
        ("2026-01-31", MONTH, "2026-02-28"),
        ("2028-01-31", MONTH, "2028-02-29"),
        ("2028-01-29", MONTH, "2028-02-29"),
        ("2026-03-31", MONTH, "2026-04-30"),
        ("2026-02-28", MONTH, "2026-03-28"),
        ("2026-11-30", QUARTER, "2027-02-28"),
        ("2027-11-30", QUARTER, "2028-02-29"),
        ("2026-12-31", HALF_YEAR, "2027-06-30"),
        ("2028-02-29", YEAR, "2029-02-28"),
        ("2028-02-29", TWO_YEARS, "2030-02-28"),
        ("2028-02-29", THREE_YEARS, "2031-02-28"),
        ("2028-02-29", FOUR_YEARS, "2032-02-29"),
        ("2028-02-29", FIVE_YEARS, "2033-02-28"),
        ("2096-02-29", FOUR_YEARS, "2100-02-28"),
        # The calendar ends; a schedule that comes to its end makes nothing more.
        ("9999-12-24", WEEK, "9999-12-31"),
        ("9999-12-25", WEEK, None),
        ("9999-11-30", MONTH, "9999-12-30"),
        ("9999-12-01", MONTH, None),
        ("9998-12-31", YEAR, "9999-12-31"),
        ("9999-01-01", YEAR, None),
        ("9994-12-31", FIVE_YEARS, "9999-12-31"),
        ("9995-01-01", FIVE_YEARS, None),
    ],
)
def test_the_next_invoice_is_made_a_period_later(
    start: str, period: int, next_one: str | None
) -> None:
    found = schedule.next_creation(datetime.fromisoformat(start), period)

    assert found == (datetime.fromisoformat(next_one) if next_one else None)


@pytest.mark.parametrize("period", [WEEK, MONTH, FIVE_YEARS])
def test_the_next_invoice_is_made_at_the_same_time_of_day(period: int) -> None:
    start = datetime(2026, 1, 31, 9, 30, 15, 250, tzinfo=UTC)

    found = schedule.next_creation(start, period)

    assert found is not None
    assert found.timetz() == start.timetz()


@pytest.mark.parametrize(
    ("invoiced", "kind", "days", "due_on"),
    [
        ("2026-01-15", AFTER_INVOICE, 0, "2026-01-15"),
        ("2026-01-15", AFTER_INVOICE, 14, "2026-01-29"),
        ("2026-01-15", AFTER_INVOICE, 30, "2026-02-14"),
        ("2026-12-31", AFTER_INVOICE, 1, "2027-01-01"),
        ("2028-02-28", AFTER_INVOICE, 1, "2028-02-29"),
        ("2026-01-15", AFTER_INVOICE, -5, "2026-01-10"),
        ("2026-01-15", AFTER_MONTH_END, 0, "2026-01-31"),
        ("2026-01-31", AFTER_MONTH_END, 0, "2026-01-31"),
        ("2026-04-01", AFTER_MONTH_END, 0, "2026-04-30"),
        ("2026-02-10", AFTER_MONTH_END, 0, "2026-02-28"),
        ("2028-02-10", AFTER_MONTH_END, 0, "2028-02-29"),
        ("2026-02-10", AFTER_MONTH_END, 30, "2026-03-30"),
        ("2026-12-05", AFTER_MONTH_END, 1, "2027-01-01"),
        ("2026-01-15", DAY_OF_NEXT, 20, "2026-02-20"),
        ("2026-01-31", DAY_OF_NEXT, 5, "2026-02-05"),
        ("2026-12-15", DAY_OF_NEXT, 1, "2027-01-01"),
        ("2026-01-15", DAY_OF_NEXT, 31, "2026-02-28"),
        ("2028-01-15", DAY_OF_NEXT, 31, "2028-02-29"),
        ("2026-03-31", DAY_OF_NEXT, 31, "2026-04-30"),
        ("2026-01-15", DAY_OF_NEXT, 0, "2026-02-01"),
        ("2026-01-15", DAY_OF_NEXT, -3, "2026-02-01"),
        ("2026-01-15", DAY_OF_SAME, 20, "2026-01-20"),
        ("2026-01-15", DAY_OF_SAME, 10, "2026-01-10"),
        ("2026-02-15", DAY_OF_SAME, 31, "2026-02-28"),
        ("2028-02-15", DAY_OF_SAME, 30, "2028-02-29"),
        ("2026-04-15", DAY_OF_SAME, 31, "2026-04-30"),
        ("2026-01-15", DAY_OF_SAME, 0, "2026-01-01"),
        ("2026-01-15", DAY_OF_SAME, -3, "2026-01-01"),
        # No code of HaloPSA's counts from the invoice, as the first one does.
        ("2026-01-15", 4, 14, "2026-01-29"),
        ("2026-01-15", -1, 14, "2026-01-29"),
        # A number that was stored before it had bounds leads no further than the calendar goes.
        ("2026-01-15", AFTER_INVOICE, 2147483647, "9999-12-31"),
        ("2026-01-15", AFTER_MONTH_END, 99999999999, "9999-12-31"),
        ("2026-01-15", AFTER_INVOICE, -2147483648, "1900-01-01"),
        ("2026-01-15", DAY_OF_NEXT, 2147483647, "2026-02-28"),
        ("9999-12-30", AFTER_INVOICE, 1, "9999-12-31"),
        ("9999-12-30", AFTER_INVOICE, 2, "9999-12-31"),
    ],
)
def test_an_invoice_falls_due_by_its_templates_terms(
    invoiced: str, kind: int, days: int, due_on: str
) -> None:
    found = schedule.due_date(date.fromisoformat(invoiced), kind, days)

    assert found == date.fromisoformat(due_on)
