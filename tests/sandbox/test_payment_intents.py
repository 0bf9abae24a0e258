"""PaymentIntents: at most one success, Stripe's declines, and the states in between."""

import asyncio

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import charged, intent_of, refused, types

pytestmark = pytest.mark.anyio


async def test_a_good_card_is_charged_once_and_the_ledger_knows(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await intent_of(client, metadata={"invoice_id": "17"})
    assert intent.status == "requires_payment_method"

    paid = await client.v1.payment_intents.confirm_async(
        intent.id, {"payment_method": "pm_1", "off_session": True, "expand": ["latest_charge"]}
    )

    assert (paid.status, paid.amount_received, paid.latest_charge.paid) == ("succeeded", 1000, True)
    [taken] = sandbox.ledger.charges()
    assert (taken.charge, taken.payment_intent, taken.customer, taken.amount, taken.currency) == (
        paid.latest_charge.id,
        intent.id,
        "cus_1",
        1000,
        "usd",
    )
    assert sandbox.ledger.net_by_invoice() == {"17": 1000}
    assert types(sandbox)[3:] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.updated",
    ]


async def test_a_succeeded_intent_cannot_be_confirmed_or_canceled_again(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client)

    again = await refused(
        client.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_1"})
    )
    canceled = await refused(client.v1.payment_intents.cancel_async(intent.id))

    for refusal in (again, canceled):
        assert (refusal.http_status, refusal.code) == (400, "payment_intent_unexpected_state")
        assert refusal.error.payment_intent.status == "succeeded"
        assert refusal.error.param is None
    assert len(sandbox.ledger.charges()) == 1


DECLINES = [
    ("pm_card_chargeDeclined", "card_declined", "generic_decline", "try_again_later", None),
    (
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "card_declined",
        "insufficient_funds",
        "try_again_later",
        None,
    ),
    ("pm_card_chargeDeclinedLostCard", "card_declined", "lost_card", "do_not_try_again", None),
    ("pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card", "do_not_try_again", None),
    (
        "pm_card_chargeDeclinedExpiredCard",
        "expired_card",
        "expired_card",
        "confirm_card_data",
        "exp_month",
    ),
    (
        "pm_card_chargeDeclinedIncorrectCvc",
        "incorrect_cvc",
        "incorrect_cvc",
        "confirm_card_data",
        "cvc",
    ),
    (
        "pm_card_chargeDeclinedProcessingError",
        "processing_error",
        "processing_error",
        "try_again_later",
        None,
    ),
    ("pm_card_visa_chargeDeclinedFraudulent", "card_declined", "fraudulent", None, None),
    (
        "pm_card_authenticationRequired",
        "authentication_required",
        "authentication_required",
        None,
        None,
    ),
]


@pytest.mark.parametrize(("token", "code", "decline_code", "advice", "param"), DECLINES)
async def test_a_decline_says_why_and_leaves_the_intent_open(
    sandbox: Sandbox,
    client: stripe.StripeClient,
    token: str,
    code: str | None,
    decline_code: str,
    advice: str | None,
    param: str | None,
) -> None:
    customer = await client.v1.customers.create_async({"email": "a@example.com"})
    method = await client.v1.payment_methods.attach_async(token, {"customer": customer.id})

    refusal = await refused(charged(client, customer.id, method.id))

    error = refusal.error
    assert (refusal.http_status, error.type) == (402, "card_error")
    assert (error.code, error.decline_code, error.advice_code) == (code, decline_code, advice)
    assert error.param == param
    intent = await client.v1.payment_intents.retrieve_async(
        error.payment_intent.id, {"expand": ["latest_charge"]}
    )
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.decline_code == decline_code
    assert intent.latest_charge.id == error.charge
    assert intent.latest_charge.status == "failed"
    assert intent.latest_charge.outcome.advice_code == advice
    assert sandbox.ledger.charges() == []
    assert types(sandbox)[-2:] == ["charge.failed", "payment_intent.payment_failed"]


async def test_a_working_card_pays_the_intent_that_another_was_declined_for(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer(
        "cus_1", payment_method="pm_1", behaviour=["insufficient_funds", "succeed"]
    )
    refusal = await refused(charged(client))
    intent_id = refusal.error.payment_intent.id

    without = await refused(client.v1.payment_intents.confirm_async(intent_id, {}))
    paid = await client.v1.payment_intents.confirm_async(
        intent_id, {"payment_method": "pm_1", "off_session": True}
    )

    assert without.code == "payment_intent_unexpected_state"
    assert paid.status == "succeeded"


async def test_error_on_requires_action_has_a_decline_code_of_its_own(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour=["authentication_required"])

    refusal = await refused(charged(client, error_on_requires_action=True))

    assert refusal.http_status == 402
    assert refusal.error.code == "authentication_required"
    assert refusal.error.decline_code == "authentication_not_handled"
    assert refusal.error.param is None
    assert refusal.error.payment_intent.status == "requires_payment_method"


async def test_a_customer_who_is_present_authenticates_and_pays(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour=["authentication_required"])
    intent = await intent_of(
        client, payment_method="pm_1", confirm=True, return_url="https://example.com"
    )
    assert intent.status == "requires_action"
    assert intent.next_action.redirect_to_url.return_url == "https://example.com"

    sandbox.complete_action(intent.id)

    assert (await client.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"
    assert "payment_intent.requires_action" in types(sandbox)


async def test_a_failed_authentication_leaves_the_intent_open(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour=["authentication_required"])
    intent = await intent_of(
        client, payment_method="pm_1", confirm=True, return_url="https://example.com"
    )

    sandbox.complete_action(intent.id, succeeded=False)

    found = await client.v1.payment_intents.retrieve_async(intent.id)
    assert found.status == "requires_payment_method"
    assert found.last_payment_error.code == "payment_intent_authentication_failure"


async def test_an_open_intent_is_canceled_and_then_closed(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await intent_of(client)

    canceled = await client.v1.payment_intents.cancel_async(
        intent.id, {"cancellation_reason": "abandoned"}
    )
    refusal = await refused(
        client.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_1"})
    )

    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert refusal.code == "payment_intent_unexpected_state"
    assert types(sandbox)[-1] == "payment_intent.canceled"


async def test_the_default_payment_method_is_not_taken_unless_it_is_named(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", default=True)
    intent = await intent_of(client)

    refusal = await refused(
        client.v1.payment_intents.confirm_async(intent.id, {"off_session": True})
    )

    assert "missing a payment method" in str(refusal)
    customer = await client.v1.customers.retrieve_async(
        "cus_1", {"expand": ["invoice_settings.default_payment_method"]}
    )
    assert customer.invoice_settings.default_payment_method.id == "pm_1"


async def test_updating_merges_metadata_and_a_paid_intent_keeps_its_amount(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await charged(client, metadata={"a": "1", "b": "2"})

    updated = await client.v1.payment_intents.update_async(
        intent.id, {"metadata": {"b": "", "c": "3"}}
    )
    refusal = await refused(client.v1.payment_intents.update_async(intent.id, {"amount": 5000}))

    assert updated.metadata.to_dict() == {"a": "1", "c": "3"}
    assert refusal.code == "payment_intent_unexpected_state"


AMOUNTS = [
    (49, "usd", "amount_too_small"),
    (0, "usd", "parameter_invalid_integer"),
    (1001, "kwd", None),
    (1050, "isk", None),
    (100, "zzz", None),
    ("12.5", "usd", "parameter_invalid_integer"),
    (10**12, "usd", "amount_too_large"),
]


@pytest.mark.parametrize(("amount", "currency", "code"), AMOUNTS)
async def test_an_amount_that_stripe_does_not_take_is_refused(
    client: stripe.StripeClient, amount: int, currency: str, code: str | None
) -> None:
    refusal = await refused(
        client.v1.payment_intents.create_async({"amount": amount, "currency": currency})
    )

    assert (refusal.http_status, refusal.code) == (400, code)
    assert refusal.param == ("currency" if currency == "zzz" else "amount")


async def test_off_session_goes_with_a_confirm_only(client: stripe.StripeClient) -> None:
    refusal = await refused(
        client.v1.payment_intents.create_async(
            {"amount": 1000, "currency": "usd", "off_session": True}
        )
    )

    assert (refusal.http_status, refusal.param) == (400, "off_session")


async def test_a_statement_descriptor_on_a_card_is_refused(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")

    refusal = await refused(charged(client, statement_descriptor="INVOICE 1"))

    assert refusal.param == "statement_descriptor"
    assert sandbox.ledger.charges() == []


async def test_another_customers_card_cannot_be_charged(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    sandbox.add_customer("cus_2", payment_method="pm_2")

    refusal = await refused(charged(client, "cus_1", "pm_2"))

    assert (refusal.http_status, refusal.code) == (400, "resource_missing")
    assert refusal.param == "payment_method"


async def test_dashboard_methods_need_a_return_url_when_the_customer_is_present(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")

    refusal = await refused(intent_of(client, payment_method="pm_1", confirm=True))
    paid = await intent_of(
        client, payment_method="pm_1", confirm=True, payment_method_types=["card"]
    )

    assert "return_url" in str(refusal)
    assert paid.status == "succeeded"


async def test_a_card_without_a_customer_is_good_for_one_attempt(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    method = await client.v1.payment_methods.create_async({"type": "card"})
    params = {"amount": 1000, "currency": "usd", "payment_method": method.id, "confirm": True}
    params["payment_method_types"] = ["card"]
    first = await client.v1.payment_intents.create_async(params)

    refusal = await refused(client.v1.payment_intents.create_async(params))

    assert first.status == "succeeded"
    assert (refusal.http_status, refusal.code) == (400, None)
    assert refusal.error.payment_intent.status == "requires_payment_method"


async def test_a_method_of_a_type_that_the_intent_does_not_take_is_refused(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")

    refusal = await refused(charged(client, payment_method_types=["us_bank_account"]))

    assert (refusal.http_status, refusal.param) == (400, "payment_method")
    assert sandbox.ledger.charges() == []


async def test_a_confirm_may_name_the_amount_it_means(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    intent = await intent_of(client)
    terms = {"payment_method": "pm_1", "off_session": True}

    refusal = await refused(
        client.v1.payment_intents.confirm_async(intent.id, {**terms, "amount_to_confirm": 999})
    )
    paid = await client.v1.payment_intents.confirm_async(
        intent.id, {**terms, "amount_to_confirm": 1000}
    )

    assert refusal.param == "amount_to_confirm"
    assert paid.status == "succeeded"


async def test_ten_confirms_at_once_with_keys_of_their_own_charge_once(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    sandbox.set_latency(0.01)
    intent = await intent_of(client, metadata={"invoice_id": "1"})

    async def confirm() -> str:
        terms = {"payment_method": "pm_1", "off_session": True}
        try:
            return (await client.v1.payment_intents.confirm_async(intent.id, terms)).status
        except stripe.InvalidRequestError as error:
            return str(error.code)

    outcomes = await asyncio.gather(*(confirm() for _ in range(10)))

    assert sorted(outcomes) == ["payment_intent_unexpected_state"] * 9 + ["succeeded"]
    assert len(sandbox.ledger.charges()) == 1
