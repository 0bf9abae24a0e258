"""Stripe's published API accepts every request that the gateway can send."""

import inspect
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.node import open_stripe_node
from app.payments.autopay.attempt_claim import new_attempt
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.charge_context import Charging
from app.payments.autopay.eligibility import ChosenMethod
from app.payments.autopay.leases import LeaseHolder
from app.payments.autopay.other_ways import GuestSessions
from app.payments.autopay.ruling import Policies
from app.payments.reconciliation.event_pass import TYPES_MAX
from app.payments.stripe.gateway import Gateway, RequestRefused
from app.payments.webhook import event_types
from tests.harness import settings_for

pytestmark = pytest.mark.anyio

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
TYPES = list(event_types.HANDLERS)

CARD = Candidate(
    invoice_id=7,
    invoicenumber="INV-7",
    duedate=date(2026, 3, 1),
    amount=Decimal("120.00"),
    currency="usd",
    voided=False,
    posted=True,
    held_back=None,
    pending=0,
    reversed=0,
    client_id=3,
    client_inactive=False,
    timezone=None,
    customer_id="cus_1",
    payment_method_id="pm_1",
    saved_method_id=None,
    last=None,
)


@dataclass
class Relay:
    """Stands before stripe-mock: notes what passes, and says that every list has a second page.

    The mock's own lists end with their first, and `starting_after` would never be sent.
    """

    target: str
    url: str = ""
    passed: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.passed.append(f"{request.method} {request.path_qs}")
        headers = {"Authorization": request.headers["Authorization"]}
        kind = request.headers.get("Content-Type")
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(
                request.method,
                self.target + request.path_qs,
                data=await request.read(),
                headers={"Content-Type": kind} if kind else {},
            ) as answer,
        ):
            body = await answer.json()
            if body.get("object") == "list" and "starting_after" not in request.query:
                body["has_more"] = True
            return web.json_response(body, status=answer.status)


@pytest.fixture
async def relay(stripe_mock_url: str) -> AsyncIterator[Relay]:
    relay = Relay(stripe_mock_url)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", relay.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    relay.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield relay
    await runner.cleanup()


@pytest.fixture
async def gateway(relay: Relay, sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Gateway]:
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'paydue.db')}"
    async with open_stripe_node(settings_for(url, relay.url)) as node:
        yield node.gateway


def stored(gateway: Gateway, one: Candidate) -> Mapping[str, Any]:
    """The parameters a new attempt stores, and sends at every try."""
    at = Charging(
        database=None,  # type: ignore[arg-type]  # only the parameters are made
        gateway=gateway,
        settings=gateway._settings,
        installation="tests",
        holder=LeaseHolder("tests"),
        guests=GuestSessions(gateway),
        policies=Policies(gateway._settings),
    )
    assert one.customer_id
    assert one.payment_method_id
    return new_attempt(at, one, one.customer_id, ChosenMethod(one.payment_method_id))


async def create(gateway: Gateway) -> None:
    await gateway.create(stored(gateway, CARD)["create_params"], "create-key")


async def confirm(gateway: Gateway) -> None:
    await gateway.confirm("pi_1", stored(gateway, CARD)["confirm_params"], "confirm-key")


async def intents(gateway: Gateway) -> None:
    await through(gateway.intents(customer_id="cus_1", since=YESTERDAY))
    await through(gateway.intents(since=YESTERDAY))
    await through(gateway.intents(customer_id="cus_1"))


async def refund(gateway: Gateway) -> None:
    metadata = {"paydue_installation": "a", "refund_request": "1", "invoice_id": "7"}
    await gateway.refund({"payment_intent": "pi_1", "amount": 1, "metadata": metadata}, "key")


async def events(gateway: Gateway) -> None:
    for start in range(0, len(TYPES), TYPES_MAX):
        await through(gateway.events(YESTERDAY, TYPES[start : start + TYPES_MAX]))


async def balance_transactions(gateway: Gateway) -> None:
    await through(gateway.balance_transactions(since=YESTERDAY))
    await through(gateway.balance_transactions(payout_id="po_1"))


async def open_session(gateway: Gateway) -> None:
    metadata = {"paydue_installation": "a", "paydue_link": "1", "invoice_id": "7"}
    line = {
        "quantity": 1,
        "price_data": {
            "currency": "usd", "unit_amount": 100, "product_data": {"name": "Invoice 7"}
        },
    }  # fmt: skip
    params = {
        "mode": "payment",
        "customer": "cus_1",
        "line_items": [line],
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata, "description": "Invoice 7"},
        "success_url": "https://example.com/paid",
        "cancel_url": "https://example.com",
        "expires_at": 1_900_000_000,
    }
    await gateway.open_session(params, "key")


async def create_webhook_endpoint(gateway: Gateway) -> None:
    # Without our version of the API: the mock's list of versions ends before it.
    await gateway.create_webhook_endpoint(
        {
            "url": "https://pay.example.com/stripe/webhook",
            "enabled_events": TYPES,
            "description": "Paydue",
        }
    )


async def through(listed: AsyncIterable[Mapping[str, Any]]) -> None:
    assert [one["id"] async for one in listed], "an empty page says nothing of its objects"


CASES: Mapping[str, Callable[[Gateway], Awaitable[object]]] = {
    "create": create,
    "confirm": confirm,
    "retrieve": lambda gateway: gateway.retrieve("pi_1"),
    "cancel": lambda gateway: gateway.cancel("pi_1"),
    "intents": intents,
    "refund": refund,
    "refunds_of": lambda gateway: through(gateway.refunds_of("pi_1")),
    "refunds_since": lambda gateway: through(gateway.refunds_since(YESTERDAY)),
    "disputes_since": lambda gateway: through(gateway.disputes_since(YESTERDAY)),
    "payouts_since": lambda gateway: through(gateway.payouts_since(YESTERDAY)),
    "balance_transactions": balance_transactions,
    "default_method": lambda gateway: gateway.default_method("cus_1"),
    "customers": lambda gateway: through(gateway.customers()),
    "payment_method": lambda gateway: gateway.payment_method("pm_1"),
    "payment_methods": lambda gateway: gateway.payment_methods("cus_1"),
    "session": lambda gateway: gateway.session("cs_1"),
    "sessions": lambda gateway: gateway.sessions("cus_1"),
    "open_session": open_session,
    "open_portal": lambda gateway: gateway.open_portal("cus_1", "https://pay.example.com"),
    "create_setup_intent": lambda gateway: gateway.create_setup_intent({"customer": "cus_1"}),
    "create_webhook_endpoint": create_webhook_endpoint,
    "update_webhook_endpoint": lambda gateway: gateway.update_webhook_endpoint(
        "we_1", {"enabled_events": TYPES, "disabled": False}
    ),
    "webhook_endpoints": lambda gateway: gateway.webhook_endpoints(),
    "expire": lambda gateway: gateway.expire("cs_1"),
    "events": events,
    "account": lambda gateway: gateway.account(),
    "account_name": lambda gateway: gateway.account_name(),
}
SENDS_NOTHING = {"acquire_confirm"}


@pytest.mark.parametrize("name", CASES)
async def test_stripes_published_api_accepts_the_request(name, gateway, relay):
    await CASES[name](gateway)

    assert relay.passed


LISTS = [
    "intents",
    "refunds_of",
    "refunds_since",
    "disputes_since",
    "payouts_since",
    "balance_transactions",
    "sessions",
    "customers",
    "payment_methods",
    "events",
    "webhook_endpoints",
]


@pytest.mark.parametrize("name", LISTS)
async def test_the_next_page_of_a_list_is_accepted_too(name, gateway, relay):
    await CASES[name](gateway)

    assert any("starting_after" in one for one in relay.passed)


@pytest.mark.parametrize(
    ("currency", "amount"), [("jpy", Decimal(500)), ("bhd", Decimal("1.230")), ("eur", Decimal(1))]
)
async def test_the_amount_of_any_currency_is_accepted(currency, amount, gateway):
    one = replace(CARD, currency=currency, amount=amount, invoicenumber=None)

    answer = await gateway.create(stored(gateway, one)["create_params"], "key")

    assert answer.object["currency"] == currency


@pytest.mark.parametrize(
    "spoilt",
    [{"amount": "a lot"}, {"invoice_id": 7}, {"automatic_payment_methods": {"enabled": "maybe"}}],
)
async def test_a_request_that_the_api_does_not_know_is_refused(spoilt, gateway):
    params = {**stored(gateway, CARD)["create_params"], **spoilt}

    with pytest.raises(RequestRefused, match="Request validation error"):
        await gateway.create(params, "key")


def test_no_request_of_the_gateway_is_left_out():
    def sends(member: object) -> bool:
        return inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)

    methods = {name for name, _ in inspect.getmembers(Gateway, sends) if name[0] != "_"}

    assert methods - SENDS_NOTHING == CASES.keys()
