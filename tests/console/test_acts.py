"""Acts of people, through their forms: each does what the API does, once, and leaves its reason."""

import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

import aiohttp
import pytest
from sqlalchemy import insert, select

from app.console.pages.events_page import cause_of
from app.console.people import users
from app.console.people.roles import Role
from app.console.people.user_events import Act
from app.ledger.autopay_policy import raise_revision
from app.storage.column_types import table_of
from app.storage.tables.autopay_policies import AutopayLimit
from app.storage.tables.invoices import InvoiceChange
from app.storage.tables.stripe_refund_requests import RefundRequest
from tests.console.browser import Browser
from tests.harness import EVENTS, Paydue, event, intent

pytestmark = pytest.mark.anyio

CHANGES = table_of(InvoiceChange)
REQUESTS = table_of(RefundRequest)
LIMITS = table_of(AutopayLimit)


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


async def _notes(paydue: Paydue, invoice_id: int) -> list[tuple[str, str]]:
    wanted = select(CHANGES.c.who, CHANGES.c.new_value).where(
        CHANGES.c.invoice_id == invoice_id, CHANGES.c.field_name == "note"
    )
    async with paydue.database.snapshot() as tx:
        return [(who, text) for who, text in await tx.execute(wanted.order_by(CHANGES.c.id))]


async def test_a_held_invoice_is_not_charged_until_it_is_released(
    paydue: Paydue, browser: Browser
) -> None:
    invoice = await paydue.an_invoice("120.00")
    page = f"/invoices/{invoice}"

    without = await browser.submit(f"{page}/hold", {"reason": " "})
    held = await browser.submit(f"{page}/hold", {"reason": "asked for a new PO number"})
    await paydue.autopay()
    assert (await paydue.invoice(invoice)).amountpaid == 0
    outlook = await browser.get(page)
    await browser.submit(f"{page}/release", {"reason": "the number is there"})
    charged = await browser.submit(f"{page}/retry", {"reason": "on the phone"})

    assert without.status == 400
    assert "Nothing was done." in without.text
    assert held.location.startswith(f"{page}?done=")
    assert "Autopay is switched off for it." in outlook.text
    assert charged.status == 303, charged.text
    assert "charged" in charged.location
    assert (await paydue.invoice(invoice)).amountdue == 0
    assert len(paydue.sandbox.ledger.charges()) == 1
    assert await _notes(paydue, invoice) == [
        ("ada", "asked for a new PO number"),
        ("ada", "the number is there"),
    ]


async def test_a_form_that_is_sent_twice_refunds_once(paydue: Paydue, browser: Browser) -> None:
    invoice = await paydue.an_invoice("120.00")
    await paydue.autopay()
    story = f"/payments/{(await paydue.payments(invoice))[0].intent_id}"
    form = {
        **(await browser.get(f"{story}/refund")).hidden,
        "amount": "20.00",
        "reason": "too many",
    }

    first = await browser.post(f"{story}/refund", form)
    second = await browser.post(f"{story}/refund", form)
    more = await browser.submit(f"{story}/refund", {"amount": "100.01", "reason": "all"})
    wrong = await browser.submit(f"{story}/refund", {"amount": "much", "reason": "all"})

    assert first.status == second.status == 303, first.text
    assert len(await paydue.rows(REQUESTS, REQUESTS.c.id > 0)) == 1
    assert (await paydue.invoice(invoice)).amountpaid == Decimal(100)
    assert (more.status, wrong.status) == (400, 400)
    assert "is no amount such as 120.50" in wrong.text
    assert "20.00 refunded" in (await browser.get(story)).text


async def test_unapplied_money_is_assigned_by_suggestion_or_by_number(
    paydue: Paydue, browser: Browser
) -> None:
    client = await paydue.a_client(stripe_customer_id="cus_acme")
    invoice = await paydue.an_invoice("120.50", client=client, invoicenumber="INV-9001")
    other = await paydue.an_invoice("30.00", client=client, invoicenumber="INV-9002")
    paid = [intent(None, amount=amount, customer="cus_acme") for amount in (12050, 4000)]
    await paydue.deliver(*(event("payment_intent.succeeded", one) for one in paid))
    whole, part = await paydue.payments()

    offered = await browser.get("/unapplied")
    assert "INV-9001" in offered.text
    missing = {"invoice": "other", "number": "INV-1", "reason": "x"}
    none = await browser.submit(f"/unapplied/{whole.id}", missing)
    await browser.submit(f"/unapplied/{whole.id}", {"invoice": str(invoice), "reason": "same"})
    named = {"invoice": "other", "number": "inv-9002", "reason": "by phone"}
    await browser.submit(f"/unapplied/{part.id}", named)

    assert none.status == 400
    assert "no invoice has the number or id INV-1" in none.text
    assert (await paydue.invoice(invoice)).amountdue == 0
    assert (await paydue.invoice(other)).amountdue == 0
    assert await _notes(paydue, other) == [("ada", "by phone")]
    assert '10<span class="fr">.00' in (await browser.get("/unapplied")).text


async def test_a_payment_by_hand_a_note_a_void_and_a_pause_are_the_apis(
    paydue: Paydue, browser: Browser
) -> None:
    client = await paydue.a_client()
    paid = await paydue.an_invoice("120.00", client=client)
    void = await paydue.an_invoice("30.00", client=client)
    cash = {"amount": "120.00", "method": "Bank transfer", "reference": "slip 7"}

    await browser.submit(f"/invoices/{paid}/pay", cash)
    await browser.submit(f"/invoices/{paid}/note", {"reason": "promised for Friday"})
    refused = await browser.submit(f"/invoices/{paid}/void", {"reason": "no"})
    await browser.submit(f"/invoices/{void}/void", {"reason": "made twice"})
    await browser.submit(f"/clients/{client}/pause", {"reason": "moving banks"})
    shown = (await browser.get(f"/clients/{client}")).text
    await browser.submit(f"/clients/{client}/resume")

    assert (await paydue.invoice(paid)).amountpaid == Decimal(120)
    assert await _notes(paydue, paid) == [("ada", "promised for Friday")]
    assert refused.status == 400
    assert "money was paid on it" in refused.text
    assert (await paydue.invoice(void)).voided
    assert "Autopay charges nothing of it: ada paused it on" in shown
    assert "moving banks" in shown
    assert "paused" not in (await browser.get(f"/clients/{client}")).text


async def test_a_form_of_a_payment_that_is_sent_twice_enters_it_once(
    paydue: Paydue, browser: Browser
) -> None:
    invoice = await paydue.an_invoice("120.00")
    page = f"/invoices/{invoice}/pay"
    cash = {"amount": "70.00", "method": "Bank transfer", "reference": "slip 8"}
    form = {**(await browser.get(page)).hidden, **cash}

    first = await browser.post(page, form)
    second = await browser.post(page, form)
    again = await browser.post(page, {**second.hidden, **cash, "amount": "50.00"})

    assert (first.status, second.status, again.status) == (303, 400, 303), second.text
    assert "50.00 USD is left to pay now" in second.text
    assert [one.amount for one in await paydue.payments()] == [Decimal(70), Decimal(50)]


async def test_a_parked_event_is_replayed_by_cause_and_by_id(
    paydue: Paydue, browser: Browser
) -> None:
    refund = {
        "object": "refund", "amount": 100, "currency": "usd", "charge": "ch_late",
        "payment_intent": "pi_late", "status": "succeeded", "created": 1_700_000_000,
    }  # fmt: skip
    await paydue.deliver(
        *(
            event("refund.created", {**refund, "id": f"re_{one}"}, id=f"evt_{one}")
            for one in ("one", "two")
        )
    )
    assert "for 1 cause" in (await browser.get("/inbox")).text
    again = await browser.submit("/events/evt_one/replay")
    await paydue.deliver(event("payment_intent.succeeded", intent(None, id="pi_late")))

    cause = "no payment is known for this intent yet"
    done = await browser.submit(f"/inbox/replay?cause={cause}")

    assert "1+parked" in again.location
    # Stripe was asked about the first one meanwhile, so its reason is another.
    last = await browser.submit("/events/evt_one/replay")
    assert "1+applied" in done.location
    assert "1+applied" in last.location
    states = {row.state for row in await paydue.rows(EVENTS, EVENTS.c.id > 0)}
    assert states == {"applied"}
    assert "Everything that Stripe sent is applied." in (await browser.get("/inbox")).text


async def test_everything_is_paused_by_one_switch_that_says_who_and_why(
    paydue: Paydue, browser: Browser
) -> None:
    client = await paydue.a_client(name="Acme Dental")
    invoice = await paydue.an_invoice("120.00", client=client)
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()

    past = await browser.submit("/pauses/everything", {"reason": "x", "until": "2020-01-01"})
    wrong = await browser.submit("/pauses/everything", {"reason": "x", "until": "soon"})
    without = await browser.submit("/pauses/everything", {"reason": ""})
    said = {"reason": "the bank called", "until": tomorrow}
    done = await browser.submit("/pauses/everything", said)
    await paydue.autopay()
    shown = {path: (await browser.get(path)).text for path in ("/pauses", f"/invoices/{invoice}")}
    await browser.submit(f"/clients/{client}/pause", {"reason": "moves banks"})
    listed = (await browser.get("/pauses")).text
    everything, clients, *_ = re.findall(r"/pauses/\d+/end", listed)
    await browser.submit(everything)
    await paydue.autopay()
    held = (await paydue.invoice(invoice)).amountdue
    await browser.submit(clients)
    gone = await browser.get(clients)
    await paydue.autopay()

    assert (past.status, wrong.status, without.status) == (400, 400, 400)
    assert (done.status, done.location) == (303, "/pauses?done=Autopay+charges+nobody.")
    for text in shown.values():
        assert "Autopay is paused: nobody is charged." in text
        assert "“<bdi>the bank called</bdi>”" in text
    assert "is paused until" in shown[f"/invoices/{invoice}"]
    assert held == Decimal(120)
    assert (await paydue.invoice(invoice)).amountdue == 0
    assert gone.status == 404
    assert "Autopay runs" in (await browser.get("/pauses")).text


async def test_a_held_charge_is_rejected_and_approved_by_name(
    paydue: Paydue, browser: Browser
) -> None:
    client = await paydue.a_client(name="Acme Dental")
    invoice = await paydue.an_invoice("120.00", client=client, invoicenumber="INV-8001")
    limit = {"kind": "invoice", "currency": "usd", "amount": "100.00"}
    async with paydue.database.transaction() as tx:
        await tx.execute(insert(LIMITS).values({**limit, "amount": Decimal(100)}))
        await raise_revision(tx)
    await paydue.autopay()
    listed = (await browser.get("/approvals")).text
    home = (await browser.get("/")).text
    page = f"/approvals/{invoice}"

    undecided = await browser.submit(page, {"reason": "x"})
    more = await browser.submit(page, {"decision": "approved", "reason": "x", "amount": "121"})
    rejected = await browser.submit(page, {"decision": "rejected", "reason": "not this month"})
    await paydue.autopay()
    held = (await paydue.invoice(invoice)).amountdue
    await browser.submit(page, {"decision": "approved", "reason": "agreed by phone"})
    await paydue.autopay()

    assert "INV-8001" in listed
    assert "Charges to approve" in home
    assert (undecided.status, more.status) == (400, 400)
    assert rejected.location.startswith("/approvals?done=The+charge+is+rejected")
    assert held == Decimal(120)
    assert (await paydue.invoice(invoice)).amountdue == 0
    assert "No charge waits for approval" in (await browser.get("/approvals")).text
    assert "agreed by phone" in (await browser.get(f"/invoices/{invoice}")).text
    assert (await browser.get("/approvals/999")).status == 404


async def test_a_long_replay_is_the_workers_and_shows_how_far_it_is(
    paydue: Paydue, browser: Browser
) -> None:
    refunds = [
        {
            "id": f"re_{number}", "object": "refund", "amount": 100, "currency": "usd",
            "charge": f"ch_{number}", "payment_intent": f"pi_{number}", "status": "succeeded",
            "created": int(time.time()),
        }
        for number in range(30)
    ]  # fmt: skip
    await paydue.deliver(*(event("refund.created", one) for one in refunds))
    cause = quote(cause_of((await paydue.events())[0].error))

    done = await browser.submit(f"/inbox/replay?cause={cause}", to="/inbox/replay")
    path = done.location.partition("?")[0]
    before = (await browser.get(path)).text
    await paydue.replay(later=timedelta(0))
    after = (await browser.get(path)).text

    assert done.status == 303, done.text
    assert re.fullmatch(r"/inbox/replaying/\d+/30", path)
    assert "<strong>0 of 30</strong> have been tried" in before
    assert 'data-hx-trigger="every 2s"' in before
    assert "All have been tried." in after
    assert "every 2s" not in after
    assert {one.tries for one in await paydue.events()} == {2}
    for nonsense in ("/inbox/replaying/x/3", f"/inbox/replaying/{'9' * 18}/3"):
        assert (await browser.get(nonsense)).status == 404
