"""Webhooks: signed, at once or held, shuffled, doubled, lost, repeated; and what is still owed."""

import asyncio
from collections import Counter

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.patience import wait_limit
from tests.sandbox.conftest import Receiver, charged, eventually, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
async def held(sandbox: Sandbox, receiver: Receiver) -> Sandbox:
    """A sandbox that holds ten events until they are delivered."""
    sandbox.add_endpoint(receiver.url, secrets=["whsec_1"], mode="held")
    for at in range(10):
        sandbox.add_customer(f"cus_{at}")
    return sandbox


async def test_an_auto_endpoint_gets_every_event_at_once_signed_by_each_secret(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_endpoint(receiver.url, secrets=["whsec_old", "whsec_new"])
    sandbox.add_customer("cus_1", payment_method="pm_1")
    await charged(client)

    await sandbox.drained()

    assert Counter(receiver.types) == Counter(event["type"] for event in sandbox.events)
    assert sandbox.undelivered() == []
    for secret in ("whsec_old", "whsec_new"):
        body, signature = receiver.bodies[0], receiver.signatures[0]
        event = stripe.Webhook.construct_event(body, signature, secret)
        assert event.object == "event"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(receiver.bodies[0], receiver.signatures[0], "whsec_other")


async def test_a_refused_event_is_delivered_again_until_a_2xx(
    sandbox: Sandbox, url: str, receiver: Receiver
) -> None:
    sandbox.outbox.retry_seconds = 60
    receiver.answers = [500, 302]
    sandbox.add_endpoint(receiver.url, secrets=["whsec_1"])
    sandbox.add_customer("cus_1")
    await eventually(lambda: len(sandbox.deliveries) == 1)
    assert len(sandbox.undelivered()) == 1

    sandbox.clock.advance(61)
    await eventually(lambda: len(sandbox.deliveries) == 2)
    sandbox.clock.advance(121)
    await sandbox.drained()

    assert [(one.attempt, one.status) for one in sandbox.deliveries] == [
        (1, 500),
        (2, 302),
        (3, 200),
    ]
    assert len({event["id"] for event in receiver.events}) == 1


async def test_an_unreachable_endpoint_is_given_up_after_three_days(
    sandbox: Sandbox, url: str
) -> None:
    sandbox.outbox.retry_seconds = 1
    sandbox.add_endpoint("http://127.0.0.1:1/", secrets=["whsec_1"])
    sandbox.add_customer("cus_1")
    await eventually(lambda: len(sandbox.deliveries) == 1)
    assert sandbox.deliveries[0].status is None

    sandbox.clock.advance(3 * 86_400 + 1)

    async with asyncio.timeout(wait_limit(2)):
        await sandbox.drained()


async def test_held_events_go_out_shuffled_by_the_seed_and_each_several_times(
    held: Sandbox, url: str, receiver: Receiver
) -> None:
    assert receiver.events == []
    assert len(held.undelivered()) == 10

    report = await held.deliver(seed=3, copies=3, concurrency=1)

    order = [event["id"] for event in receiver.events]
    assert (report.sent, report.acknowledged, report.undelivered) == (30, 30, 0)
    assert set(Counter(order).values()) == {3}
    unshuffled = [event["id"] for event in held.events for _ in range(3)]
    assert order != unshuffled
    assert sorted(order) == sorted(unshuffled)
    assert (await held.deliver(seed=3)).sent == 0


async def test_the_order_is_the_same_for_the_same_seed(receiver: Receiver) -> None:
    async def order() -> list[str]:
        sandbox = Sandbox(seed=1)
        async with sandbox.running():
            sandbox.add_endpoint(receiver.url, secrets=["whsec_1"], mode="held")
            for at in range(10):
                sandbox.add_customer(f"cus_{at}")
            receiver.events.clear()
            await sandbox.deliver(seed=9, concurrency=1)
            return [event["id"] for event in receiver.events]

    assert await order() == await order()


async def test_dropped_events_are_still_owed_and_come_in_a_later_round(
    held: Sandbox, url: str, receiver: Receiver
) -> None:
    report = await held.deliver(seed=1, drop=0.5)
    assert 0 < report.dropped < 10
    assert report.undelivered == report.dropped == len(held.undelivered())

    receiver.answers = [500] * 3
    report = await held.deliver(seed=2, drop=0.3, until_delivered=True)

    assert report.undelivered == 0
    assert {event["id"] for event in receiver.events} == {event["id"] for event in held.events}


async def test_everything_can_be_replayed_and_one_event_resent_after_a_2xx(
    held: Sandbox, url: str, receiver: Receiver
) -> None:
    await held.deliver()

    report = await held.deliver(everything=True)
    statuses = await held.resend(held.events[0]["id"])

    assert report.sent == 10
    assert statuses == [200]
    assert len(receiver.events) == 21
    assert receiver.events[-1]["id"] == held.events[0]["id"]


async def test_one_change_can_have_two_event_objects(
    held: Sandbox, url: str, receiver: Receiver
) -> None:
    first = held.events[0]

    twin = held.duplicate_event(first["id"])
    await held.deliver()

    assert twin["id"] != first["id"]
    assert (twin["type"], twin["data"]) == (first["type"], first["data"])
    assert len(receiver.events) == 11


async def test_the_api_knows_which_events_were_not_delivered(
    held: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    receiver.answers = [500] * 4
    await held.deliver(concurrency=1)

    owed = await client.v1.events.list_async({"delivery_success": False})
    done = await client.v1.events.list_async({"delivery_success": True})

    assert (len(owed.data), len(done.data)) == (4, 6)
    assert {event.pending_webhooks for event in owed.data} == {1}
    assert {event.id for event in owed.data} == {event for event, _ in held.undelivered()}


async def test_an_old_endpoint_gets_charges_in_the_intent_under_the_same_event_id(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_endpoint(receiver.url, secrets=["whsec_1"], mode="held", rendering="old")
    sandbox.add_endpoint(receiver.url, secrets=["whsec_2"], mode="held")
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour=["do_not_honor", "succeed"])
    refusal = await refused(charged(client))
    await client.v1.payment_intents.confirm_async(
        refusal.error.payment_intent.id, {"payment_method": "pm_1", "off_session": True}
    )

    await sandbox.deliver()

    old, new = sorted(
        (event for event in receiver.events if event["type"] == "payment_intent.succeeded"),
        key=lambda event: event["api_version"],
    )
    assert old["id"] == new["id"]
    assert old["api_version"] == "2020-08-27"
    assert "latest_charge" not in old["data"]["object"]
    charges = old["data"]["object"]["charges"]["data"]
    assert [charge["status"] for charge in charges] == ["succeeded", "failed"]
    assert charges[0]["id"] == new["data"]["object"]["latest_charge"]
    assert "charges" not in new["data"]["object"]


async def test_an_endpoint_gets_only_the_types_it_asked_for(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_endpoint(receiver.url, secrets=["whsec_1"], types=["payment_intent.succeeded"])
    sandbox.add_customer("cus_1", payment_method="pm_1")
    await charged(client)

    await sandbox.drained()

    assert receiver.types == ["payment_intent.succeeded"]


async def test_an_event_is_a_snapshot_that_never_changes(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client, metadata={"a": "1"})
    before = [event for event in sandbox.events if event["type"].startswith("payment_intent")]

    await client.v1.payment_intents.update_async(intent.id, {"metadata": {"a": "2"}})
    await client.v1.refunds.create_async({"payment_intent": intent.id})

    after = [event for event in sandbox.events if event["type"].startswith("payment_intent")]
    assert after == before
    assert [event["data"]["object"]["status"] for event in after] == [
        "requires_confirmation",
        "succeeded",
    ]
