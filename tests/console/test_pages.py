"""Every page of the console over a house in which most things have happened, on both engines."""

import re
import shutil
from collections.abc import AsyncIterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from sqlalchemy import String, update

from app.console.people.roles import Role
from app.storage.column_types import Json, Row, table_of
from app.storage.tables.stripe_payouts import StripePayout
from app.storage.tables.stripe_reversals import StripeReversal
from tests.console.browser import Browser, Shown
from tests.console.furnished import a_link, furnished, page_paths, signed_in
from tests.harness import Paydue, event, intent

pytestmark = pytest.mark.anyio

REVERSALS = table_of(StripeReversal)
PAYOUTS = table_of(StripePayout)
# Markup, a formula, a reversed text, an escape sequence, and enough of it to break a table.
HOSTILE = (
    "=1+1 <img src=x onerror='x()'>\"'><script> \u202egnp\u2066 \x1b]52;c;QQ==\a " + "long" * 40
)
# Columns that programs read by their value; a hostile one would only be unknown.
OURS = {
    "action",
    "day_from",
    "charge_method",
    "state",
    "step",
    "kind",
    "status",
    "source",
    "currency",
    "currency_iso",
    "timezone",
    "role",
}
OUR_TABLES = {"job", "installation_value", "console_user", "console_session", "audit_seal"}


@pytest.fixture(scope="module")
async def house(module_url: str) -> AsyncIterator[Paydue]:
    """One house for all tests here: it is only looked at."""
    async with furnished(module_url) as one:
        yield one


@pytest.fixture(scope="module")
async def admin(house: Paydue) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(house.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield await signed_in(house, http, Role.ADMIN)


async def test_every_page_is_shown_with_what_has_happened(house: Paydue, admin: Browser) -> None:
    shown: dict[str, Shown] = {}
    for route, path in (await page_paths(house)).items():
        shown[route] = await admin.get(path)

    assert {route: one.status for route, one in shown.items() if one.status != 200} == {
        "/payments/{intent_id}/assign": 303
    }
    assert _problems(shown) == {}
    story = _text(shown["/payments/{intent_id}"])
    assert "Acme Dental paid INV-7001" in story
    assert "the payment is disputed" in story
    assert "Stripe takes evidence until" in story
    assert "Charge sent to Stripe, first try : 120.00 USD" in story
    assert "120.00 to INV-7001. Known by: our own charge attempt." in story
    assert "Stripe’s fee −3.78" in story
    assert "1 of 2 charges succeeded" in _text(shown["/"])
    assert "could not be applied yet, for 1 cause" in _text(shown["/inbox"])
    assert "120.50 USD" in _text(shown["/unapplied"])
    assert "failed" not in _text(shown["/payments"]).lower()


async def test_a_search_says_why_each_hit_matched_and_opens_a_single_one(
    house: Paydue, admin: Browser
) -> None:
    payment = (await house.payments(1))[0]
    (dispute,) = await house.rows(REVERSALS, REVERSALS.c.kind == "dispute")
    story = f"/payments/{payment.intent_id}"
    singles = {
        payment.intent_id: story,
        payment.charge_id: story,
        dispute.id: story,
        "INV-7001": "/invoices/1",
        "inv-7001": "/invoices/1",
        "acme dent": "/clients/1",
        "desk@acme.example": "/clients/1",
        "Desk@acme.example": "/clients/1",
        "declined last7days": "/payments?state=declined&days=7",
    }
    for text, opened in singles.items():
        answer = await admin.get(f"/search?q={quote(text)}")
        assert (text, answer.location or None) == (text, opened)

    hits = {
        "120.50": "120.50 USD, no client",
        "120.50 USD": "120.50 USD, no client",
        "120.50 EUR": "Nothing matches 120.50 EUR",
        "4242": "Paid with a method ending in 4242",
        "pi_nobody": "It looks like a PaymentIntent of another Stripe account",
        "": "Words that filter",
    }
    for text, expected in hits.items():
        shown = _text(await admin.get(f"/search/hits?q={quote(text)}"))
        assert expected in shown, (text, shown)


async def test_a_command_leads_to_its_form_for_those_who_may_send_it(
    house: Paydue, admin: Browser
) -> None:
    payment = (await house.payments(1))[0]
    commands = {
        "pause autopay for acme": "/clients/1/pause",
        "Resume desk@acme.example": "/clients/1/resume",
        "hold the invoice INV-7001": "/invoices/1/hold",
        "charge inv-7001 ": "/invoices/1/retry",
        "refund half of INV-7001": f"/payments/{payment.intent_id}/refund?part=half",
        f"assign {payment.intent_id}": f"/payments/{payment.intent_id}/assign",
        f"replay {(await house.events())[0].event_id}": "/events/",
    }
    for text, opened in commands.items():
        answer = await admin.get(f"/search?q={quote(text)}")
        assert answer.location.startswith(opened), (text, answer.location)
    for text in ("pause", "refund half", "pause nobody at all", "void 4242424242"):
        assert "Actions" not in _text(await admin.get(f"/search?q={quote(text)}"))

    async with aiohttp.ClientSession(house.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        finance = await signed_in(house, http, Role.FINANCE)
        assert (await finance.get("/search?q=refund%20INV-7001")).location
    async with aiohttp.ClientSession(house.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        link = await a_link(house, Role.VIEWER, "reader")
        reader = Browser(http)
        await reader.follow(link)
        assert "Nothing matches" in _text(await reader.get("/search?q=refund%20INV-7001"))


async def test_a_question_leads_to_the_page_that_answers_it(admin: Browser) -> None:
    questions = {
        "what failed today?": "/payments?state=declined&days=1",
        "tomorrow": "/coming",
        "charged twice": "/repeated",
        "money for no invoice": "/unapplied",
        "which payout": "/payouts",
        "what did stripe send": "/events",
    }
    for text, opened in questions.items():
        assert (await admin.get(f"/search?q={quote(text)}")).location == opened


async def test_a_list_is_filtered_paged_and_exported(house: Paydue, admin: Browser) -> None:
    payments = await admin.get("/payments?state=disputed&client=acme&days=7&currency=usd")
    none = await admin.get("/payments?client=acme&amount=1.00")
    wrong = await admin.get("/payments?days=many&amount=much&state=nonsense&before=x")
    csv = await admin.get("/payments.csv?state=disputed")

    assert "1 payment, taken:" in _text(payments)
    assert "No payment fits" in _text(none)
    assert "Last days: many is not 1 to" in _text(wrong)
    assert "Amount: much is no amount such as 120.50" in _text(wrong)
    lines = csv.text.splitlines()
    assert lines[0].startswith("\ufeffid,date,amount,currency")
    assert len(lines) == 2
    assert ",120.00,USD," in lines[1]
    assert csv.headers["Content-Type"] == "text/csv; charset=utf-8"


async def test_a_view_with_its_columns_is_kept_for_its_person_alone(
    house: Paydue, admin: Browser
) -> None:
    some = await admin.get("/payments?state=disputed&columns=client&columns=invoice")
    form = {**some.hidden, "name": "Acme’s <b>"}
    saved = await admin.post("/views", form)
    again = await admin.post("/views", form)
    kept = await admin.get(saved.location)
    [removal] = re.findall(r"/views/\d+/remove", kept.text)
    bad = [
        await admin.post("/views", {**form, **change})
        for change in ({"path": "//evil.example"}, {"name": " "}, {"name": "x" * 41},
                       {"query": "x" * 1001}, {"name": "\u202eeman"})
    ]  # fmt: skip
    async with aiohttp.ClientSession(house.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        link = await a_link(house, Role.VIEWER, "a stranger to the view".replace(" ", "-"))
        other = Browser(http)
        await other.follow(link)
        theirs = await other.get("/payments")
        csrf = {"csrf": (await other.get("/account")).hidden["csrf"]}
        foreign = await other.post(removal, csrf)
    gone = await admin.post(removal, kept.hidden)

    assert saved.location == again.location == "/payments?columns=client+invoice&state=disputed"
    assert kept.text.count("Acme’s &lt;b&gt;") == 1
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)<', kept.text)
    assert heads == ["", "Amount", "", "Client", "Invoice"]
    assert "Save view" not in kept.text
    assert [one.status for one in bad] == [400] * len(bad)
    assert "Acme’s &lt;b&gt;" not in theirs.text
    assert foreign.status == 404
    assert gone.location == "/payments"
    assert "Acme’s &lt;b&gt;" not in (await admin.get("/payments")).text


async def test_scripts_and_styles_are_small_on_the_wire_and_loaded_once(admin: Browser) -> None:
    page = (await admin.get("/payments")).text
    files = sorted(set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page)))
    sizes: dict[str, int] = {}
    for file in files:
        async with admin.http.get(file) as answer:
            await answer.read()
            assert answer.headers["Content-Encoding"] == "gzip"
            assert "immutable" in answer.headers["Cache-Control"]
            sizes[file] = int(answer.headers["Content-Length"])

    assert sum(size for file, size in sizes.items() if ".js?" in file) <= 20_000
    assert sum(sizes.values()) + PAGE_BYTES <= 60_000, sizes


async def test_a_viewer_reads_no_secret_and_no_personal_data(house: Paydue) -> None:
    thing = intent(1, client_secret="pi_1_secret_abcdef", receipt_email="desk@acme.example")
    await house.deliver(event("payment_intent.processing", thing, id="evt_secret"))
    shown = {}
    async with aiohttp.ClientSession(house.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        for role in (Role.VIEWER, Role.SUPPORT):
            browser = await signed_in(house, http, role)
            payload = await browser.get("/events/evt_secret/payload")
            client = await browser.get("/clients/1")
            shown[role] = payload.text + client.text

    for text in shown.values():
        assert "_secret_abcdef" not in text
        assert "[redacted]" in text
    assert "desk@acme.example" not in shown[Role.VIEWER]
    assert "d…@acme.example" in shown[Role.VIEWER]
    assert "desk@acme.example" in shown[Role.SUPPORT]


async def _make_hostile(house: Paydue) -> None:
    async with house.database.transaction() as tx:
        for table in Row.metadata.sorted_tables:
            for column in table.c:
                is_text = isinstance(column.type, String) and not isinstance(column.type, Json)
                if is_text and column.name not in OURS and table.name not in OUR_TABLES:
                    await tx.execute(update(table).values({column.name: column + HOSTILE}))


async def test_text_of_others_is_shown_as_text_on_every_page(
    sqlite_template: Path, tmp_path: Path
) -> None:
    """On one engine: the texts are the same on both."""
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'paydue.db')}"
    async with (
        furnished(url) as house,
        aiohttp.ClientSession(house.url, cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        await _make_hostile(house)
        browser = await signed_in(house, http, Role.ADMIN)
        shown: dict[str, Shown] = {}
        for route, path in (await page_paths(house)).items():
            shown[route] = await browser.get(path)
        shown["search"] = await browser.get(f"/search/hits?q={quote('acme')}")

    statuses = {route: one.status for route, one in shown.items() if one.status not in (200, 303)}
    assert statuses == {}
    assert _problems(shown) == {}
    everywhere = {route for route, one in shown.items() if "&lt;img" in one.text}
    assert {"/", "/payments", "/invoices", "/clients", "/payments/{intent_id}"} <= everywhere
    policies = {route: one.headers["Content-Security-Policy"] for route, one in shown.items()}
    sandboxed = [route for route, one in policies.items() if one.endswith("; sandbox")]
    assert sandboxed == ["/mails/{message_id}/body"]
    for line in shown["/payments.csv"].text.splitlines()[1:]:
        assert not re.search(r'(^|,)"?[=+@-](?!\d)', line), line


def _problems(shown: dict[str, Shown]) -> dict[str, list[str]]:
    """Markup of others, characters that steer, inline script or style, and pages too large."""
    found: dict[str, list[str]] = {}
    for route, one in shown.items():
        if one.headers.get("Content-Security-Policy", "").endswith("; sandbox"):
            continue  # a mail as it was sent: whatever it is, the browser lets it do nothing
        if "text/html" not in one.headers.get("Content-Type", ""):
            continue
        reader = _MarkupReader()
        reader.feed(one.text)
        problems = reader.problems + re.findall("[\x00-\x08\x0b-\x1f\u202a-\u2069]", one.text)
        if len(one.text.encode()) > PAGE_BYTES and "long" not in one.text:
            problems.append(f"{len(one.text)} bytes")
        if problems:
            found[route] = problems
    return found


class _MarkupReader(HTMLParser):
    """Notes whatever the strict Content-Security-Policy is there to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        is_ours = tag == "img" and str(names.get("src")).startswith("/invoices/")
        # A mail of ours, in a frame that may do nothing.
        is_ours |= tag == "iframe" and names.get("sandbox") == ""
        is_inline = tag == "script" and "src" not in names
        if (tag in ("img", "iframe", "style") and not is_ours) or is_inline:
            self.problems.append(f"<{tag}>")
        self.problems += [name for name in names if name == "style" or name.startswith("on")]


# A page with its files takes at most 60,000 bytes on the wire, 20,000 of them scripts.
PAGE_BYTES = 35_000


def _text(shown: Shown) -> str:
    """The words of a page, as they are read."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", shown.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text))).replace(" .", ".")
