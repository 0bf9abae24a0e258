"""Amounts, times, search texts and states in words: tables of cases, without a database."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from app.console.pages.events_page import cause_of
from app.console.pages.search_terms import search_terms
from app.console.pages.wording import (
    LastTry,
    Tone,
    ViewerTime,
    duration,
    method_name,
    ordinal,
    payment_state,
    shown_amount,
)
from app.rules.payment import PaymentStatus

NOW = datetime(2026, 11, 27, 1, 30, tzinfo=UTC)
TIMES = ViewerTime(NOW, "Europe/Berlin")


def test_a_moment_stands_in_utc_only_where_that_is_another_time() -> None:
    assert TIMES.moment(NOW).time == "02:30:00"
    assert TIMES.moment(NOW).utc == "01:30:00"
    for zone in ("UTC", "Etc/UTC"):
        assert ViewerTime(NOW, zone).moment(NOW).time == "01:30:00"
        assert ViewerTime(NOW, zone).moment(NOW).utc == ""


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("1204.5", "eur", "1,204.50 EUR"),
        ("128000", "jpy", "128,000 JPY"),
        ("0.75", "kwd", "0.750 KWD"),
        ("-100", "usd", "−100.00 USD"),
        ("0", "usd", "0.00 USD"),
        ("1234567.005", "usd", "1,234,567.005 USD"),
    ],
)
def test_no_digit_of_an_amount_is_cut(amount: str, currency: str, expected: str) -> None:
    assert shown_amount(Decimal(amount), currency).text == expected


def test_days_are_said_as_people_say_them() -> None:
    assert TIMES.day(date(2026, 11, 28)) == "Sat 28 Nov"
    assert TIMES.day(date(2027, 1, 2)) == "Sat 2 Jan 2027"
    assert TIMES.distance(date(2026, 11, 29)) == "in 2 days"
    assert TIMES.distance(date(2026, 11, 26)) == "yesterday"
    # Half past one in UTC on the 27th is half past two in Berlin, and still the 26th in New York.
    assert ViewerTime(NOW, "America/New_York").today == date(2026, 11, 26)
    assert TIMES.moment(NOW).time == "02:30:00"
    assert TIMES.moment(NOW).utc == "01:30:00"
    assert [duration(one) for one in (0, 59, 60, 7300, 86400, 200000)] == [
        "0 s", "59 s", "1 min", "2 h", "1 day", "2 days",
    ]  # fmt: skip


def test_a_try_is_numbered_as_people_say_it() -> None:
    said = [ordinal(number) for number in (1, 6, 7, 11, 12, 13, 21, 22, 23, 101, 111)]

    assert said == "first sixth 7th 11th 12th 13th 21st 22nd 23rd 101st 111th".split()


def test_a_state_that_is_not_final_is_never_shown_as_failed() -> None:
    again = LastTry("declined", date(2026, 11, 28), "insufficient_funds", "card_declined", None)
    lost = again._replace(next_try_on=None, decline_code="lost_card")
    for last in (None, again, again._replace(state="unknown"), again._replace(state="open")):
        for status in (PaymentStatus.FAILED, PaymentStatus.CREATED, PaymentStatus.PROCESSING):
            shown = payment_state(status, last, TIMES)
            assert shown.tone != Tone.BAD
            assert "fail" not in shown.text.lower()

    assert payment_state(PaymentStatus.FAILED, again, TIMES).text == "Tries again Sat 28 Nov"
    assert payment_state(PaymentStatus.FAILED, lost, TIMES).text == "Declined for good"
    assert {payment_state(status, None, TIMES).text for status in PaymentStatus} >= {"Succeeded"}


def test_a_text_in_the_box_means_all_that_it_may_mean() -> None:
    assert search_terms(" pi_123 ").object_id == "pi_123"
    assert search_terms("pi_1 2").object_id is None
    assert search_terms("4242")._replace(text="") == search_terms("4242")._replace(text="")
    four = search_terms("4242")
    assert (four.number, four.last_four, four.amount and four.amount.value) == (
        4242, "4242", Decimal(4242),
    )  # fmt: skip
    amounts = {"120.50 EUR": "eur", "€120.50": "eur", "120.50": None, "$ 120.50": "usd"}
    for text, currency in amounts.items():
        found = search_terms(text).amount
        assert found is not None, text
        assert (found.value, found.currency) == (Decimal("120.50"), currency)
    for text in ("0", "1.2345", "-5", "12 apples", "x" * 300, "9" * 40, "²", "NaN"):
        assert search_terms(text).amount is None, text
    assert search_terms("9" * 40).number is None
    filters = search_terms("amount:100 Declined last30days client:acme").filters
    assert filters == "/payments?amount=100&state=declined&days=30&client=acme"
    assert search_terms("declined by the bank").filters is None


def test_events_of_one_cause_are_told_apart_by_nothing_but_ids_and_numbers() -> None:
    errors = ("invoice 12 does not exist for pi_1a", "invoice 977 does not exist for pi_Zz9")

    assert {cause_of(one) for one in errors} == {"invoice … does not exist for …"}
    assert cause_of(None) == "no reason is known"
    assert method_name("visa 4242") == "Visa 4242"
    assert method_name("sepa_debit 3000") == "SEPA debit 3000"
    assert TIMES.ago(NOW - timedelta(hours=3)) == "3 h"
