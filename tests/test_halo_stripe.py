"""HaloPSA's own Stripe endpoints: intents under the guard, methods, the portal, the webhook."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe

from app.payments.stripe.gateway import API_VERSION
from app.payments.webhook.event_types import HANDLERS
from tests.harness import CLIENTS, KEY, Paydue
from tests.patience import wait_limit
from tests.test_autopay_rules import post
from tests.test_one_payable_way import taken
from tests.test_pay_links import a_link, hear, owed, press

pytestmark = pytest.mark.anyio

CREATE_INTENT = "IntegrationData/Post/Stripe/create-payment-intent"
UPDATE = "IntegrationData/Post/Stripe/update-invoice-payment"
DUE = 12_000


@pytest.fixture
async def client(stripe_url: str) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.AIOHTTPClient(timeout=wait_limit(2))
    yield stripe.StripeClient(KEY, base_addresses={"api": stripe_url}, http_client=http)
    await http.close_async()


def items(*invoices: int, **more: Any) -> dict[str, Any]:
    return {"items": [{"id": one} for one in invoices], **more}


async def confirm(client: stripe.StripeClient, intent: str) -> Any:
    """As the screen does with its user."""
    params: Any = {"payment_method": "pm_card_visa", "return_url": "https://example.com"}
    return await client.v1.payment_intents.confirm_async(intent, params)


async def status_of(client: stripe.StripeClient, intent: str) -> str:
    return str((await client.v1.payment_intents.retrieve_async(intent)).status)


async def test_an_intent_pays_its_invoices_exactly(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    who = await paydue.a_client()
    mine = [await paydue.an_invoice(total, client=who) for total in ("10.00", "20.50")]

    status, made = await post(paydue, CREATE_INTENT, items(*mine))
    await confirm(client, made["id"])
    updated = await post(paydue, UPDATE, {"payment_intent": made["id"]})
    report = await paydue.autopay()

    assert status == 200, made
    assert (made["amount"], made["currency"]) == (3050, "usd")
    assert made["client_secret"].startswith(made["id"])
    assert updated == (200, {"payment_intent": made["id"]})
    assert await owed(paydue, *mine) == [0, 0]
    assert report["charged"] == []
    assert taken(paydue) == 3050


async def test_the_same_again_is_the_same_intent(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()

    first = await post(paydue, CREATE_INTENT, items(invoice))
    again = await post(paydue, CREATE_INTENT, items(invoice))

    assert first[1]["id"] == again[1]["id"]


async def test_autopay_and_links_close_it_and_it_closes_them(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    session = (await press(paydue, path)).session

    _, first = await post(paydue, CREATE_INTENT, items(invoice))
    found = await client.v1.checkout.sessions.retrieve_async(session)
    second = (await press(paydue, path)).session
    after_link = await status_of(client, first["id"])
    _, third = await post(paydue, CREATE_INTENT, items(invoice))
    report = await paydue.autopay()

    assert (found.status, after_link) == ("expired", "canceled")
    assert second != session
    assert [one["invoice_id"] for one in report["charged"]] == [invoice]
    assert await status_of(client, third["id"]) == "canceled"
    assert taken(paydue) == DUE


async def test_an_intent_that_was_confirmed_is_seen_before_its_webhook(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    _, made = await post(paydue, CREATE_INTENT, items(invoice))
    await confirm(client, made["id"])

    again, report = await post(paydue, CREATE_INTENT, items(invoice)), await paydue.autopay()

    assert again[0] == 409
    assert report["charged"] == []
    assert await owed(paydue, invoice) == [0]
    assert taken(paydue) == DUE


@pytest.mark.parametrize(
    "body",
    [{}, {"items": []}, {"items": [{}]}, {"items": "x"}, {"items": [{"id": 0}]}, [], [1]],
)
async def test_an_intent_of_nothing_is_refused(paydue: Paydue, body: Any) -> None:
    assert (await post(paydue, CREATE_INTENT, body))[0] == 400


async def test_an_intent_is_of_one_client_and_one_currency_that_are_due(paydue: Paydue) -> None:
    who = await paydue.a_client()
    one, yen = (
        await paydue.an_invoice(client=who),
        await paydue.an_invoice("500", client=who, currency_iso="jpy"),
    )
    other, voided = await paydue.an_invoice(), await paydue.an_invoice(client=who, voided=True)

    statuses = [
        (await post(paydue, CREATE_INTENT, items(*ids)))[0]
        for ids in ((one, yen), (one, other), (voided,), (999_999,))
    ]

    assert statuses == [400, 400, 400, 404]
    assert (await post(paydue, CREATE_INTENT, items(one), "read:invoices"))[0] == 403


async def test_a_method_is_saved_and_set_only_where_it_is_the_clients(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    who, other = await paydue.a_client(), await paydue.a_client()
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == who)
    (theirs,) = await paydue.rows(CLIENTS, CLIENTS.c.id == other)
    paydue.sandbox.add_payment_method(
        "pm_new", customer=row.stripe_customer_id, behaviour=["succeed"]
    )

    setup = await post(
        paydue, "IntegrationData/Post/Stripe/create-setup-intent", {"client_id": who}
    )
    changed = await post(paydue, "Client/PaymentMethodUpdate", {"id": who, "cardid": "pm_new"})
    stolen = await post(
        paydue,
        "Client/PaymentMethodUpdate",
        {"id": who, "cardid": theirs.stripe_payment_method_id},
    )

    assert setup[0] == 200
    assert setup[1]["client_secret"].startswith("seti_")
    assert changed[0] == 200, changed
    assert stolen[0] == 400
    (now,) = await paydue.rows(CLIENTS, CLIENTS.c.id == who)
    assert (now.stripe_payment_method_id, now.stripe_payment_method_name) == ("pm_new", "visa 4242")


async def test_the_portal_is_opened_for_a_client_by_number_or_customer(paydue: Paydue) -> None:
    who = await paydue.a_client()
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == who)
    path = "IntegrationData/Post/Stripe/create-portal-session"
    back = "https://psa.example.com/portal"

    answers = [
        await post(paydue, path, {"customerid": said, "returnurl": back})
        for said in (who, str(who), row.stripe_customer_id)
    ]
    refused = [
        (await post(paydue, path, body))[0]
        for body in (
            {"customerid": "cus_unknown", "returnurl": back},
            {"customerid": who},
            {"customerid": who, "returnurl": "javascript:alert(1)"},
            {"returnurl": back},
        )
    ]

    assert {status for status, _ in answers} == {200}
    assert all(one["url"].startswith("https://billing.stripe.com/") for _, one in answers)
    assert refused == [404, 400, 400, 400]


async def test_a_webhook_is_made_once_and_mended(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    path = "IntegrationData/Post/Stripe/create-webhook"
    body = {"url": "https://pay.example.com/stripe/webhook"}

    _, made = await post(paydue, path, body)
    await client.v1.webhook_endpoints.update_async(
        made["id"], {"enabled_events": ["charge.succeeded"], "disabled": True}
    )
    _, mended = await post(paydue, path, body)
    found = (await client.v1.webhook_endpoints.list_async()).data

    assert made["secret"].startswith("whsec_")
    assert "secret" not in mended
    assert mended["id"] == made["id"]
    assert [one.status for one in found] == ["enabled"]
    assert (set(found[0].enabled_events), found[0].api_version) == (set(HANDLERS), API_VERSION)
    assert (await post(paydue, path, body, "edit:invoices"))[0] == 403


async def test_the_integration_shows_no_secret(paydue: Paydue) -> None:
    who = await paydue.a_client(stripe_payment_method_name="visa 4242")
    headers = await paydue.access("read:customers")
    url = f"/api/IntegrationData/Get/Stripe?client_id={who}"
    async with paydue.http.get(url, headers=headers) as answer:
        found = await answer.json()

    assert answer.status == 200
    assert found["livemode"] is False
    assert [one["name"] for one in found["payment_methods"]] == ["visa 4242"]
    assert "secret" not in str(found)
    assert KEY not in str(found)


async def test_another_secret_than_the_intents_is_refused(paydue: Paydue) -> None:
    body = {"payment_intent": "pi_1", "payment_intent_client_secret": "pi_2_secret_x"}

    assert (await post(paydue, UPDATE, body))[0] == 400
    assert (await post(paydue, UPDATE, {}))[0] == 400
    await hear(paydue)
