"""Every kind of fault, before and after the change was made, as the real SDK sees it."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import aiohttp
import pytest
import stripe

from app.sandbox.server import Sandbox
from app.sandbox.transport.fault_injection import FaultKind, FaultMoment
from tests.sandbox.conftest import charged, eventually, intent_of, refused

pytestmark = pytest.mark.anyio

CREATE = "POST /v1/payment_intents"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
KEY = {"idempotency_key": "k1"}


async def confirm(
    client: stripe.StripeClient, intent_id: str, options: Any = KEY
) -> stripe.PaymentIntent:
    return await client.v1.payment_intents.confirm_async(
        intent_id, {"payment_method": "pm_1", "off_session": True}, options
    )


KINDS = [
    ("drop", {}, stripe.APIConnectionError, None),
    ("truncate", {}, aiohttp.ClientPayloadError, None),
    ("status", {"status": 502}, stripe.APIError, 502),
    ("status", {"status": 503}, stripe.APIError, 503),
    ("html200", {}, stripe.APIError, 200),
    ("rate_limit", {}, stripe.RateLimitError, 429),
    ("lock_timeout", {}, stripe.RateLimitError, 429),
    ("conflict", {}, stripe.APIError, 409),
    ("unauthorized", {}, stripe.AuthenticationError, 401),
]


@pytest.mark.parametrize(("kind", "more", "error", "status"), KINDS)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_same_key_tells_the_truth_after_a_fault(
    sandbox: Sandbox,
    client: stripe.StripeClient,
    kind: FaultKind,
    more: dict[str, Any],
    error: type[Exception],
    status: int | None,
    when: FaultMoment,
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await intent_of(client)
    sandbox.fault(CONFIRM, kind=kind, when=when, times=1, **more)

    with pytest.raises(error) as caught:
        await confirm(client, intent.id)

    assert getattr(caught.value, "http_status", None) == status
    assert len(sandbox.ledger.charges()) == (when == "after")
    again = await confirm(client, intent.id)
    assert again.status == "succeeded"
    assert ("Idempotent-Replayed" in again.last_response.headers) == (when == "after")
    assert len(sandbox.ledger.charges()) == 1


@pytest.mark.parametrize("status", [500, 424])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_500_is_remembered_by_its_key_whether_or_not_the_charge_was_made(
    sandbox: Sandbox, client: stripe.StripeClient, status: int, when: FaultMoment
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await intent_of(client)
    sandbox.fault(CONFIRM, kind="status", status=status, when=when, times=1)

    first = await refused(confirm(client, intent.id))
    again = await refused(confirm(client, intent.id))
    found = await client.v1.payment_intents.retrieve_async(intent.id)

    assert first.http_status == again.http_status == status
    assert isinstance(again, stripe.APIError)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers.get("Stripe-Should-Retry") == ("false" if status == 500 else None)
    assert found.status == ("succeeded" if when == "after" else "requires_payment_method")
    assert len(sandbox.ledger.charges()) == (when == "after")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_hanging_answer_outlasts_the_client(
    sandbox: Sandbox, url: str, when: FaultMoment
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    http = stripe.AIOHTTPClient(timeout=0.1)
    client = stripe.StripeClient("sk_test_x", base_addresses={"api": url}, http_client=http)
    sandbox.fault(CREATE, kind="hang", seconds=30, when=when, times=1)

    with pytest.raises(stripe.APIConnectionError):
        await charged(client)

    assert len(sandbox.ledger.charges()) == (when == "after")
    await http.close_async()


async def test_a_short_hang_ends_in_the_true_answer(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    sandbox.fault(CREATE, kind="hang", seconds=0.01, when="after", times=1)

    assert (await charged(client)).status == "succeeded"


async def test_a_limiters_429_names_itself_and_a_lock_timeout_does_not(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.fault(CREATE, kind="rate_limit", times=1)
    sandbox.fault(CREATE, kind="lock_timeout", times=1)
    sandbox.fault(CREATE, kind="lock_timeout", times=1, should_retry=True)

    limited = await refused(intent_of(client, customer=""))
    locked = await refused(intent_of(client, customer=""))
    retried = await refused(intent_of(client, customer=""))

    assert limited.error.code == "rate_limit"
    assert limited.headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert locked.error.code == retried.error.code == "lock_timeout"
    assert "Stripe-Rate-Limited-Reason" not in locked.headers
    assert "Stripe-Should-Retry" not in locked.headers
    assert "Request-Id" not in locked.headers
    assert retried.headers["Stripe-Should-Retry"] == "true"


async def test_a_fault_may_strike_the_nth_call_only(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.fault("GET /v1/account", kind="status", status=503, nth=2)

    statuses = [await answer_of(client) for _ in range(3)]

    assert statuses == [200, 503, 200]


async def test_a_fault_with_a_probability_strikes_alike_for_the_same_seed(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    async def struck() -> list[int]:
        sandbox.clear_faults()
        sandbox.fault("*", kind="status", status=503, probability=0.5, seed=3)
        return [await answer_of(client) for _ in range(20)]

    first = await struck()

    assert set(first) == {200, 503}
    assert await struck() == first


async def answer_of(client: stripe.StripeClient) -> int:
    try:
        await client.v1.accounts.retrieve_current_async()
    except stripe.APIError as error:
        return error.http_status or 0
    return 200


def test_a_fault_that_matches_no_call_is_a_mistake() -> None:
    for wrong in (
        {"match": "POST /v1/payment_intent", "kind": "drop"},
        {"match": "*", "kind": "x"},
    ):
        with pytest.raises(ValueError, match="no such"):
            Sandbox().fault(**wrong)


async def test_the_charge_is_made_although_the_client_has_gone(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    sandbox.set_latency(0.5)
    call = asyncio.create_task(charged(client))
    await eventually(lambda: sandbox.status()["requests_received"] == 1)

    call.cancel()
    await eventually(lambda: len(sandbox.ledger.charges()) == 1)

    assert call.cancelled()


async def test_the_limiter_gives_each_endpoint_its_rate(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    sandbox.limiter.per_endpoint = 5

    statuses = [await limited(client.v1.payment_intents.list_async({})) for _ in range(8)]
    other = await limited(client.v1.charges.list_async({}))

    assert statuses.count(200) in {5, 6}
    assert other == 200
    assert sandbox.status()["rate_limited"] == statuses.count(429)
    sandbox.clock.advance(1)
    assert await limited(client.v1.payment_intents.list_async({})) == 200


async def limited(call: Awaitable[object]) -> int:
    try:
        await call
    except stripe.RateLimitError as error:
        return error.http_status or 0
    return 200
