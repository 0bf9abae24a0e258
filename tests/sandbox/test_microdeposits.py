"""Bank accounts of the US that nobody has verified: microdeposits, right and wrong amounts."""

from typing import Any

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import charged, intent_of, refused, types

pytestmark = pytest.mark.anyio

MANDATE = {"customer_acceptance": {"type": "offline"}}
CODE = "payment_method_microdeposit_verification"


async def waiting_intent(
    client: stripe.StripeClient, method: str = "pm_usBankAccount_success", **params: Any
) -> stripe.PaymentIntent:
    customer = await client.v1.customers.create_async({})
    terms = {"payment_method": method, "confirm": True, "mandate_data": MANDATE}
    kinds = {"payment_method_types": ["us_bank_account"]}
    return await intent_of(client, customer.id, **terms, **kinds, **params)


@pytest.mark.parametrize(
    "proof", [{"amounts": [32, 45]}, {"amounts": [45, 32]}, {"descriptor_code": "SM11AA"}]
)
async def test_an_account_that_nobody_verified_waits_and_then_pays(
    sandbox: Sandbox, client: stripe.StripeClient, proof: dict[str, Any]
) -> None:
    intent = await waiting_intent(client, metadata={"invoice_id": "1"})
    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    assert intent.next_action.type == "verify_with_microdeposits"
    assert intent.next_action.verify_with_microdeposits.arrival_date > intent.created

    verified = await client.v1.payment_intents.verify_microdeposits_async(intent.id, proof)
    sandbox.clock.advance(100)

    assert (verified.status, verified.next_action) == ("processing", None)
    assert sandbox.ledger.net_by_invoice() == {"1": 1000}
    assert types(sandbox)[2:5] == [
        "payment_intent.requires_action",
        "mandate.updated",
        "charge.pending",
    ]


WRONG = [
    ({"amounts": [1, 2]}, f"{CODE}_amounts_mismatch", "requires_action"),
    ({"amounts": [1]}, f"{CODE}_amounts_invalid", "requires_action"),
    ({"descriptor_code": "SM99ZZ"}, f"{CODE}_descriptor_code_mismatch", "requires_action"),
    ({"amounts": [10, 11]}, f"{CODE}_attempts_exceeded", "requires_payment_method"),
    ({"descriptor_code": "SM44DD"}, f"{CODE}_timeout", "requires_payment_method"),
]


@pytest.mark.parametrize(("proof", "code", "status"), WRONG)
async def test_wrong_amounts_are_refused_and_the_last_try_ends_the_intent(
    sandbox: Sandbox, client: stripe.StripeClient, proof: dict[str, Any], code: str, status: str
) -> None:
    intent = await waiting_intent(client)

    refusal = await refused(client.v1.payment_intents.verify_microdeposits_async(intent.id, proof))

    found = await client.v1.payment_intents.retrieve_async(intent.id)
    assert (refusal.http_status, refusal.code) == (400, code)
    assert found.status == status
    assert (found.last_payment_error is None) == (status == "requires_action")
    assert sandbox.ledger.charges() == []


async def test_the_tenth_wrong_try_is_the_last(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await waiting_intent(client)

    codes = [
        (
            await refused(
                client.v1.payment_intents.verify_microdeposits_async(intent.id, {"amounts": [1, 2]})
            )
        ).code
        for _ in range(11)
    ]

    assert codes[8:] == [
        f"{CODE}_amounts_mismatch",
        f"{CODE}_attempts_exceeded",
        "payment_intent_unexpected_state",
    ]
    found = await client.v1.payment_intents.retrieve_async(intent.id)
    assert found.last_payment_error.code == f"{CODE}_attempts_exceeded"
    assert types(sandbox)[-1] == "payment_intent.payment_failed"


async def test_microdeposits_that_cannot_be_sent_fail_the_intent(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await waiting_intent(client, "pm_usBankAccount_failMicrodeposits")

    sandbox.clock.advance(100)

    found = await client.v1.payment_intents.retrieve_async(intent.id)
    assert found.status == "requires_payment_method"
    assert found.last_payment_error.code == "payment_method_microdeposit_failed"


async def test_a_waiting_intent_can_be_canceled(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    intent = await waiting_intent(client)

    canceled = await client.v1.payment_intents.cancel_async(intent.id)
    refusal = await refused(
        client.v1.payment_intents.verify_microdeposits_async(intent.id, {"amounts": [32, 45]})
    )

    assert (canceled.status, refusal.code) == ("canceled", "payment_intent_unexpected_state")


async def test_a_setup_intent_is_verified_by_microdeposits_too(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer = await client.v1.customers.create_async({})
    method = "pm_usBankAccount_success"
    terms = {"customer": customer.id, "payment_method": method, "confirm": True}
    setup = await client.v1.setup_intents.create_async({**terms, "mandate_data": MANDATE})
    assert setup.status == "requires_action"
    assert (await client.v1.mandates.retrieve_async(setup.mandate)).status == "pending"

    wrong = await refused(
        client.v1.setup_intents.verify_microdeposits_async(setup.id, {"amounts": [1, 2]})
    )
    done = await client.v1.setup_intents.verify_microdeposits_async(
        setup.id, {"descriptor_code": "SM11AA"}
    )

    assert (wrong.code, done.status) == (f"{CODE}_amounts_mismatch", "succeeded")
    assert (await client.v1.mandates.retrieve_async(setup.mandate)).status == "active"
    intent = await intent_of(
        client, customer.id, payment_method=done.payment_method, confirm=True, off_session=True
    )
    assert intent.status == "processing"


async def test_a_setup_intent_fails_after_too_many_tries(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    terms = {"payment_method": "pm_usBankAccount_success", "confirm": True}
    setup = await client.v1.setup_intents.create_async({**terms, "mandate_data": MANDATE})

    refusal = await refused(
        client.v1.setup_intents.verify_microdeposits_async(setup.id, {"amounts": [10, 11]})
    )

    assert refusal.error.setup_intent.status == "requires_payment_method"
    assert types(sandbox)[-1] == "setup_intent.setup_failed"


NUMBERS = [
    (
        "us_bank_account",
        {"account_number": "000111111116", "routing_number": "110000000"},
        "no_account",
    ),
    ("us_bank_account", {"account_number": "000123456789", "routing_number": "110000000"}, None),
    ("sepa_debit", {"iban": "DE65370400440002222227"}, "insufficient_funds"),
    ("sepa_debit", {"iban": "DE62370400440532013001"}, "generic_decline"),
    ("sepa_debit", {"iban": "DE78370400440532013004"}, "generic_decline"),
    ("sepa_debit", {"iban": "DE89 3704 0044 0532 0130 00"}, None),
    ("bacs_debit", {"account_number": "93333335", "sort_code": "108800"}, "debit_not_authorized"),
]


@pytest.mark.parametrize(("kind", "details", "failure"), NUMBERS)
async def test_stripes_test_numbers_decide_how_a_debit_ends(
    sandbox: Sandbox,
    client: stripe.StripeClient,
    kind: str,
    details: dict[str, str],
    failure: str | None,
) -> None:
    method = await client.v1.payment_methods.create_async(
        {"type": kind, kind: details, "billing_details": {"name": "Ada", "email": "a@b.de"}}
    )
    options = {"us_bank_account": {"verification_method": "skip"}}
    intent = await intent_of(
        client,
        "",
        payment_method=method.id,
        payment_method_types=[kind],
        confirm=True,
        mandate_data=MANDATE,
        payment_method_options=options,
    )
    assert intent.status == "processing"

    sandbox.clock.advance(200)

    [charge] = (await client.v1.charges.list_async({"payment_intent": intent.id})).data
    assert charge.failure_code == failure
    assert charge.paid == (failure is None)


async def test_a_debit_stays_in_processing_until_its_bank_answers_or_is_disputed_after(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour="bank_debit_stays")
    sandbox.add_customer("cus_2", payment_method="pm_2", behaviour="bank_debit_disputed")
    terms = {"confirm": True, "off_session": True}
    stays = await intent_of(client, "cus_1", payment_method="pm_1", **terms)
    disputed = await intent_of(client, "cus_2", payment_method="pm_2", **terms)
    sandbox.clock.advance(86_400)
    assert (await client.v1.payment_intents.retrieve_async(stays.id)).status == "processing"

    sandbox.bank.answer_debit(stays.id, "account_closed")

    assert sandbox.events[-1]["type"] == "payment_intent.payment_failed"
    [dispute] = (await client.v1.disputes.list_async({"payment_intent": disputed.id})).data
    assert dispute.status == "needs_response"


async def test_a_saved_account_that_is_not_verified_waits_as_well(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    sandbox.add_payment_method(
        "pm_1", customer="cus_1", behaviour=["bank_debit_succeeds"], is_verified=False
    )

    intent = await charged(client)
    await client.v1.payment_intents.verify_microdeposits_async(intent.id, {"amounts": [32, 45]})
    second = await charged(client)

    assert (intent.status, second.status) == ("requires_action", "processing")
