"""The language of a page: whose choice it is, and how it writes and reads numbers and days."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select

from app.console.language import (
    BY_BROWSER,
    LANGUAGES,
    N_,
    find_decimal,
    preferred_language,
    read_decimal,
    template_gettext,
    use_language,
)
from app.console.pages.search_terms import search_terms
from app.console.pages.wording import ViewerTime, duration, ordinal, shown_amount
from app.console.people.sessions import USERS
from tests.console.conftest import Console

GERMAN = "de-AT, de;q=0.9, en;q=0.5"


@pytest.fixture
def german() -> Iterator[None]:
    use_language("de", "")
    yield
    use_language("en", "")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"),
        ("de", "de"),
        (GERMAN, "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("fr, de;q=0.4", "de"),
        ("de;q=0, en", "en"),
        ("de;q=nan, de;q=x, DE;q=0.1", "de"),
        ("tlh, xx;q=1", "en"),
        (",;,=;q" * 500 + "de", "en"),
    ],
)
def test_the_browser_s_first_language_of_ours_is_taken(header: str, expected: str) -> None:
    assert preferred_language(header) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "1,204.50", "1204.50"),
        ("en", "1204.5", "1204.5"),
        ("en", "120,50", None),
        ("en", "1,2,3", None),
        ("de", "1.204,50", "1204.50"),
        ("de", "120,5", "120.5"),
        ("de", "1.204", "1204"),
        ("de", "120.50", None),
        ("de", "1.20", None),
        ("de", "zwölf", None),
        ("de", "", None),
        ("de", "9" * 100, None),
    ],
)
def test_an_amount_that_the_language_writes_otherwise_is_none(
    language: str, text: str, expected: str | None, german: None
) -> None:
    use_language(language, "")

    assert read_decimal(text) == (Decimal(expected) if expected else None)


def test_a_search_takes_an_amount_of_the_language_or_of_an_address(german: None) -> None:
    assert find_decimal("120,50") == find_decimal("120.50") == Decimal("120.50")
    amount = search_terms("1.204,50 eur").amount
    assert amount is not None
    assert amount.value == Decimal("1204.50")


def test_german_writes_numbers_days_and_words(german: None) -> None:
    times = ViewerTime(datetime(2026, 11, 27, 1, 30, tzinfo=UTC), "Europe/Berlin")

    assert shown_amount(Decimal("-1204.5"), "eur").text == "−1.204,50 EUR"
    assert shown_amount(Decimal("0.75"), "kwd").text == "0,750 KWD"
    assert times.day(date(2026, 11, 28)) == "Sa., 28. Nov."
    assert times.long_day(date(2026, 11, 27)) == "Heute, Freitag, 27. November"
    assert times.distance(date(2026, 11, 29)) == "in 2 Tagen"
    assert duration(3 * 86400) == "3 Tage"
    assert ordinal(2) == "2."


def test_a_message_of_a_constant_is_translated_when_it_is_shown(german: None) -> None:
    paid = N_("Paid")

    assert f"{paid}" == str(paid) == "Bezahlt"
    assert paid == "Paid", "code compares it as it stands there"


def test_a_value_in_a_message_is_text_whatever_it_holds(german: None) -> None:
    shown = template_gettext("Nothing matches %(query)s", query="<b>%(x)s\u202e")

    assert shown == r"Nichts passt zu &lt;b&gt;%(x)s\u202e"


@pytest.mark.anyio
async def test_a_person_s_own_choice_comes_before_the_browser_s(console: Console) -> None:
    login = await console.a_user()
    browser = await console.signed_in(login=login)
    before = await browser.get("/account", Accept_Language=GERMAN)

    for chosen in LANGUAGES:
        await browser.submit("/account", {"name": "Ada", "locale": chosen})
        shown = await browser.get("/account", Accept_Language=GERMAN)
        assert f'<html lang="{chosen}"' in shown.text
    refused = await browser.submit("/account", {"name": "Ada", "locale": "xx"})

    async with console.database.snapshot() as tx:
        stored = await tx.scalar(select(USERS.c.locale).where(USERS.c.login == login))
    assert '<html lang="de"' in before.text
    assert "Wie Sie sich anmelden" in before.text
    assert refused.status == 400
    assert stored == list(LANGUAGES)[-1]
    assert BY_BROWSER not in LANGUAGES


@pytest.mark.anyio
async def test_whoever_is_a_stranger_yet_reads_the_browser_s_language(console: Console) -> None:
    shown = await console.browser().get("/sign-in", Accept_Language=GERMAN)
    other = await console.browser().get("/sign-in", Accept_Language="en")

    assert '<html lang="de"' in shown.text
    assert "angemeldet" in shown.text or "anmelden" in shown.text
    assert "Bei Paydue anmelden" not in other.text
