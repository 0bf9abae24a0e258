"""Vouchers and bank transfers: the customer leaves with something to pay elsewhere."""

from typing import Any

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import intent_of, refused, types

pytestmark = pytest.mark.anyio

VOUCHERS = [("boleto", "brl"), ("oxxo", "mxn")]


async def with_voucher(
    client: stripe.StripeClient, kind: str, currency: str, email: str = "ada@example.com"
) -> stripe.PaymentIntent:
    data = {"type": kind, "billing_details": {"name": "Ada", "email": email}}
    return await intent_of(
        client,
        "",
        currency=currency,
        payment_method_types=[kind],
        payment_method_data=data,
        confirm=True,
        metadata={"invoice_id": "1"},
    )


@pytest.mark.parametrize(("kind", "currency"), VOUCHERS)
async def test_a_voucher_waits_until_the_customer_pays_it(
    sandbox: Sandbox, client: stripe.StripeClient, kind: str, currency: str
) -> None:
    intent = await with_voucher(client, kind, currency)
    assert (intent.status, intent.next_action.type) == (
        "requires_action",
        f"{kind}_display_details",
    )
    assert sandbox.ledger.charges() == []

    sandbox.bank.pay_voucher(intent.id)
    sandbox.clock.advance(10 * 86_400)

    paid = await client.v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    assert (paid.status, paid.amount_received) == ("succeeded", 1000)
    assert paid.latest_charge.payment_method_details.type == kind
    assert sandbox.ledger.net_by_invoice() == {"1": 1000}
    with pytest.raises(ValueError, match="waits for no voucher"):
        sandbox.bank.pay_voucher(intent.id)


@pytest.mark.parametrize(("kind", "currency"), VOUCHERS)
async def test_a_voucher_that_nobody_paid_expires_after_three_days(
    sandbox: Sandbox, client: stripe.StripeClient, kind: str, currency: str
) -> None:
    intent = await with_voucher(client, kind, currency)

    sandbox.clock.advance(3 * 86_400 - 10)
    before = await client.v1.payment_intents.retrieve_async(intent.id)
    sandbox.clock.advance(10)

    after = await client.v1.payment_intents.retrieve_async(intent.id)
    assert (before.status, after.status) == ("requires_action", "requires_payment_method")
    assert after.last_payment_error.code == "payment_intent_payment_attempt_expired"
    assert types(sandbox)[-1] == "payment_intent.payment_failed"


@pytest.mark.parametrize(
    ("email", "seconds", "status"),
    [
        ("x.succeed_immediately@example.com", 0, "succeeded"),
        ("x.succeed_with_delay@example.com", 180, "succeeded"),
        ("x.expire_immediately@example.com", 0, "requires_payment_method"),
        ("x.fill_never@example.com", 86_400, "requires_action"),
    ],
)
async def test_stripes_test_addresses_decide_the_fate_of_a_voucher(
    sandbox: Sandbox, client: stripe.StripeClient, email: str, seconds: int, status: str
) -> None:
    intent = await with_voucher(client, "boleto", "brl", email)

    sandbox.clock.advance(seconds)

    assert (await client.v1.payment_intents.retrieve_async(intent.id)).status == status


async def test_a_voucher_is_for_its_own_currency_and_can_be_canceled(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    refusal = await refused(with_voucher(client, "boleto", "usd"))
    intent = await with_voucher(client, "boleto", "brl")

    canceled = await client.v1.payment_intents.cancel_async(intent.id)
    sandbox.clock.advance(4 * 86_400)

    assert (refusal.http_status, refusal.param) == (400, "payment_method")
    assert canceled.status == "canceled"
    assert types(sandbox)[-1] == "payment_intent.canceled"


async def by_transfer(
    client: stripe.StripeClient, customer: str, **params: Any
) -> stripe.PaymentIntent:
    return await intent_of(
        client,
        customer,
        payment_method_types=["customer_balance"],
        payment_method_data={"type": "customer_balance"},
        confirm=True,
        **params,
    )


async def test_a_bank_transfer_pays_in_parts(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    sandbox.add_customer("cus_1")
    intent = await by_transfer(client, "cus_1", metadata={"invoice_id": "1"})
    details = intent.next_action.display_bank_transfer_instructions
    assert (intent.status, details.amount_remaining) == ("requires_action", 1000)

    funding = {"amount": 400, "currency": "usd"}
    await client.v1.test_helpers.customers.fund_cash_balance_async("cus_1", funding)
    part = await client.v1.payment_intents.retrieve_async(intent.id)
    sandbox.bank.transfer("cus_1", 700)

    paid = await client.v1.payment_intents.retrieve_async(intent.id)
    assert (part.status, part.amount_received) == ("requires_action", 400)
    assert part.next_action.display_bank_transfer_instructions.amount_remaining == 600
    assert (paid.status, paid.amount_received) == ("succeeded", 1000)
    assert types(sandbox).count("payment_intent.partially_funded") == 1
    assert sandbox.ledger.net_by_invoice() == {"1": 1000}
    left = await client.v1.customers.cash_balance.retrieve_async("cus_1")
    assert left.available.to_dict() == {"usd": 100}


async def test_a_transfer_pays_the_oldest_intent_and_the_rest_the_next(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    first, second = [await by_transfer(client, "cus_1") for _ in range(2)]

    sandbox.bank.transfer("cus_1", 1500)

    paid, part = [await client.v1.payment_intents.retrieve_async(one.id) for one in (first, second)]
    assert (paid.status, part.status, part.amount_received) == (
        "succeeded",
        "requires_action",
        500,
    )
    canceled = await client.v1.payment_intents.cancel_async(second.id)
    assert canceled.amount_received == 0
    third = await by_transfer(client, "cus_1", amount=500)
    assert third.status == "succeeded"


async def test_a_bank_transfer_needs_a_customer(client: stripe.StripeClient) -> None:
    assert (await refused(by_transfer(client, ""))).http_status == 400


LINE = {"price_data": {"currency": "usd", "unit_amount": 3000}, "quantity": 1}
SESSION = {
    "mode": "payment",
    "success_url": "https://example.com/thanks",
    "line_items": [LINE],
    "customer": "cus_1",
    "metadata": {"invoice_id": "17"},
}


async def test_a_complete_session_is_unpaid_while_its_account_is_not_verified(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    session = await client.v1.checkout.sessions.create_async(SESSION)

    done = sandbox.complete_checkout(session.id, "pm_usBankAccount_success", is_verified=False)
    intent = await client.v1.payment_intents.retrieve_async(done["payment_intent"])
    proof = {"amounts": [32, 45]}
    await client.v1.payment_intents.verify_microdeposits_async(intent.id, proof)
    sandbox.clock.advance(100)

    assert (done["status"], done["payment_status"]) == ("complete", "unpaid")
    assert intent.status == "requires_action"
    found = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert found.payment_status == "paid"
    assert types(sandbox)[-1] == "checkout.session.async_payment_succeeded"


async def test_a_complete_session_follows_its_voucher(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    line = {"price_data": {"currency": "brl", "unit_amount": 3000}, "quantity": 1}
    session = await client.v1.checkout.sessions.create_async({**SESSION, "line_items": [line]})

    done = sandbox.complete_checkout(session.id, "pm_boleto")
    sandbox.bank.expire_voucher(done["payment_intent"])

    found = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert (found.status, found.payment_status) == ("complete", "unpaid")
    assert types(sandbox)[-1] == "checkout.session.async_payment_failed"


async def test_a_complete_session_may_have_no_intent_before_its_transfer_comes(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    session = await client.v1.checkout.sessions.create_async(SESSION)

    done = sandbox.complete_checkout(session.id, "pm_customer_balance", delays_intent=True)
    assert (done["status"], done["payment_status"], done["payment_intent"]) == (
        "complete",
        "unpaid",
        None,
    )
    sandbox.bank.pay_session(session.id)

    found = await client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent"]}
    )
    assert (found.payment_status, found.payment_intent.status) == ("paid", "succeeded")
    assert sandbox.ledger.net_by_invoice() == {"17": 3000}
    assert types(sandbox)[-1] == "checkout.session.async_payment_succeeded"
