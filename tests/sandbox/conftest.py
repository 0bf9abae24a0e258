"""A running sandbox, the real SDK that talks to it, and a receiver for its webhooks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import stripe
from aiohttp import web

from app.sandbox.server import Sandbox
from tests.patience import wait_limit

stripe.enable_telemetry = False


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def sandbox() -> Sandbox:
    return Sandbox(seed=7)


@pytest.fixture
async def url(sandbox: Sandbox) -> AsyncIterator[str]:
    async with sandbox.running() as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.AIOHTTPClient(timeout=wait_limit(2))
    yield stripe.StripeClient("sk_test_x", base_addresses={"api": url}, http_client=http)
    await http.close_async()


@dataclass
class Receiver:
    """Answers the webhooks; `answers` are the statuses of the next ones, then always 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.signatures.append(request.headers["Stripe-Signature"])
        self.events.append(await request.json())
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield receiver
    await runner.cleanup()


async def refused(call: Awaitable[object]) -> stripe.StripeError:
    with pytest.raises(stripe.StripeError) as caught:
        await call
    return caught.value


async def intent_of(
    client: stripe.StripeClient, customer: str = "cus_1", **params: Any
) -> stripe.PaymentIntent:
    """Of no customer if the name is empty."""
    owner = {"customer": customer} if customer else {}
    wanted = {"amount": 1000, "currency": "usd", **owner, **params}
    return await client.v1.payment_intents.create_async(wanted)


async def charged(
    client: stripe.StripeClient, customer: str = "cus_1", method: str = "pm_1", **params: Any
) -> stripe.PaymentIntent:
    """Create and confirm off session in one call."""
    terms = {"payment_method": method, "confirm": True, "off_session": True}
    return await intent_of(client, customer, **terms, **params)


def types(sandbox: Sandbox) -> list[str]:
    return [event["type"] for event in sandbox.events]


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(wait_limit(2)):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
