"""When a template makes its next invoice, and which day that one falls due."""

from calendar import monthrange
from datetime import date, timedelta

import pytest
from hypothesis import given, strategies as st

from app.rules import schedule
from app.rules.schedule import BillingPeriod, NotBilled, TemplateSchedule

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
def test_the_next_period_begins_a_period_later(
    start: str, period: int, next_one: str | None
) -> None:
    first = date.fromisoformat(start)

    found = schedule.next_period(TemplateSchedule(period, first), first, set())

    assert found == (date.fromisoformat(next_one) if next_one else None)


# Each row: the anchor, HaloPSA's code, and the first days of the periods that follow it. Month ends
# as java.time's plusMonths, dateutil's relativedelta and Stripe's billing_cycle_anchor have them.
@pytest.mark.parametrize(
    ("anchor", "period", "following"),
    [
        ("2026-01-31", MONTH, "2026-02-28 2026-03-31 2026-04-30 2026-05-31 2026-06-30"),
        ("2027-12-30", MONTH, "2028-01-30 2028-02-29 2028-03-30 2028-04-30"),
        ("2026-08-31", QUARTER, "2026-11-30 2027-02-28 2027-05-31 2027-08-31"),
        ("2026-08-31", HALF_YEAR, "2027-02-28 2027-08-31 2028-02-29"),
        ("2028-02-29", YEAR, "2029-02-28 2030-02-28 2031-02-28 2032-02-29"),
        ("2096-02-29", FOUR_YEARS, "2100-02-28 2104-02-29"),
        ("2026-12-31", WEEK, "2027-01-07 2027-01-14"),
    ],
)
def test_a_shorter_month_does_not_move_the_day_for_good(
    anchor: str, period: int, following: str
) -> None:
    first = date.fromisoformat(anchor)
    found, day = [], first
    for _ in following.split():
        one = schedule.next_period(TemplateSchedule(period, day, anchor=first), day, set())
        assert one is not None
        found.append(str(one))
        day = one

    assert found == following.split()


TODAY = date(2026, 11, 22)


def days(period: int | None, **named: str) -> TemplateSchedule:
    on = {name: date.fromisoformat(one) for name, one in named.items()}
    return TemplateSchedule(
        period, on.get("day"), on.get("anchor"), on.get("start"), on.get("end"), on.get("billed")
    )


@pytest.mark.parametrize(
    ("terms", "made", "expected"),
    [
        # The period is the one that is due, whatever the day of the run.
        (days(MONTH, day="2026-11-01"), "", "2026-11-01 2026-11-30"),
        (days(MONTH, day="2026-11-22"), "", "2026-11-22 2026-12-21"),
        (days(MONTH, day="2026-09-30", anchor="2026-08-31"), "", "2026-09-30 2026-10-30"),
        (days(MONTH, day="2026-11-23"), "", NotBilled.AHEAD),
        # One that is made is passed over, whoever set the date back.
        (days(MONTH, day="2026-09-01"), "2026-09-01", "2026-10-01 2026-10-31"),
        (days(MONTH, day="2026-10-01"), "2026-10-01 2026-11-01", NotBilled.AHEAD),
        (days(ONCE, day="2026-09-01"), "", "2026-09-01"),
        (days(ONCE, day="2026-09-01"), "2026-09-01", NotBilled.ONCE),
        (days(ONCE, day="2026-09-01"), "2026-08-01", NotBilled.ONCE),
        (days(None, day="2026-09-01"), "2026-09-01", NotBilled.ONCE),
        (days(10, day="2026-09-01"), "", "2026-09-01"),
        # Its own first and last day.
        (days(MONTH, day="2026-11-01", end="2026-10-31"), "", NotBilled.ENDED),
        (days(MONTH, day="2026-11-01", end="2026-11-01"), "", "2026-11-01 2026-11-30"),
        (days(MONTH, day="2026-01-31", start="2026-06-15"), "", "2026-06-30 2026-07-30"),
        (days(MONTH, day="2026-01-15", start="2026-06-15"), "", "2026-06-15 2026-07-14"),
        (days(MONTH, day="2026-01-15", start="2027-06-15"), "", NotBilled.AHEAD),
        (days(ONCE, day="2026-01-15", start="2026-06-15"), "", "2026-06-15"),
        (days(MONTH, day="2026-02-28", start="2026-01-31"), "", "2026-02-28 2026-03-30"),
        # Nobody has said a next day.
        (days(MONTH), "", "2026-11-22 2026-12-21"),
        (days(MONTH, start="2026-01-31"), "", "2026-10-31 2026-11-29"),
        (days(MONTH, start="2026-12-01"), "", NotBilled.AHEAD),
        (days(MONTH, billed="2026-11-10"), "", NotBilled.AHEAD),
        (days(MONTH, billed="2026-10-10", start="2026-01-01"), "", "2026-11-01 2026-11-30"),
        (days(ONCE), "2026-01-01", NotBilled.ONCE),
        (days(None), "", "2026-11-22"),
        (days(None), "2026-11-21", "2026-11-22"),
        (days(None), "2026-11-22", NotBilled.ONCE),
        # The calendar's end is one.
        (days(MONTH, day="9999-12-31"), "", NotBilled.AHEAD),
    ],
)  # fmt: skip
def test_a_template_bills_the_first_period_that_has_begun_and_is_not_made(
    terms: TemplateSchedule, made: str, expected: str | NotBilled
) -> None:
    known = {date.fromisoformat(one) for one in made.split()}

    found = schedule.billing_period(terms, today=TODAY, made=known)

    if isinstance(found, BillingPeriod):
        assert " ".join(str(one) for one in (found.first, found.last) if one) == expected
    else:
        assert found == expected


def test_a_period_ahead_is_billed_early_when_a_person_asks() -> None:
    terms = days(MONTH, day="2026-12-01", end="2026-12-31")

    early = schedule.billing_period(terms, today=TODAY, early=True)
    ended = schedule.billing_period(terms, today=TODAY, early=True, made={date(2026, 12, 1)})

    assert early == BillingPeriod(date(2026, 12, 1), date(2026, 12, 31))
    assert ended == NotBilled.ENDED


@given(
    st.dates(date(1990, 1, 1), date(2090, 1, 1)),
    st.integers(1, 9),
    st.integers(-40, 400),
    st.integers(0, 500),
)
def test_periods_follow_each_other_without_a_gap_and_keep_their_day(
    anchor: date, period: int, number: int, offset: int
) -> None:
    day = schedule.occurrence(anchor, period, number)
    assert day is not None
    terms = TemplateSchedule(period, day, anchor=anchor)

    following = schedule.next_period(terms, day, set())
    within = day + timedelta(days=offset % ((following or day) - day).days)

    assert following == schedule.occurrence(anchor, period, number + 1)
    assert schedule.is_occurrence(anchor, period, day)
    assert schedule.next_occurrence(anchor, period, within) == following
    assert next(schedule.periods_between(terms, within, within)).first == day
    if period != WEEK:
        assert following is not None
        assert following.day == min(anchor.day, monthrange(following.year, following.month)[1])


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
