"""The figures of /reports, as their tables show them, on both engines."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from app.console.people.roles import Role
from tests.console.browser import Browser
from tests.console.furnished import signed_in
from tests.harness import Paydue

pytestmark = pytest.mark.anyio


@pytest.fixture
async def browser(paydue: Paydue) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(paydue.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield await signed_in(paydue, http, Role.VIEWER)


async def _tables(browser: Browser) -> dict[str, dict[str, list[str]]]:
    """The cells of each report's table, by its title and the name of the row."""
    page = (await browser.get("/reports")).text
    found = {}
    for title, table in re.findall(
        r'aria-label="([^"]+), table".*?<tbody>(.*?)</tbody>', page, re.S
    ):
        rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table, re.S)
        found[title] = {
            name: re.findall(r'<td class="num">(.*?)</td>', cells) for name, cells in rows
        }
    return found


async def test_an_empty_paydue_reports_nothing(paydue: Paydue, browser: Browser) -> None:
    assert await _tables(browser) == {}
    page = (await browser.get("/reports")).text
    assert "Nobody owes anything" in page
    assert "Nothing will be charged" in page


async def test_reports_add_up_what_is_owed_came_in_and_will_come(
    paydue: Paydue, browser: Browser
) -> None:
    today = datetime.now(UTC).date()
    owes = {"take_auto_payment": False}
    for age, total in ((0, "1.00"), (1, "2.00"), (30, "4.00"), (31, "8.00"), (90, "16.00"),
                       (91, "32.00")):  # fmt: skip
        await paydue.an_invoice(total, due=today - timedelta(days=age), **owes)
    await paydue.an_invoice("500", due=today - timedelta(days=61), currency_iso="jpy", **owes)
    await paydue.an_invoice("120.00")
    await paydue.an_invoice("30.00", client=await paydue.a_client("insufficient_funds"))
    await paydue.autopay()

    tables = await _tables(browser)

    assert tables["Ageing"] == {
        "JPY": ["0", "0", "0", "500", "0"],
        "USD": ["31.00", "6.00", "8.00", "16.00", "32.00"],
    }
    assert tables["Money in"]["USD"][-2:] == ["0.00", "120.00"]
    assert len(tables["Money in"]["USD"]) == 30
    assert tables["Success rate"]["All"][-2:] == ["none", "50 % of 2"]
    # The decline is tried again; the others are not flagged.
    assert [one for one in tables["Forecast"]["USD"] if one != "0.00"] == ["30.00"]
