"""Events that verify but are not for us: of other accounts and modes, thin ones, and pings."""

from typing import Any

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import Receiver, charged, types

pytestmark = pytest.mark.anyio

ORIGINS = [
    {"account": "acct_connected"},
    {"context": "org_1/acct_other"},
    {"livemode": True},
    {"account": "acct_connected", "livemode": True},
]


def origin_of(event: dict[str, Any]) -> dict[str, Any]:
    seen = {name: event[name] for name in ("account", "context") if name in event}
    return seen | ({"livemode": True} if event["livemode"] else {})


@pytest.mark.parametrize("origin", ORIGINS)
async def test_an_endpoint_may_see_every_event_as_from_elsewhere(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver, origin: dict[str, Any]
) -> None:
    sandbox.add_endpoint(receiver.url, secrets=["whsec_1"], **origin)
    sandbox.add_customer("cus_1", payment_method="pm_1")

    await charged(client)
    await sandbox.drained()

    assert len(receiver.events) == len(sandbox.events)
    assert [origin_of(event) for event in receiver.events] == [origin] * len(receiver.events)
    subjects = [event["data"]["object"]["livemode"] for event in receiver.events]
    assert set(subjects) == {origin.get("livemode", False)}
    assert {origin_of(event) == {} for event in sandbox.events} == {True}


@pytest.mark.parametrize("origin", ORIGINS)
async def test_one_event_may_be_from_elsewhere_among_our_own(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver, origin: dict[str, Any]
) -> None:
    sandbox.add_endpoint(receiver.url, secrets=["whsec_1"])
    sandbox.add_customer("cus_1", payment_method="pm_1")
    await charged(client)
    paid = next(one for one in sandbox.events if one["type"] == "payment_intent.succeeded")

    twin = sandbox.duplicate_event(paid["id"], **origin)
    made = sandbox.emit("payment_intent.succeeded", paid["data"]["object"], **origin)
    await sandbox.drained()

    strange = {event["id"]: origin_of(event) for event in receiver.events if origin_of(event)}
    assert strange == {twin["id"]: origin, made["id"]: origin}
    retrieved = await client.v1.events.retrieve_async(twin["id"])
    assert origin_of(retrieved.to_dict()) == origin


async def test_a_thin_event_names_the_object_and_does_not_carry_it(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    wanted = ["payment_intent.succeeded"]
    sandbox.add_endpoint(receiver.url, secrets=["whsec_1"], rendering="thin", types=wanted)
    sandbox.add_customer("cus_1", payment_method="pm_1")

    intent = await charged(client)
    await sandbox.drained()

    [body], [signature] = receiver.bodies, receiver.signatures
    notification = client.parse_event_notification(body, signature, "whsec_1")
    assert notification.type == "v1.payment_intent.succeeded"
    related = notification.related_object
    assert (related.id, related.url) == (intent.id, f"/v1/payment_intents/{intent.id}")
    assert "data" not in receiver.events[0]
    [snapshot] = [one for one in sandbox.events if one["type"] == "payment_intent.succeeded"]
    assert notification.reason.request.id == snapshot["request"]["id"]
    with pytest.raises(ValueError, match="event notification"):
        client.construct_event(body, signature, "whsec_1")


async def test_a_ping_is_signed_and_about_the_destination_itself(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    endpoint = sandbox.add_endpoint(receiver.url, secrets=["whsec_1"])

    assert await sandbox.ping(endpoint.id) == 200

    notification = client.parse_event_notification(
        receiver.bodies[0], receiver.signatures[0], "whsec_1"
    )
    assert notification.type == "v2.core.event_destination.ping"
    assert notification.related_object.id == endpoint.id
    assert types(sandbox) == []
    with pytest.raises(ValueError, match="no such endpoint"):
        await sandbox.ping("we_none")
