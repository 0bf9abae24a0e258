"""Answers with status 200 that are no list, no object, or an object that nobody can read."""

from typing import Any

import aiohttp
import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import charged, intent_of, refused

pytestmark = pytest.mark.anyio

LIST = "GET /v1/payment_intents"
READ = "GET /v1/payment_intents/{id}"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"


async def raw(url: str, path: str) -> Any:
    headers = {"Authorization": "Bearer sk_test_x"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url + path, headers=headers) as answer,
    ):
        assert answer.status == 200
        assert answer.content_type == "application/json"
        return await answer.json()


@pytest.mark.parametrize("body", [{"error": None}, None, [], "x", 7, {"object": "customer"}])
async def test_an_answer_may_be_any_json(sandbox: Sandbox, url: str, body: Any) -> None:
    sandbox.fault(LIST, "answer", body=body, times=1)

    first = await raw(url, "/v1/payment_intents")
    second = await raw(url, "/v1/payment_intents")

    assert first == body
    assert second["object"] == "list"


async def test_the_sdk_meets_an_object_that_is_no_list(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.fault(LIST, "answer", body={"id": "cus_1", "object": "customer"})

    answer = await client.v1.payment_intents.list_async()

    assert answer.to_dict() == {"id": "cus_1", "object": "customer"}


@pytest.mark.parametrize("fields", [{"currency": "usdc"}, {"amount": None}, {"metadata": None}])
async def test_one_intent_of_a_list_may_be_unreadable(
    sandbox: Sandbox, client: stripe.StripeClient, fields: dict[str, Any]
) -> None:
    ids = [(await intent_of(client, "")).id for _ in range(3)]
    sandbox.fault(LIST, "rewrite", of=ids[1], fields=fields)
    sandbox.fault(READ, "rewrite", of=ids[1], fields=fields)

    listed = (await client.v1.payment_intents.list_async()).data
    read = [await client.v1.payment_intents.retrieve_async(one) for one in ids]

    name, value = next(iter(fields.items()))
    spoilt = [one[name] == value for one in listed]
    assert spoilt == [False, True, False]
    assert [one[name] == value for one in read] == spoilt


async def test_without_an_id_the_first_object_is_rewritten_and_the_truth_stays(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    ids = [(await intent_of(client, "")).id for _ in range(2)]
    sandbox.fault(LIST, "rewrite", fields={"currency": "usdc"}, times=1)

    first = (await client.v1.payment_intents.list_async()).data
    second = (await client.v1.payment_intents.list_async()).data

    assert [one.currency for one in first] == ["usdc", "usd"]
    assert [one.currency for one in second] == ["usd", "usd"]
    assert [one.id for one in second] == ids[::-1]


async def test_the_object_inside_a_listed_event_is_rewritten(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    first, second = [await intent_of(client, "") for _ in range(2)]
    sandbox.fault("GET /v1/events", "rewrite", of=first.id, fields={"amount": None})

    events = (await client.v1.events.list_async()).data

    assert {event.data.object.id: event.data.object.amount for event in events} == {
        first.id: None,
        second.id: 1000,
    }


async def test_a_confirm_whose_answer_is_unreadable_has_charged(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await intent_of(client)
    sandbox.fault(CONFIRM, "answer", body={"error": None}, when="after")

    terms = {"payment_method": "pm_1", "off_session": True}
    answer = await client.v1.payment_intents.confirm_async(intent.id, terms)

    assert answer.to_dict() == {"error": None}
    assert len(sandbox.ledger.charges()) == 1


async def test_a_stored_object_may_be_spoilt_and_its_later_events_carry_that(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client)

    sandbox.overwrite(intent.id, currency="usdc", amount=None)
    sandbox.emit("payment_intent.succeeded", sandbox.state.find("payment_intents", intent.id))

    found = await client.v1.payment_intents.retrieve_async(intent.id)
    assert (found.currency, found.amount) == ("usdc", None)
    assert sandbox.events[-1]["data"]["object"]["currency"] == "usdc"
    with pytest.raises(ValueError, match="no such object"):
        sandbox.overwrite("pi_none", currency="x")


@pytest.mark.parametrize(
    ("param", "status", "told"), [(None, 404, "id"), ("customer", 400, "customer")]
)
async def test_an_object_of_another_account_is_missing(
    sandbox: Sandbox, client: stripe.StripeClient, param: str | None, status: int, told: str
) -> None:
    intent = await intent_of(client, "")
    sandbox.fault(READ, "missing", param=param, of=intent.id, times=1)

    refusal = await refused(client.v1.payment_intents.retrieve_async(intent.id))

    assert (refusal.http_status, refusal.code, refusal.param) == (status, "resource_missing", told)
    assert (await client.v1.payment_intents.retrieve_async(intent.id)).id == intent.id
