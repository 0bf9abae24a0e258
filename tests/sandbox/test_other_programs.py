"""Others on the same account: public payment links, a second program, a second installation."""

import hmac

import pytest
import stripe

from app.sandbox.server import Sandbox
from tests.sandbox.conftest import Receiver, charged, refused, types

pytestmark = pytest.mark.anyio

LINE = {"price_data": {"currency": "usd", "unit_amount": 50}, "quantity": 1}


async def test_a_stranger_pays_a_public_link_with_a_reference_of_his_own_choice(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    link = await client.v1.payment_links.create_async(
        {
            "line_items": [LINE],
            "metadata": {"campaign": "spring"},
            "payment_intent_data": {"metadata": {"source": "link"}},
        }
    )

    paid = sandbox.strangers.pay_link(link.id, "17")

    assert (paid["client_reference_id"], paid["payment_link"]) == ("17", link.id)
    assert (paid["customer"], paid["payment_status"]) == (None, "paid")
    assert paid["metadata"] == {"campaign": "spring"}
    assert paid["customer_details"]["email"] == "stranger@example.com"
    intent = await client.v1.payment_intents.retrieve_async(paid["payment_intent"])
    assert (intent.amount, intent.metadata.to_dict()) == (50, {"source": "link"})
    other = await client.v1.payment_links.create_async({"line_items": [LINE]})
    sandbox.strangers.pay_link(other.id)
    listed = await client.v1.checkout.sessions.list_async({"payment_link": link.id})
    assert [one.id for one in listed.data] == [paid["id"]]
    assert types(sandbox)[-1] == "checkout.session.completed"
    assert sandbox.events[-1]["request"] == {"id": None, "idempotency_key": None}


async def test_a_link_is_paid_many_times_until_it_is_no_longer_active(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    link = await client.v1.payment_links.create_async({"line_items": [LINE]})
    sessions = {sandbox.strangers.pay_link(link.id)["id"] for _ in range(3)}

    await client.v1.payment_links.update_async(link.id, {"active": False})

    assert len(sessions) == 3
    with pytest.raises(Exception, match="no longer active"):
        sandbox.strangers.pay_link(link.id)
    assert (await client.v1.payment_links.list_async({"active": True})).data == []


@pytest.mark.parametrize("customer", ["cus_1", None])
async def test_another_program_charges_with_any_metadata_and_any_customer(
    sandbox: Sandbox, client: stripe.StripeClient, customer: str | None
) -> None:
    sandbox.add_customer("cus_1")

    page = sandbox.strangers.open_intent(10_000, customer=customer, metadata={"invoice_id": "1"})
    assert (page["status"], page["customer"]) == ("requires_payment_method", customer)
    paid = sandbox.strangers.finish_intent(page["id"])
    other = sandbox.strangers.pay(500, customer=customer)

    assert (paid["status"], other["status"]) == ("succeeded", "succeeded")
    assert sandbox.ledger.net_by_invoice() == {"1": 10_000}
    found = await client.v1.payment_intents.retrieve_async(other["id"])
    assert found.metadata.to_dict() == {}
    assert sandbox.events[-1]["request"]["id"].startswith("req_")


async def test_each_installation_gets_all_events_signed_with_its_own_secret(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_endpoint(receiver.url + "?of=a", secrets=["whsec_a"])
    sandbox.add_endpoint(receiver.url + "?of=b", secrets=["whsec_b"])
    sandbox.add_customer("cus_1", payment_method="pm_1")

    await charged(client)
    await sandbox.drained()

    assert len(receiver.events) == 2 * len(sandbox.events)
    assert {event["id"] for event in receiver.events} == {event["id"] for event in sandbox.events}
    for secret in ("whsec_a", "whsec_b"):
        assert sum(
            is_signed(body, signature, secret)
            for body, signature in zip(receiver.bodies, receiver.signatures, strict=True)
        ) == len(sandbox.events)


def is_signed(body: bytes, header: str, secret: str) -> bool:
    parts = dict(part.split("=", 1) for part in header.split(","))
    signed = f"{parts['t']}.".encode() + body
    return parts["v1"] == hmac.new(secret.encode(), signed, "sha256").hexdigest()


async def test_two_programs_with_keys_of_their_own_see_one_account(
    sandbox: Sandbox, client: stripe.StripeClient, url: str
) -> None:
    sandbox.add_customer("cus_1", payment_method="pm_1")
    ours = await charged(client, metadata={"invoice_id": "1", "installation": "a"})
    http = stripe.AIOHTTPClient(timeout=10)
    second = stripe.StripeClient("sk_test_b", base_addresses={"api": url}, http_client=http)

    theirs = await charged(second, metadata={"invoice_id": "1", "installation": "b"})
    listed = await client.v1.payment_intents.list_async({"customer": "cus_1"})
    await http.close_async()

    assert [one.id for one in listed.data] == [theirs.id, ours.id]
    assert len(sandbox.ledger.double_charges()["1"]) == 2


async def test_sessions_are_listed_by_customer_intent_and_status_in_pages(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    sandbox.add_customer("cus_1")
    sandbox.add_customer("cus_2")
    terms = {"mode": "payment", "line_items": [LINE], "success_url": "https://example.com"}
    ids = [
        (
            await client.v1.checkout.sessions.create_async(
                {**terms, "customer": f"cus_{1 + turn % 2}"}
            )
        ).id
        for turn in range(8)
    ]
    mine = ids[::2]
    paid = sandbox.complete_checkout(mine[0])
    await client.v1.checkout.sessions.expire_async(mine[1])

    async def found(**params: object) -> list[str]:
        page = await client.v1.checkout.sessions.list_async({"limit": 1, **params})
        return [one.id async for one in page.auto_paging_iter()]

    assert await found(customer="cus_1") == mine[::-1]
    assert await found(customer="cus_1", status="open") == [mine[3], mine[2]]
    assert await found(status="complete") == [mine[0]]
    assert await found(payment_intent=paid["payment_intent"]) == [mine[0]]
    assert await found(customer="cus_2", status="expired") == []


async def test_a_link_needs_a_price_and_an_unknown_one_is_refused(
    client: stripe.StripeClient,
) -> None:
    without = await refused(client.v1.payment_links.create_async({"line_items": []}))
    unknown = await refused(client.v1.payment_links.retrieve_async("plink_none"))

    assert (without.http_status, without.param) == (400, "line_items")
    assert (unknown.http_status, unknown.code) == (404, "resource_missing")
