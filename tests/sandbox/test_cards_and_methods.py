"""Stripe's test cards by every name, token and number, and the events of saved methods."""

import pytest
import stripe

from app.sandbox.account.test_cards import CARDS, NUMBERS
from app.sandbox.server import Sandbox
from tests.sandbox.conftest import charged, intent_of, refused, types

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", [name for name in CARDS if name])
async def test_a_card_of_every_name_attaches(client: stripe.StripeClient, name: str) -> None:
    customer = await client.v1.customers.create_async({})

    method = await client.v1.payment_methods.attach_async(
        f"pm_card_{name}", {"customer": customer.id}
    )

    assert (method.card.last4, method.card.brand) == (CARDS[name].last4, CARDS[name].brand)


def test_every_number_has_a_card() -> None:
    assert set(NUMBERS.values()) <= CARDS.keys()


DECLINES = [
    ({"token": "tok_visa"}, None),
    ({"token": "tok_de"}, None),
    ({"token": "tok_chargeDeclinedInsufficientFunds"}, "insufficient_funds"),
    ({"token": "tok_visa_chargeDeclinedLostCard"}, "lost_card"),
    ({"number": "4000000000009979", "exp_month": 1, "exp_year": 2040}, "stolen_card"),
    ({"number": "4242 4242 4242 4242", "exp_month": 1, "exp_year": 2040}, None),
    ({"number": "4000000000000002", "exp_month": 1, "exp_year": 2040}, "generic_decline"),
]


@pytest.mark.parametrize(("card", "decline_code"), DECLINES)
async def test_a_token_or_a_number_decides_how_a_card_ends(
    client: stripe.StripeClient, card: dict[str, object], decline_code: str | None
) -> None:
    customer = await client.v1.customers.create_async({})
    made = await client.v1.payment_methods.create_async({"type": "card", "card": card})
    await client.v1.payment_methods.attach_async(made.id, {"customer": customer.id})

    if decline_code is None:
        assert (await charged(client, customer.id, made.id)).status == "succeeded"
    else:
        refusal = await refused(charged(client, customer.id, made.id))
        assert refusal.error.decline_code == decline_code


async def test_an_unknown_token_is_missing(client: stripe.StripeClient) -> None:
    refusal = await refused(
        client.v1.payment_methods.create_async({"type": "card", "card": {"token": "tok_none"}})
    )

    assert (refusal.http_status, refusal.code, refusal.param) == (
        400,
        "resource_missing",
        "card[token]",
    )


async def test_a_card_may_be_declined_after_its_authentication(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    method = "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"
    terms = {"payment_method": method, "confirm": True, "return_url": "https://example.com"}
    intent = await intent_of(client, "", **terms)
    assert intent.status == "requires_action"

    sandbox.complete_action(intent.id)

    found = await client.v1.payment_intents.retrieve_async(intent.id)
    assert found.status == "requires_payment_method"
    assert found.last_payment_error.decline_code == "insufficient_funds"


async def test_a_card_that_fails_its_customer_is_saved_but_not_charged(
    client: stripe.StripeClient,
) -> None:
    customer = await client.v1.customers.create_async({})
    terms = {"customer": customer.id, "payment_method": "pm_card_chargeCustomerFail"}
    setup = await client.v1.setup_intents.create_async({**terms, "confirm": True})

    refusal = await refused(charged(client, customer.id, setup.payment_method))

    assert setup.status == "succeeded"
    assert refusal.error.decline_code == "generic_decline"


async def test_money_of_the_bypassing_card_is_available_at_once(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer = await client.v1.customers.create_async({})
    method = await client.v1.payment_methods.attach_async(
        "pm_card_bypassPending", {"customer": customer.id}
    )

    await charged(client, customer.id, method.id)

    assert sandbox.bank.pay_out()["amount"] == 941


async def test_metadata_of_a_method_is_merged_and_its_event_shows_the_change(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    await client.v1.payment_methods.update_async("pm_1", {"metadata": {"a": "1", "b": "2"}})

    updated = await client.v1.payment_methods.update_async("pm_1", {"metadata": {"b": ""}})

    assert updated.metadata.to_dict() == {"a": "1"}
    assert types(sandbox)[-1] == "payment_method.updated"
    assert sandbox.events[-1]["data"]["previous_attributes"] == {"metadata": {"a": "1", "b": "2"}}


async def test_a_new_default_method_is_told_with_the_old_one(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    sandbox.add_payment_method("pm_2", customer="cus_1", behaviour=["succeed"])

    await client.v1.customers.update_async(
        "cus_1", {"invoice_settings": {"default_payment_method": "pm_2"}}
    )

    data = sandbox.events[-1]["data"]
    assert types(sandbox)[-1] == "customer.updated"
    assert data["object"]["invoice_settings"]["default_payment_method"] == "pm_2"
    assert data["previous_attributes"] == {"invoice_settings": {"default_payment_method": "pm_1"}}


@pytest.mark.parametrize("kind", ["paypal", "cashapp", "klarna", "link", "amazon_pay"])
async def test_a_wallet_pays_at_once_or_its_provider_declines(
    sandbox: Sandbox, client: stripe.StripeClient, kind: str
) -> None:
    sandbox.add_customer(
        "cus_1",
        payment_method="pm_1",
        behaviour=["insufficient_funds", "succeed"],
        payment_method_type=kind,
    )

    refusal = await refused(charged(client, payment_method_types=[kind]))
    paid = await charged(client, payment_method_types=[kind], expand=["latest_charge"])

    assert (refusal.http_status, refusal.code) == (402, "payment_method_provider_decline")
    assert refusal.error.decline_code == "insufficient_funds"
    assert paid.latest_charge.payment_method_details.type == kind
    method = await client.v1.payment_methods.create_async({"type": kind})
    assert method.type == kind
