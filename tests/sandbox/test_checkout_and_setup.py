"""Checkout sessions, SetupIntents, customers and payment methods."""

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.patience import wait_limit
from tests.sandbox.conftest import charged, refused, types

pytestmark = pytest.mark.anyio

LINE = {
    "price_data": {
        "currency": "usd",
        "unit_amount": 1500,
        "product_data": {"name": "Invoice 17"},
    },
    "quantity": 2,
}
SESSION = {
    "mode": "payment",
    "success_url": "https://example.com/thanks",
    "line_items": [LINE],
    "customer": "cus_1",
    "metadata": {"invoice_id": "17"},
}


async def test_a_session_paid_by_card_makes_an_intent_without_the_sessions_metadata(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    session = await client.v1.checkout.sessions.create_async(SESSION)
    assert (session.status, session.amount_total, session.payment_intent) == ("open", 3000, None)

    sandbox.complete_checkout(session.id)

    done = await client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent"]}
    )
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    assert done.payment_intent.status == "succeeded"
    assert done.payment_intent.metadata.to_dict() == {}
    assert sandbox.ledger.net_by_invoice() == {"17": 3000}
    assert types(sandbox)[-1] == "checkout.session.completed"
    with pytest.raises(ValueError, match="complete"):
        sandbox.complete_checkout(session.id)


async def test_payment_intent_data_gives_the_intent_its_metadata(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    session = await client.v1.checkout.sessions.create_async(
        {**SESSION, "payment_intent_data": {"metadata": {"invoice_id": "18"}}}
    )

    sandbox.complete_checkout(session.id)

    [intent] = (await client.v1.payment_intents.list_async({"customer": "cus_1"})).data
    assert intent.metadata.to_dict() == {"invoice_id": "18"}
    listed = await client.v1.checkout.sessions.list_async({"payment_intent": intent.id})
    assert [one.id for one in listed.data] == [session.id]


async def test_a_declined_card_leaves_the_session_open_with_the_same_intent(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    session = await client.v1.checkout.sessions.create_async(SESSION)

    declined = sandbox.complete_checkout(session.id, "pm_card_chargeDeclined")
    paid = sandbox.complete_checkout(session.id, "pm_card_visa")

    assert (declined["status"], paid["status"]) == ("open", "complete")
    assert declined["payment_intent"] == paid["payment_intent"]
    assert len(sandbox.ledger.charges()) == 1


@pytest.mark.parametrize(
    ("token", "status", "event"),
    [
        ("pm_usBankAccount_success", "paid", "checkout.session.async_payment_succeeded"),
        ("pm_usBankAccount_accountClosed", "unpaid", "checkout.session.async_payment_failed"),
    ],
)
async def test_a_session_paid_by_bank_debit_ends_later(
    sandbox: Sandbox, client: stripe.StripeClient, token: str, status: str, event: str
) -> None:
    sandbox.add_customer("cus_1")
    session = await client.v1.checkout.sessions.create_async(SESSION)
    completed = sandbox.complete_checkout(session.id, token)
    assert (completed["status"], completed["payment_status"]) == ("complete", "unpaid")

    sandbox.clock.advance(100)

    done = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert done.payment_status == status
    assert types(sandbox)[-1] == event


async def test_the_intent_of_an_open_session_is_not_cancelled_by_itself(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    """Else the page would take a payment for an intent that is over."""
    sandbox.add_customer("cus_1")
    session = await client.v1.checkout.sessions.create_async(SESSION)
    tried = sandbox.complete_checkout(session.id, "pm_card_chargeDeclined")

    with pytest.raises(stripe.InvalidRequestError, match="created by Checkout"):
        await client.v1.payment_intents.cancel_async(tried["payment_intent"])
    await client.v1.checkout.sessions.expire_async(session.id)
    canceled = await client.v1.payment_intents.cancel_async(tried["payment_intent"])

    assert canceled.status == "canceled"


async def test_a_session_expires_on_demand_or_after_a_day(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    first = await client.v1.checkout.sessions.create_async(SESSION)
    second = await client.v1.checkout.sessions.create_async(SESSION)

    expired = await client.v1.checkout.sessions.expire_async(first.id)
    again = await refused(client.v1.checkout.sessions.expire_async(first.id))
    sandbox.clock.advance(86_400)

    assert (expired.status, again.http_status) == ("expired", 400)
    found = await client.v1.checkout.sessions.list_async({"status": "expired"})
    assert {one.id for one in found.data} == {first.id, second.id}
    assert types(sandbox).count("checkout.session.expired") == 2
    with pytest.raises(ValueError, match="expired"):
        sandbox.complete_checkout(second.id)


async def test_a_setup_intent_makes_a_card_ready_for_off_session_payments(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer = await client.v1.customers.create_async({})
    setup = await client.v1.setup_intents.create_async(
        {
            "customer": customer.id,
            "payment_method": "pm_card_authenticationRequiredOnSetup",
            "confirm": True,
            "return_url": "https://example.com",
        }
    )
    assert setup.status == "requires_action"

    sandbox.complete_action(setup.id)

    assert (await client.v1.setup_intents.retrieve_async(setup.id)).status == "succeeded"
    intent = await charged(client, customer.id, setup.payment_method)
    assert intent.status == "succeeded"
    assert "setup_intent.succeeded" in types(sandbox)


async def test_a_declined_setup_leaves_the_setup_intent_behind(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    refusal = await refused(
        client.v1.setup_intents.create_async(
            {"payment_method": "pm_card_chargeDeclinedLostCard", "confirm": True}
        )
    )

    assert refusal.http_status == 402
    assert refusal.error.decline_code == "lost_card"
    setup = refusal.error.setup_intent
    assert setup.status == "requires_payment_method"
    assert types(sandbox)[-1] == "setup_intent.setup_failed"
    assert (await client.v1.setup_intents.cancel_async(setup.id)).status == "canceled"
    again = await refused(client.v1.setup_intents.cancel_async(setup.id))
    assert again.code == "setup_intent_unexpected_state"


async def test_attaching_a_test_card_makes_a_new_id_and_detaching_is_for_good(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer = await client.v1.customers.create_async({"name": "Ada"})
    one, two = [
        await client.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
        for _ in range(2)
    ]
    assert len({one.id, two.id, "pm_card_visa"}) == 3
    await client.v1.customers.update_async(
        customer.id, {"invoice_settings": {"default_payment_method": one.id}}
    )

    await client.v1.payment_methods.detach_async(one.id)

    listed = await client.v1.payment_methods.list_async({"customer": customer.id})
    again = await refused(client.v1.payment_methods.attach_async(one.id, {"customer": customer.id}))
    gone = await refused(client.v1.customers.payment_methods.retrieve_async(customer.id, one.id))
    found = await client.v1.customers.retrieve_async(customer.id)
    assert [method.id for method in listed.data] == [two.id]
    assert (again.http_status, again.code) == (400, None)
    assert (gone.http_status, gone.code, gone.param) == (404, None, "customer")
    assert found.invoice_settings.default_payment_method is None
    assert types(sandbox)[-2:] == ["payment_method.detached", "customer.updated"]


async def test_an_unknown_payment_method_is_400_and_an_unknown_intent_404(
    client: stripe.StripeClient,
) -> None:
    token = await refused(
        client.v1.payment_intents.create_async(
            {"amount": 1000, "currency": "usd", "payment_method": "pm_none"}
        )
    )
    path = await refused(client.v1.payment_intents.retrieve_async("pi_none"))

    assert (token.http_status, token.code) == (400, "resource_missing")
    assert (path.http_status, path.code, path.param) == (404, "resource_missing", "intent")


async def test_a_deleted_customer_reads_as_deleted_and_is_gone_for_everything_else(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", email="a@example.com")

    await client.v1.customers.delete_async("cus_1")

    found = await client.v1.customers.retrieve_async("cus_1")
    assert found.to_dict() == {"id": "cus_1", "object": "customer", "deleted": True}
    assert (await refused(client.v1.customers.delete_async("cus_1"))).http_status == 404
    assert (await client.v1.customers.list_async({"email": "a@example.com"})).data == []
    assert (await refused(charged(client))).code == "resource_missing"
    assert types(sandbox)[-1] == "customer.deleted"


async def test_changes_of_a_card_tell_what_it_was_before(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1", behaviour="expired_card")
    await refused(charged(client))

    sandbox.renew_card("pm_1", exp_year=2040, behaviour=["succeed"])
    event = sandbox.events[-1]
    await client.v1.payment_methods.update_async("pm_1", {"card": {"exp_month": 1}})

    assert event["type"] == "payment_method.automatically_updated"
    assert event["data"]["previous_attributes"] == {"card": {"exp_year": 2034}}
    assert types(sandbox)[-1] == "payment_method.updated"
    assert (await charged(client)).status == "succeeded"


async def test_the_same_seed_gives_the_same_ids() -> None:
    async def ids(seed: int) -> list[str]:
        sandbox = Sandbox(seed=seed)
        async with sandbox.running() as url:
            http = stripe.AIOHTTPClient(timeout=wait_limit(2))
            client = stripe.StripeClient("sk_test_x", base_addresses={"api": url}, http_client=http)
            sandbox.add_customer("cus_1", payment_method="pm_1")
            intent = await charged(client)
            await http.close_async()
        return [intent.id, intent.latest_charge, *(event["id"] for event in sandbox.events)]

    assert await ids(5) == await ids(5)
    assert set(await ids(5)).isdisjoint(await ids(6))
