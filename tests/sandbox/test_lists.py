"""Lists, expansion and search, as the SDK pages through them."""

from typing import Any

import pytest
import stripe

from app.sandbox.server import Sandbox
from app.sandbox.stripe_api.events_api import HORIZON
from tests.sandbox.conftest import charged, intent_of, refused

pytestmark = pytest.mark.anyio


async def test_intents_are_listed_newest_first_by_customer_and_paged_both_ways(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    sandbox.add_customer("cus_2")
    ids = [(await intent_of(client, f"cus_{1 + turn % 2}")).id for turn in range(10)]
    mine = ids[::2]

    page = await client.v1.payment_intents.list_async({"customer": "cus_1", "limit": 2})
    everything = [one.id async for one in page.auto_paging_iter()]
    last = await client.v1.payment_intents.list_async(
        {"customer": "cus_1", "limit": 3, "starting_after": mine[3]}
    )
    back = await client.v1.payment_intents.list_async(
        {"customer": "cus_1", "limit": 2, "ending_before": mine[0]}
    )

    assert [one.id for one in page.data] == mine[:-3:-1]
    assert everything == mine[::-1]
    assert ([one.id for one in last.data], last.has_more) == (mine[2::-1], False)
    assert ([one.id for one in back.data], back.has_more) == ([mine[2], mine[1]], True)
    assert [one.id async for one in back.auto_paging_iter()] == mine[1:]


async def test_created_bounds_a_list(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    sandbox.add_customer("cus_1")
    sandbox.clock.set(2_000_000_000)
    stamps = []
    for _ in range(4):
        stamps.append((await intent_of(client)).created)
        sandbox.clock.advance(100)

    async def found(**created: int) -> list[int]:
        listed = await client.v1.payment_intents.list_async({"created": created})
        return [one.created for one in listed.data]

    assert await found(gte=stamps[1], lte=stamps[2]) == [stamps[2], stamps[1]]
    assert await found(gt=stamps[1]) == [stamps[3], stamps[2]]
    assert await found(lt=stamps[1]) == [stamps[0]]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"limit": 101}, "limit"),
        ({"limit": 0}, "limit"),
        ({"created": {"since": 1}}, "created"),
        ({"starting_after": "pi_none"}, "starting_after"),
        ({"status": "succeeded"}, "status"),
        ({"metadata": {"a": "1"}}, "metadata"),
    ],
)
async def test_a_list_refuses_what_stripes_does_not_take(
    client: stripe.StripeClient, params: dict[str, Any], param: str
) -> None:
    refusal = await refused(client.v1.payment_intents.list_async(params))

    assert (refusal.http_status, refusal.param) == (400, param)


async def test_ids_are_expanded_also_in_lists_and_deeper(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", name="Ada")
    intent = await charged(client)

    listed = await client.v1.payment_intents.list_async(
        {"expand": ["data.latest_charge.customer", "data.payment_method"]}
    )
    refusal = await refused(
        client.v1.payment_intents.retrieve_async(intent.id, {"expand": ["amount"]})
    )
    plain = await client.v1.payment_intents.retrieve_async(intent.id)

    assert listed.data[0].latest_charge.customer.name == "Ada"
    assert listed.data[0].payment_method.card.last4 == "4242"
    assert (refusal.http_status, refusal.param) == (400, "expand")
    assert plain.latest_charge == intent.latest_charge


async def test_charges_of_an_intent_include_the_failed_ones(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour=["do_not_honor", "succeed"])
    refusal = await refused(charged(client))
    intent_id = refusal.error.payment_intent.id
    await client.v1.payment_intents.confirm_async(
        intent_id, {"payment_method": "pm_1", "off_session": True}
    )

    listed = await client.v1.charges.list_async({"payment_intent": intent_id})

    assert [charge.status for charge in listed.data] == ["succeeded", "failed"]


async def test_events_are_filtered_by_types_and_read_oldest_first_from_a_cursor(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    for _ in range(3):
        await charged(client)
    cursor = sandbox.events[0]["id"]

    paid = await client.v1.events.list_async(
        {"types": ["payment_intent.succeeded", "charge.succeeded"]}
    )
    one = await client.v1.events.list_async({"type": "charge.*", "limit": 1})
    walk = await client.v1.events.list_async({"ending_before": cursor, "limit": 4})
    too_many = await refused(client.v1.events.list_async({"types": [f"a.{n}" for n in range(21)]}))

    assert len(paid.data) == 6
    assert (len(one.data), one.has_more) == (1, True)
    assert [event.id async for event in walk.auto_paging_iter()] == [
        event["id"] for event in list(sandbox.events)[1:]
    ]
    assert too_many.param == "types"


async def test_events_reach_back_thirty_days(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    sandbox.add_customer("cus_0")
    sandbox.add_customer("cus_1")
    old = sandbox.events[0]["id"]
    assert (await client.v1.events.retrieve_async(old)).type == "customer.created"

    sandbox.clock.advance(HORIZON + 1)
    sandbox.add_customer("cus_2")

    assert len((await client.v1.events.list_async({})).data) == 1
    assert len((await client.v1.events.list_async({"ending_before": old})).data) == 1
    assert (await refused(client.v1.events.retrieve_async(old))).http_status == 404


async def test_search_lags_behind_and_flaps(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    sandbox.add_customer("cus_1")
    intent = await intent_of(client, metadata={"invoice_id": "5"})
    query = {"query": "metadata['invoice_id']:'5' AND customer:'cus_1'"}
    early = await client.v1.payment_intents.search_async(query)

    sandbox.clock.advance(200)
    seen = [len((await client.v1.payment_intents.search_async(query)).data) for _ in range(40)]
    other = await client.v1.payment_intents.search_async({"query": "amount>1000"})

    assert early.data == other.data == []
    assert set(seen) == {0, 1}
    assert intent.amount == 1000
    assert (await refused(client.v1.payment_intents.search_async({"query": "?"}))).param == "query"
