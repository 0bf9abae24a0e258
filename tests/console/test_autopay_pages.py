"""Rules, runs, approvals of several and coming charges: the pages on autopay, on both engines."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import aiohttp
import pytest

from app.console.people import users
from app.console.people.roles import Role
from app.console.people.user_events import Act
from app.ledger import approvals, autopay_policy
from app.ledger.approvals import Held
from app.ledger.autopay_policy import RuleRow
from app.payments.autopay import run_history
from app.payments.autopay.report import Outcome, OutcomeKind, RunReport
from app.payments.autopay.run_history import RunState
from tests.console.browser import Browser, Shown
from tests.harness import Paydue, today

pytestmark = pytest.mark.anyio

_TAGS = re.compile(r"<[^>]*>")


@pytest.fixture
async def browser(paydue: Paydue) -> AsyncIterator[Browser]:
    act = Act("tests", datetime.now(UTC))
    async with paydue.database.transaction() as tx:
        await users.add_user(tx, "ada", name="Ada", role=Role.FINANCE, act=act)
        link = await users.issue_link(tx, await users.load_user(tx, "ada"), act)
    async with aiohttp.ClientSession(paydue.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        one = Browser(http)
        await one.follow(link)
        yield one


def _text(shown: Shown) -> str:
    whole = shown.text.replace('<span class="fr">', "")
    return re.sub(r"\s+", " ", unescape(_TAGS.sub(" ", whole)))


async def _rules(paydue: Paydue) -> list[RuleRow]:
    async with paydue.database.snapshot() as tx:
        return await autopay_policy.load_rule_rows(tx)


# --- rules -------------------------------------------------------------------------------------

LARGE = {
    "name": "Large ones",
    "action": "ask",
    "amount_from": "1,000.00",
    "day_from": "due",
    "days": "0",
    "charge_method": "client",
    "consolidate": "",
    "move_days": "",
}


async def _saved(browser: Browser, path: str, fields: dict[str, Any]) -> Shown:
    """The form, sent as it was filled in and once more as its preview was shown."""
    seen = await browser.submit(path, fields)
    assert seen.status == 200, seen.text
    return await browser.post(path, {**fields, **seen.hidden})


async def test_a_rule_is_saved_after_the_invoices_that_it_moves_were_shown(
    paydue: Paydue, browser: Browser
) -> None:
    large = await paydue.an_invoice("1500.00", invoicenumber="INV-LARGE")
    await paydue.an_invoice("20.00")

    seen = await browser.submit("/rules/new", LARGE)
    unsaved = await _rules(paydue)
    other = await browser.post("/rules/new", {**LARGE, **seen.hidden, "amount_from": "2,000"})
    still_unsaved = await _rules(paydue)
    done = await browser.post("/rules/new", {**LARGE, **seen.hidden})

    assert "It moves 1 of 2 open invoices." in _text(seen)
    assert f'href="/invoices/{large}"' in seen.text
    assert "Held for an approval 1 1,500.00 USD" in _text(seen)
    assert "It moves none of 2 open invoices." in _text(other), "it is shown anew, not saved"
    assert unsaved == still_unsaved == []
    assert done.location.startswith("/rules?done=")
    (rule,) = await _rules(paydue)
    assert (rule.name, rule.action, rule.amount_from) == ("Large ones", "ask", Decimal(1000))
    assert "Due at least: 1,000" in _text(await browser.get("/rules"))


async def test_a_preview_is_of_the_rules_as_they_are_when_it_is_saved(
    paydue: Paydue, browser: Browser
) -> None:
    await paydue.an_invoice("1500.00")
    seen = await browser.submit("/rules/new", LARGE)
    await _saved(browser, "/rules/new", {**LARGE, "name": "Somebody else’s"})

    late = await browser.post("/rules/new", {**LARGE, **seen.hidden})

    assert late.status == 200
    assert "It moves none of 1 open invoice." in _text(late)
    assert [one.name for one in await _rules(paydue)] == ["Somebody else’s"]


async def test_a_rule_is_edited_moved_and_removed(paydue: Paydue, browser: Browser) -> None:
    await paydue.an_invoice("1500.00")
    await _saved(browser, "/rules/new", LARGE)
    await _saved(browser, "/rules/new", {**LARGE, "name": "Never", "action": "never"})
    first, second = await _rules(paydue)

    form = (await browser.get(f"/rules/{first.id}")).text
    await _saved(browser, f"/rules/{first.id}", {**LARGE, "amount_from": "", "currency": "usd"})
    moved = await browser.submit(f"/rules/{second.id}/move", {"place": "1"})
    await browser.post(f"/rules/{second.id}/move", {"place": "1", **moved.hidden})
    order = [one.name for one in await _rules(paydue)]
    await _saved(browser, f"/rules/{second.id}/remove", {})

    assert 'name="amount_from" value="1,000"' in form
    assert "Charged no longer 1 1,500.00 USD" in _text(moved)
    assert order == ["Never", "Large ones"]
    (left,) = await _rules(paydue)
    assert (left.amount_from, left.currency) == (None, "usd")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "name"),
        ("amount_from", "120,50", "is no amount such as 120.50"),
        ("action", "perhaps", "is none of charge"),
        ("weekdays", "someday", "weekdays"),
        ("day_of_month", "32", "day_of_month"),
        ("days", "9" * 30, "days"),
    ],
)
async def test_a_field_that_makes_no_sense_is_refused_beside_the_others(
    paydue: Paydue, browser: Browser, field: str, value: str, said: str
) -> None:
    shown = await browser.submit("/rules/new", {**LARGE, field: value})

    assert shown.status in (400, 404), shown.text
    assert said in _text(shown)
    assert "Nothing was done." in _text(shown)
    assert await _rules(paydue) == []


@pytest.mark.parametrize("place", ["0", "-1", "x", "", "9" * 20])
async def test_a_rule_is_moved_to_a_place(paydue: Paydue, browser: Browser, place: str) -> None:
    await _saved(browser, "/rules/new", LARGE)
    (rule,) = await _rules(paydue)

    shown = await browser.submit(f"/rules/{rule.id}/move", {"place": place})

    assert shown.status == 400
    assert (await browser.get("/rules/999/move")).status == 404


# --- approvals of several ----------------------------------------------------------------------


async def _held(paydue: Paydue, *amounts: str) -> list[int]:
    ids = [await paydue.an_invoice(one) for one in amounts]
    client = (await paydue.invoice(ids[0])).client_id
    async with paydue.database.transaction() as tx:
        rows = [
            Held(invoice, client, Decimal(one), Decimal(one), "usd", "more than a limit", None)
            for invoice, one in zip(ids, amounts, strict=True)
        ]
        await approvals.hold(tx, rows, now=datetime.now(UTC))
    return ids


async def _states(paydue: Paydue, ids: list[int]) -> list[tuple[str, str | None]]:
    async with paydue.database.snapshot() as tx:
        found = await approvals.load_current(tx, ids)
    return [(str(found[one].state), found[one].decided_by) for one in ids]


def _selected(form: Shown) -> list[str]:
    return re.findall(r'name="held" value="([^"]*)"', form.text)


async def test_selected_charges_are_decided_together_by_name(
    paydue: Paydue, browser: Browser
) -> None:
    ids = await _held(paydue, "20.00", "30.00", "40.00")
    form = await browser.get(f"/approvals/selected?id={ids[0]}&id={ids[1]}")
    said = {"decision": "approved", "reason": "agreed by phone", "csrf": form.hidden["csrf"]}

    done = await browser.post("/approvals/selected", {**said, "held": _selected(form)})

    listed = (await browser.get("/approvals")).text
    assert 'name="id"' in listed
    assert "Decide about 2 charges" in _text(form)
    assert "In all 50.00 USD" in _text(form)
    assert done.location.startswith("/approvals?done=2+charges+are+approved")
    assert await _states(paydue, ids) == [("approved", "ada")] * 2 + [("waiting", None)]


async def test_none_is_decided_where_one_has_changed_since(
    paydue: Paydue, browser: Browser
) -> None:
    ids = await _held(paydue, "20.00", "30.00")
    form = await browser.get(f"/approvals/selected?id={ids[0]}&id={ids[1]}")
    said = {"decision": "approved", "reason": "agreed", "csrf": form.hidden["csrf"]}
    stale = [_selected(form)[0], f"{ids[1]}:29.00"]

    refused = await browser.post("/approvals/selected", {**said, "held": stale})
    nothing = await browser.post("/approvals/selected", {**said, "held": ["x:1"]})

    assert refused.status == 400
    assert "Nothing was done." in _text(refused)
    assert nothing.status == 400
    assert await _states(paydue, ids) == [("waiting", None)] * 2
    assert (await browser.get("/approvals/selected")).status == 400


# --- runs --------------------------------------------------------------------------------------


async def _kept(paydue: Paydue, *outcomes: Outcome, is_dry: bool = False) -> int:
    report = RunReport(today(), dry_run=is_dry)
    for one in outcomes:
        report.add(one)
    record = await run_history.begin_run(
        paydue.database, today(), who="cron", is_dry=is_dry, revision=None
    )
    await record.finish(report, RunState.FINISHED)
    report.close()
    return record.id


def _charged(invoice_id: int) -> Outcome:
    return Outcome(OutcomeKind.CHARGED, invoice_id, Decimal(10), "usd", f"pi_{invoice_id}")


def _skipped(invoice_id: int) -> Outcome:
    why = {"reason": "a client is paused", "change": "its end"}
    return Outcome(OutcomeKind.SKIPPED, invoice_id, Decimal(10), "usd", **why)


async def test_a_run_stands_beside_its_dry_run(paydue: Paydue, browser: Browser) -> None:
    numbers = range(1, run_history.PAGE + 60)
    dry = await _kept(paydue, *map(_charged, numbers), is_dry=True)
    held = run_history.PAGE + 30
    outcomes = [_skipped(one) if one == held else _charged(one) for one in numbers]
    run = await _kept(paydue, *outcomes)

    first = await browser.get(f"/runs/{run}")
    changed = await browser.get(f"/runs/{run}?show=changed")
    last = await browser.get(f"/runs/{run}?from={len(numbers) - 1}")
    file = await browser.get(f"/runs/{run}/outcomes.csv")

    assert f"{len(numbers) - 1} charged, 1 not charged" in _text(first)
    assert "Beside it stands the dry run of" in _text(first)
    assert f'href="/runs/{run}?from=50"' in first.text
    assert f"{held} 10.00 USD Not charged a client is paused Charged" in _text(changed)
    assert changed.text.count('scope="row"') == 1
    assert 'rel="next"' not in last.text
    assert len(file.text.splitlines()) == len(numbers) + 1
    assert f"/runs/{dry}" in (await browser.get("/runs")).text
    assert (await browser.get("/runs/999")).status == 404


# --- coming charges ----------------------------------------------------------------------------


async def test_coming_charges_stand_by_day_client_and_currency(
    paydue: Paydue, browser: Browser
) -> None:
    first, second = await paydue.a_client(name="Acme"), await paydue.a_client(name="Bolt")
    soon, later = today() + timedelta(days=3), today() + timedelta(days=59)
    await paydue.an_invoice("10.00", client=first, due=soon)
    await paydue.an_invoice("20.00", client=second, due=soon)
    await paydue.an_invoice("500", client=second, due=later, currency_iso="jpy")
    await paydue.an_invoice("7.00", client=second, due=today() + timedelta(days=70))

    whole = _text(await browser.get("/coming"))
    of_day = await browser.get(f"/coming?day={soon}")
    of_client = _text(await browser.get(f"/coming?client={first}"))
    yen = _text(await browser.get("/coming?currency=JPY"))
    unreadable = await browser.get("/coming?day=soon")

    assert "3 charges: JPY 500 USD 30.00" in whole
    assert "2 2 USD 30.00" in whole, "charges, clients and the sum of the day"
    assert "10.00 USD Will be charged Acme" in _text(of_day)
    assert "20.00 USD Will be charged Bolt" in _text(of_day)
    assert "1 charge: USD 10.00" in of_client
    assert "1 charge: JPY 500" in yen
    assert "is no day such as" in _text(unreadable)


# --- credit ------------------------------------------------------------------------------------


async def _posted(paydue: Paydue) -> int:
    lines = [
        {"item_shortdescription": "Support", "qty_order": 3, "unit_price": 10},
        {"item_shortdescription": "Licence", "qty_order": 1, "unit_price": 70},
    ]
    client = await paydue.a_client()
    headers = await paydue.access("all")
    body = [{"client_id": client, "lines": lines, "posted": True}]
    async with paydue.http.post("/api/Invoice", json=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        made = await answer.json()
    invoice_id: int = made["id"] if isinstance(made, dict) else made[0]["id"]
    return invoice_id


async def test_an_invoice_is_credited_by_its_lines(paydue: Paydue, browser: Browser) -> None:
    invoice = await _posted(paydue)
    page = f"/invoices/{invoice}/credit"
    form = await browser.get(page)
    first, second = re.findall(r'name="(line-\d+)"', form.text)
    by_line = {"reason": "too many hours", "by_line": "yes"}

    none = await browser.submit(page, {**by_line, first: "", second: "0"})
    too_many = await browser.submit(page, {**by_line, first: "4", second: ""})
    unreadable = await browser.submit(page, {**by_line, first: "1,5", second: ""})
    done = await browser.submit(page, {**by_line, first: "2", second: ""})

    assert [none.status, too_many.status, unreadable.status] == [400, 400, 400]
    assert done.status == 303, done.text
    note = int(done.location.partition("?")[0].rpartition("/")[2])
    assert abs((await paydue.invoice(note)).total) == Decimal(20)
    assert (await paydue.invoice(invoice)).amountdue == Decimal(80)


# --- the document ------------------------------------------------------------------------------


async def test_the_first_page_is_seen_beside_the_invoice(paydue: Paydue, browser: Browser) -> None:
    invoice = await _posted(paydue)

    page = await browser.get(f"/invoices/{invoice}")
    picture = await browser.get(f"/invoices/{invoice}/page.png")

    assert f'src="/invoices/{invoice}/page.png"' in page.text
    assert picture.status == 200, picture.text
    assert picture.headers["Content-Type"] == "image/png"
    assert "PNG" in picture.text[:8]
    assert (await browser.get("/invoices/999/page.png")).status == 404
