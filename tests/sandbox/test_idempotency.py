"""Idempotency keys: what is remembered, what is not, and what is refused."""

import asyncio
from typing import Any

import aiohttp
import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import charged, eventually, refused

pytestmark = pytest.mark.anyio

PARAMS = {"amount": 1000, "currency": "usd"}
AUTH = {"Authorization": "Bearer sk_test_x"}


async def create(client: stripe.StripeClient, key: str, **params: Any) -> stripe.PaymentIntent:
    return await client.v1.payment_intents.create_async(
        {**PARAMS, **params}, {"idempotency_key": key}
    )


async def test_a_replay_is_the_first_answer_again_with_its_own_request_id(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    first = await create(client, "k1")
    again = await create(client, "k1")

    assert again.to_dict() == first.to_dict()
    one, two = first.last_response.headers, again.last_response.headers
    assert one["Original-Request"] == one["Request-Id"]
    assert "Idempotent-Replayed" not in one
    assert two["Idempotent-Replayed"] == "true"
    assert two["Original-Request"] == one["Request-Id"] != two["Request-Id"]
    assert two["Idempotency-Key"] == "k1"
    assert len(sandbox.state["payment_intents"]) == 1


async def test_a_decline_is_replayed_although_the_card_is_good_by_now(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour=["generic_decline", "succeed"])
    params = {"customer": "cus_1", "payment_method": "pm_1", "confirm": True, "off_session": True}

    first = await refused(create(client, "k1", **params))
    again = await refused(create(client, "k1", **params))

    assert first.http_status == again.http_status == 402
    assert again.json_body == first.json_body
    assert sandbox.ledger.charges() == []


async def test_the_same_key_with_other_params_or_url_is_refused_and_changes_nothing(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    await create(client, "k1")

    other_params = await refused(create(client, "k1", amount=2000))
    other_url = await refused(
        client.v1.customers.create_async({"email": "a@b.c"}, {"idempotency_key": "k1"})
    )

    for refusal in (other_params, other_url):
        assert isinstance(refusal, stripe.IdempotencyError)
        assert refusal.http_status == 400
        assert refusal.json_body["error"].keys() == {"type", "message"}
    assert len(sandbox.state["payment_intents"]) == 1
    assert len(sandbox.state["customers"]) == 0


async def test_a_key_in_flight_is_409_and_free_to_replay_afterwards(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.set_latency(0.05, "POST /v1/payment_intents")
    first = asyncio.create_task(create(client, "k1"))
    await eventually(lambda: len(sandbox.pipeline.keys) == 1)

    refusal = await refused(create(client, "k1"))

    assert refusal.http_status == 409
    assert refusal.error.code == "idempotency_key_in_use"
    assert isinstance(refusal, stripe.APIError)
    intent = await first
    assert (await create(client, "k1")).id == intent.id


async def test_validation_errors_are_not_remembered(client: stripe.StripeClient) -> None:
    missing = await refused(
        client.v1.payment_intents.create_async({"amount": 1000}, {"idempotency_key": "k1"})
    )
    unknown = await refused(create(client, "k1", colour="red"))

    assert (missing.code, missing.param) == ("parameter_missing", "currency")
    assert (unknown.code, unknown.param) == ("parameter_unknown", "colour")
    assert (await create(client, "k1")).amount == 1000


async def test_errors_of_execution_are_remembered(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    first = await refused(create(client, "k1", customer="cus_1"))
    sandbox.add_customer("cus_1")

    again = await refused(create(client, "k1", customer="cus_1"))

    assert first.code == again.code == "resource_missing"
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_limited_request_is_not_remembered(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.fault("POST /v1/payment_intents", kind="rate_limit", times=1)

    refusal = await refused(create(client, "k1"))

    assert isinstance(refusal, stripe.RateLimitError)
    assert (await create(client, "k1")).amount == 1000


async def test_a_key_is_forgotten_after_a_day_and_would_charge_again(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    params = {"customer": "cus_1", "payment_method": "pm_1", "confirm": True, "off_session": True}
    params["metadata"] = {"invoice_id": "9"}
    await create(client, "k1", **params)
    sandbox.clock.advance(86_399 - 5)
    await create(client, "k1", **params)
    assert len(sandbox.ledger.charges()) == 1

    sandbox.clock.advance(10)
    await create(client, "k1", **params)

    assert len(sandbox.ledger.charges()) == 2
    assert list(sandbox.ledger.double_charges()) == ["9"]


async def test_a_replay_answers_after_the_object_was_deleted(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    options = {"idempotency_key": "k1"}
    customer = await client.v1.customers.create_async({"email": "a@b.c"}, options)
    await client.v1.customers.delete_async(customer.id)

    again = await client.v1.customers.create_async({"email": "a@b.c"}, options)

    assert (again.id, again.email) == (customer.id, "a@b.c")


async def test_an_event_carries_the_request_that_caused_it(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await create(client, "k1")

    event = sandbox.events[-1]

    assert event["type"] == "payment_intent.created"
    assert event["request"] == {
        "id": intent.last_response.headers["Request-Id"],
        "idempotency_key": "k1",
    }


async def test_a_key_has_at_most_255_characters(client: stripe.StripeClient) -> None:
    assert (await refused(create(client, "k" * 256))).http_status == 400


KEYS = [
    ({}, 401),
    ({"Authorization": "Bearer sk_live_x"}, 401),
    ({"Authorization": "Basic !"}, 401),
    ({"Authorization": "Basic c2tfdGVzdF94Og=="}, 200),
    (AUTH, 200),
    ({**AUTH, "Stripe-Version": "2020-08-27"}, 200),
    ({**AUTH, "Stripe-Version": "tomorrow"}, 400),
]


@pytest.mark.parametrize(("headers", "status"), KEYS)
async def test_a_request_needs_a_test_key_and_a_known_version(
    url: str, headers: dict[str, str], status: int
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/account", headers=headers) as answer,
    ):
        body = await answer.json()

    assert answer.status == status
    assert answer.headers["Request-Id"].startswith("req_")
    if status != 200:
        assert body["error"].keys() == {"type", "message"}
    elif "Stripe-Version" in headers:
        assert answer.headers["Stripe-Version"] == headers["Stripe-Version"]


async def test_an_unknown_url_is_refused_in_stripes_words(url: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/nothing", headers=AUTH) as answer,
    ):
        body = await answer.json()

    assert answer.status == 404
    assert body["error"]["message"].startswith("Unrecognized request URL (POST: /v1/nothing)")


async def test_the_log_has_what_was_asked(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client, metadata={"invoice_id": "3"})
    await client.v1.payment_intents.retrieve_async(intent.id)

    post, get = sandbox.requests

    assert (post.method, post.template, post.status) == ("POST", "/v1/payment_intents", 200)
    assert post.params["metadata"] == {"invoice_id": "3"}
    assert post.idempotency_key is not None
    assert (get.template, get.path) == (
        "/v1/payment_intents/{id}",
        f"/v1/payment_intents/{intent.id}",
    )
