"""The controls over HTTP, and the life of the server."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.patience import wait_limit
from tests.sandbox.conftest import Receiver, charged, eventually, intent_of, refused

pytestmark = pytest.mark.anyio

Control = Callable[..., Awaitable[Any]]


@pytest.fixture
async def control(url: str) -> AsyncIterator[Control]:
    async with aiohttp.ClientSession() as session:

        async def ask(method: str, path: str, body: Any = None, status: int = 200) -> Any:
            async with session.request(method, f"{url}/_sandbox/{path}", json=body) as answer:
                assert answer.status == status, await answer.text()
                return await answer.json()

        yield ask


async def test_a_test_in_another_process_can_drive_everything(
    control: Control, client: stripe.StripeClient, receiver: Receiver, sandbox: Sandbox
) -> None:
    endpoint = {"url": receiver.url, "secrets": ["whsec_1"], "mode": "held"}
    await control("POST", "endpoints", endpoint)
    customer = {"id": "cus_1", "payment_method": "pm_1", "behaviour": ["do_not_honor", "succeed"]}
    await control("POST", "customers", customer)
    assert (await refused(charged(client))).error.decline_code == "do_not_honor"
    intent = await charged(client, metadata={"invoice_id": "1"})

    refund = await control("POST", "refunds", {"payment_intent": intent.id, "amount": 100})
    dispute = await control("POST", "disputes", {"charge": intent.latest_charge, "amount": 300})
    await control("POST", f"disputes/{dispute['id']}/close", {"status": "lost"})
    report = await control("POST", "deliver", {"seed": 1, "copies": 2})
    twin = await control("POST", f"events/{sandbox.events[0]['id']}/duplicate")
    resent = await control("POST", f"events/{twin['id']}/resend")

    assert refund["status"] == "succeeded"
    assert (await control("GET", "ledger"))["net_by_invoice"] == {"1": 600}
    assert report["undelivered"] == 0
    assert resent == {"statuses": [200]}
    assert await control("GET", "events") == list(sandbox.events)
    assert len(await control("GET", "events?after=3")) == len(sandbox.events) - 3
    assert (await control("GET", "requests"))[0]["status"] == 402
    assert len(await control("GET", "deliveries")) == len(sandbox.deliveries)
    status = await control("GET", "status")
    assert status["counts"]["charges_taken"] == 1
    assert (status["rate_limited"], status["undelivered"]) == (0, 0)


async def test_faults_clock_and_settings_over_http(
    control: Control, client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    await control("POST", "faults", {"match": "*", "kind": "status", "status": 503})
    assert (await refused(intent_of(client, ""))).http_status == 503
    await control("DELETE", "faults")

    bank = {"id": "cus_1", "payment_method": "pm_1", "behaviour": ["bank_debit_succeeds"]}
    await control("POST", "customers", bank)
    await control("POST", "settings", {"bank_debit_delay": 1000})
    intent = await charged(client)
    moved = await control("POST", "clock", {"advance": 999})
    await control("POST", "settle")
    assert (await client.v1.payment_intents.retrieve_async(intent.id)).status == "processing"
    later = await control("POST", "clock", {"set": moved["now"] + 5})
    await control("POST", "drained")

    assert later["now"] - moved["now"] < 6
    assert (await client.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"


async def test_a_checkout_is_completed_over_http(
    control: Control, client: stripe.StripeClient
) -> None:
    line = {"price_data": {"currency": "usd", "unit_amount": 900}, "quantity": 1}
    session = await client.v1.checkout.sessions.create_async(
        {"mode": "payment", "line_items": [line], "success_url": "https://example.com"}
    )

    done = await control("POST", f"checkout/{session.id}/complete", {})

    assert done["payment_status"] == "paid"


async def test_a_mistaken_control_is_told_so(control: Control) -> None:
    await control("POST", "faults", {"match": "POST /v1/nothing", "kind": "drop"}, status=400)
    await control("POST", "refunds", {}, status=400)
    await control("POST", "disputes", {"payment_intent": "pi_none"}, status=404)
    await control("POST", "settings", {"colour": "red"}, status=400)


async def test_the_front_page_says_what_this_is(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()

    assert answer.status == 200
    assert "stand-in for Stripe" in text
    assert "/_sandbox" in text


async def test_the_sandbox_stops_at_once_and_starts_again(receiver: Receiver) -> None:
    sandbox = Sandbox()
    sandbox.add_endpoint(receiver.url, secrets=["whsec_1"])
    async with sandbox.running() as url, aiohttp.ClientSession() as session:
        sandbox.add_customer("cus_1")
        async with session.get(url) as answer:
            assert answer.status == 200
        await sandbox.drained()
        stopping = time.monotonic()
    assert time.monotonic() - stopping < wait_limit(1)

    async with sandbox.running():
        sandbox.add_customer("cus_2")
        await sandbox.drained()

    assert len(receiver.events) == 2


async def test_time_passes_by_itself_also_without_requests(sandbox: Sandbox, url: str) -> None:
    ran = []
    sandbox.clock.after(0.01, lambda: ran.append(sandbox.clock.now()))

    await eventually(lambda: bool(ran))


def test_timers_run_in_order_at_their_own_time() -> None:
    clock, ran = Sandbox().clock, []
    clock.set(1_000)
    clock.after(20, lambda: ran.append(("b", round(clock.now()))))
    clock.after(10, lambda: clock.after(5, lambda: ran.append(("a", round(clock.now())))))

    clock.advance(100)

    assert ran == [("a", 1015), ("b", 1020)]
    assert round(clock.now()) == 1100


async def test_banks_and_strangers_act_over_http(
    control: Control, client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    line = {"price_data": {"currency": "usd", "unit_amount": 50}, "quantity": 1}
    link = await client.v1.payment_links.create_async({"line_items": [line]})
    await control("POST", "customers", {"id": "cus_1"})

    saved = {"payment_method": "pm_1", "customer": "cus_1", "behaviour": ["succeed"]}
    assert (await control("POST", "payment_methods", saved))["customer"] == "cus_1"
    by_link = {"payment_link": link.id, "client_reference_id": "17"}
    session = await control("POST", "strangers/pay_link", by_link)
    page = await control("POST", "strangers/open_intent", {"amount": 900, "customer": "cus_1"})
    paid = await control("POST", "strangers/finish_intent", {"payment_intent": page["id"]})
    funded = await control("POST", "bank/transfer", {"customer": "cus_1", "amount": 300})
    spoilt = await control("POST", f"objects/{page['id']}", {"currency": "usdc"})

    assert (session["payment_status"], session["client_reference_id"]) == ("paid", "17")
    assert (paid["status"], spoilt["currency"]) == ("succeeded", "usdc")
    assert funded["ending_balance"] == 300
    for path in ("bank/rob", "strangers/_ask"):
        refusal = await control("POST", path, {}, status=400)
        assert "no such act" in refusal["error"]["message"]
