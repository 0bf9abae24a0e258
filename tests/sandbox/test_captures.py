"""Manual capture: holds of a card, their capture, their release and their end."""

from typing import Any

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import charged, intent_of, refused, types

pytestmark = pytest.mark.anyio


async def a_hold(
    sandbox: Sandbox, client: stripe.StripeClient, **params: Any
) -> stripe.PaymentIntent:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    return await charged(client, capture_method="manual", metadata={"invoice_id": "1"}, **params)


async def test_a_hold_takes_no_money_before_its_capture(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await a_hold(sandbox, client, expand=["latest_charge"])
    charge = intent.latest_charge
    assert (intent.status, intent.amount_capturable, intent.amount_received) == (
        "requires_capture",
        1000,
        0,
    )
    assert (charge.captured, charge.amount_captured) == (False, 0)
    assert charge.payment_method_details.card.capture_before == charge.created + 7 * 86_400
    assert sandbox.ledger.charges() == []

    paid = await client.v1.payment_intents.capture_async(intent.id, {"expand": ["latest_charge"]})

    assert (paid.status, paid.amount_received, paid.amount_capturable) == ("succeeded", 1000, 0)
    assert (paid.latest_charge.captured, paid.latest_charge.amount_captured) == (True, 1000)
    assert sandbox.ledger.net_by_invoice() == {"1": 1000}
    assert types(sandbox)[4:] == [
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
        "charge.updated",
    ]


async def test_a_part_is_captured_and_the_rest_released(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await a_hold(sandbox, client)
    too_much = await refused(
        client.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 1001})
    )

    paid = await client.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 700})
    again = await refused(client.v1.payment_intents.capture_async(intent.id))
    refund = await client.v1.refunds.create_async({"payment_intent": intent.id})

    assert (too_much.http_status, too_much.param) == (400, "amount_to_capture")
    assert (paid.amount, paid.amount_received, paid.amount_capturable) == (1000, 700, 0)
    assert again.code == "payment_intent_unexpected_state"
    assert refund.amount == 700
    [taken] = sandbox.ledger.charges()
    assert (taken.amount, taken.net) == (700, 0)


async def test_a_hold_expires_after_seven_days(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await a_hold(sandbox, client)

    sandbox.clock.advance(7 * 86_400)

    found = await client.v1.payment_intents.retrieve_async(intent.id)
    assert (found.status, found.cancellation_reason) == ("canceled", "automatic")
    assert types(sandbox)[-2:] == ["charge.expired", "payment_intent.canceled"]
    refusal = await refused(client.v1.payment_intents.capture_async(intent.id))
    assert refusal.code == "payment_intent_unexpected_state"


async def test_a_canceled_hold_gives_the_money_back_and_a_captured_one_does_not_expire(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await a_hold(sandbox, client)
    other = await charged(client, capture_method="manual")
    refusal = await refused(client.v1.refunds.create_async({"payment_intent": intent.id}))

    canceled = await client.v1.payment_intents.cancel_async(
        intent.id, {"expand": ["latest_charge"]}
    )
    await client.v1.payment_intents.capture_async(other.id)
    sandbox.clock.advance(8 * 86_400)

    assert "does not have a successful charge" in str(refusal)
    assert (canceled.status, canceled.amount_capturable) == ("canceled", 0)
    assert canceled.latest_charge.refunded
    assert [taken.payment_intent for taken in sandbox.ledger.charges()] == [other.id]
    assert "charge.expired" not in types(sandbox)


async def test_a_hold_follows_an_authentication_and_can_be_let_expire_at_once(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour="authentication_required")
    terms = {"payment_method": "pm_1", "confirm": True, "return_url": "https://example.com"}
    intent = await intent_of(client, capture_method="manual", **terms)

    sandbox.complete_action(intent.id)
    found = await client.v1.payment_intents.retrieve_async(intent.id)
    sandbox.bank.expire_hold(intent.id)

    assert found.status == "requires_capture"
    assert types(sandbox)[-1] == "payment_intent.canceled"


async def test_a_session_may_hold_a_card_too(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    line = {"price_data": {"currency": "usd", "unit_amount": 900}, "quantity": 1}
    session = await client.v1.checkout.sessions.create_async(
        {
            "mode": "payment",
            "line_items": [line],
            "success_url": "https://example.com",
            "payment_intent_data": {"capture_method": "manual"},
        }
    )

    done = sandbox.complete_checkout(session.id)
    await client.v1.payment_intents.capture_async(done["payment_intent"])

    found = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert (done["status"], done["payment_status"]) == ("complete", "unpaid")
    assert found.payment_status == "paid"
    assert "checkout.session.async_payment_succeeded" not in types(sandbox)
