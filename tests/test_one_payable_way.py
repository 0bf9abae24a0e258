"""While autopay charges an invoice, nothing else that is for it can still take money.

Every payment here is made at Stripe, by others, and no event of it has come: Stripe is asked.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe

from tests.harness import CLIENTS, KEY, Paydue, event, intent
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio

DUE = 12_000


@pytest.fixture
async def client(stripe_url: str) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.AIOHTTPClient(timeout=wait_limit(2))
    yield stripe.StripeClient(KEY, base_addresses={"api": stripe_url}, http_client=http)
    await http.close_async()


async def customer_of(paydue: Paydue, invoice: int) -> str:
    where = CLIENTS.c.id == (await paydue.invoice(invoice)).client_id
    (row,) = await paydue.rows(CLIENTS, where)
    return str(row.stripe_customer_id)


async def status_of(client: stripe.StripeClient, intent_id: str) -> str:
    return str((await client.v1.payment_intents.retrieve_async(intent_id)).status)


def taken(paydue: Paydue) -> int:
    """All the money that anybody has taken at Stripe."""
    return sum(one.amount for one in paydue.sandbox.ledger.charges())


async def held(paydue: Paydue) -> str:
    """The reason for which a run charged nothing."""
    report = await paydue.autopay()
    assert report["charged"] == report["pending"] == report["unknown"] == []
    (skipped,) = report["skipped"]
    return str(skipped["reason"])


# --- unfinished: closed ------------------------------------------------------------------------


@pytest.mark.parametrize("named_by", ["invoice_id", "none"])
async def test_a_page_of_another_program_is_closed_or_waited_for(
    paydue: Paydue, client: stripe.StripeClient, named_by: str
) -> None:
    invoice = await paydue.an_invoice()
    metadata = {"invoice_id": str(invoice)} if named_by == "invoice_id" else {}
    customer = await customer_of(paydue, invoice)
    page = paydue.sandbox.strangers.open_intent(DUE, customer=customer, metadata=metadata)

    if named_by == "invoice_id":
        assert len((await paydue.autopay())["charged"]) == 1
        assert await status_of(client, page["id"]) == "canceled"
    else:  # it is not ours to close, and may be for this invoice
        assert "unfinished" in await held(paydue)
        paydue.sandbox.strangers.finish_intent(page["id"])
        assert "assign it" in await held(paydue)
    assert taken(paydue) == DUE


async def test_a_page_of_another_amount_is_left_alone(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    customer = await customer_of(paydue, invoice)
    page = paydue.sandbox.strangers.open_intent(777, customer=customer)

    assert len((await paydue.autopay())["charged"]) == 1

    assert await status_of(client, page["id"]) == "requires_payment_method"


async def test_an_open_session_of_a_guest_that_names_the_invoice_is_expired(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    session = await a_session(client, client_reference_id=str(invoice))

    assert len((await paydue.autopay())["charged"]) == 1

    found = await client.v1.checkout.sessions.retrieve_async(session)
    assert found.status == "expired"


async def test_a_strangers_session_for_another_amount_is_not_ours_to_expire(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice("500.00")
    session = await a_session(client, client_reference_id=str(invoice))

    assert len((await paydue.autopay())["charged"]) == 1

    assert (await client.v1.checkout.sessions.retrieve_async(session)).status == "open"


# --- held or awaited: waited for ---------------------------------------------------------------


@pytest.mark.parametrize("is_named", [True, False])
async def test_a_hold_on_a_card_is_waited_for(
    paydue: Paydue, client: stripe.StripeClient, is_named: bool
) -> None:
    invoice = await paydue.an_invoice()
    metadata = {"invoice_id": str(invoice)} if is_named else {}
    customer = await customer_of(paydue, invoice)
    page = paydue.sandbox.strangers.open_intent(
        DUE, customer=customer, metadata=metadata, capture_method="manual"
    )
    paydue.sandbox.strangers.finish_intent(page["id"])

    assert "captured" in await held(paydue)
    assert "captured" in await held(paydue)
    await client.v1.payment_intents.capture_async(page["id"])
    await paydue.reconcile()
    await paydue.autopay()

    assert taken(paydue) == DUE
    assert (await paydue.invoice(invoice)).amountpaid == (120 if is_named else 0)


async def test_a_hold_that_is_released_frees_the_invoice(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    customer, metadata = await customer_of(paydue, invoice), {"invoice_id": str(invoice)}
    page = paydue.sandbox.strangers.open_intent(
        DUE, customer=customer, metadata=metadata, capture_method="manual"
    )
    paydue.sandbox.strangers.finish_intent(page["id"])
    assert "captured" in await held(paydue)

    paydue.sandbox.bank.expire_hold(page["id"])
    await paydue.reconcile()

    assert len((await paydue.autopay())["charged"]) == 1
    assert taken(paydue) == DUE


async def test_unverified_microdeposits_of_a_completed_session_are_waited_for(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    customer = await customer_of(paydue, invoice)
    session = await a_session(client, customer=customer, client_reference_id=str(invoice))
    done = paydue.sandbox.complete_checkout(
        session, payment_method="pm_usBankAccount_success", is_verified=False
    )
    waiting = done["payment_intent"]
    if await status_of(client, waiting) != "requires_action":
        pytest.fail("the sandbox does not play the state that this test is about")

    assert "verify_with_microdeposits" in await held(paydue)
    assert "verify_with_microdeposits" in await held(paydue)

    await client.v1.payment_intents.verify_microdeposits_async(waiting, {"amounts": [32, 45]})
    paydue.sandbox.clock.advance(100)
    await paydue.autopay()
    assert taken(paydue) == DUE


async def test_a_bank_transfer_that_a_session_awaits_is_waited_for(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    customer = await customer_of(paydue, invoice)
    session = await a_session(client, customer=customer, client_reference_id=str(invoice))
    paydue.sandbox.complete_checkout(session, "customer_balance", delays_intent=True)

    assert "awaits its money" in await held(paydue)
    assert taken(paydue) == 0


# --- taken: booked first -----------------------------------------------------------------------


@pytest.mark.parametrize("is_guest", [True, False])
async def test_a_session_that_was_just_paid_is_booked_instead_of_a_charge(
    paydue: Paydue, client: stripe.StripeClient, is_guest: bool
) -> None:
    invoice = await paydue.an_invoice()
    named = {"client_reference_id": str(invoice)}
    whose = {} if is_guest else {"customer": await customer_of(paydue, invoice)}
    session = await a_session(client, **named, **whose)
    paydue.sandbox.complete_checkout(session)

    await paydue.autopay()

    assert taken(paydue) == DUE
    assert (await paydue.invoice(invoice)).amountdue == 0


@pytest.mark.parametrize("named", [True, False])
async def test_an_intent_that_was_just_paid_elsewhere_is_found_before_a_charge(
    paydue: Paydue, named: bool
) -> None:
    invoice = await paydue.an_invoice()
    metadata = {"invoice_id": str(invoice)} if named else {}
    paydue.sandbox.strangers.pay(
        DUE, customer=await customer_of(paydue, invoice), metadata=metadata
    )

    await paydue.autopay()

    assert taken(paydue) == DUE
    assert (await paydue.invoice(invoice)).amountdue == (0 if named else 120)


async def test_one_payment_of_two_invoices_at_once_holds_both_until_a_person_has_assigned_it(
    paydue: Paydue,
) -> None:
    client_id = await paydue.a_client()
    one = await paydue.an_invoice("100.00", client=client_id)
    two = await paydue.an_invoice("50.00", client=client_id)
    free = await paydue.an_invoice("70.00", client=client_id)
    paydue.sandbox.strangers.pay(15_000, customer=await customer_of(paydue, one))

    report = await paydue.autopay()

    assert [each["invoice_id"] for each in report["charged"]] == [free]
    assert {each["invoice_id"] for each in report["skipped"]} == {one, two}
    access = await paydue.access()
    (credit,) = [each for each in await paydue.payments() if each.invoice_id is None]
    for invoice in (one, two):
        body = [{"id": credit.id, "invoice_id": invoice}]
        async with paydue.http.post("/api/InvoicePayment", json=body, headers=access) as answer:
            assert answer.status == 200, await answer.text()
        left = [each for each in await paydue.payments() if each.invoice_id is None]
        credit = left[0] if left else credit
    assert [(await paydue.invoice(each)).amountdue for each in (one, two)] == [0, 0]


async def test_a_payment_that_a_person_says_is_for_none_holds_nothing(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.strangers.pay(DUE, customer=await customer_of(paydue, invoice))
    assert "assign it" in await held(paydue)
    (payment,) = [one for one in await paydue.payments() if one.counted]
    access = await paydue.access()

    body = [{"id": payment.id, "invoice_id": None}]
    async with paydue.http.post("/api/InvoicePayment", json=body, headers=access) as answer:
        assert answer.status == 200, await answer.text()

    assert len((await paydue.autopay())["charged"]) == 1


async def test_a_processing_payment_without_a_name_holds_the_invoice_it_fits(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    waiting = await paydue.own_intent(invoice, "processing", metadata={})
    await paydue.deliver(event("payment_intent.processing", waiting))

    assert "may be for this one" in await held(paydue)


# --- not ours: neither pays nor blocks -----------------------------------------------------------


async def test_another_installations_intents_are_none_of_our_business(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    customer = await customer_of(paydue, invoice)
    theirs = {"invoice_id": str(invoice), "paydue_installation": "another", "attempt": "1"}
    page = paydue.sandbox.strangers.open_intent(DUE, customer=customer, metadata=theirs)
    paid = paydue.sandbox.strangers.pay(DUE, customer=customer, metadata=theirs)

    await paydue.reconcile()
    assert len((await paydue.autopay())["charged"]) == 1
    await paydue.reconcile()

    assert await status_of(client, page["id"]) == "requires_payment_method"
    assert paid["id"] not in {one.intent_id for one in await paydue.payments()}


async def test_a_stranger_who_names_the_invoice_on_a_public_link_neither_pays_nor_blocks(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    price = {"price_data": {"currency": "usd", "unit_amount": 50}, "quantity": 1}
    link = await client.v1.payment_links.create_async({"line_items": [price]})
    paid = paydue.sandbox.strangers.pay_link(link.id, str(invoice))
    paydue.sandbox.refund(paid["payment_intent"])
    await paydue.reconcile()

    assert (await paydue.invoice(invoice)).amountpaid == 0
    assert len((await paydue.autopay())["charged"]) == 1


async def a_session(client: stripe.StripeClient, **more: Any) -> str:
    price = {
        "currency": "usd",
        "unit_amount": DUE,
        "product_data": {"name": "Invoice"},
    }
    made = await client.v1.checkout.sessions.create_async(
        {
            "mode": "payment",
            "success_url": "https://example.com/paid",
            "line_items": [{"quantity": 1, "price_data": price}],
            **more,
        }
    )
    return str(made.id)


# --- by hand -------------------------------------------------------------------------------------


async def test_what_a_person_says_of_an_intent_is_asked_of_stripe(paydue: Paydue) -> None:
    """M15: the wrong amount, a failed intent, an intent that does not exist."""
    invoice = await paydue.an_invoice()
    paid = paydue.sandbox.strangers.pay(5_000)
    failed = paydue.sandbox.strangers.open_intent(DUE)
    access = await paydue.access()

    async def said(intent_id: str, amount: int) -> tuple[int, dict[str, Any]]:
        body = [{"invoice_id": invoice, "amount": amount, "intent_id": intent_id}]
        async with paydue.http.post("/api/InvoicePayment", json=body, headers=access) as answer:
            return answer.status, await answer.json()

    too_much = await said(paid["id"], 120)
    unknown = await said("pi_nobody_knows", 120)
    unpaid = await said(failed["id"], 120)
    right = await said(paid["id"], 50)

    assert (too_much[0], too_much[1]["Message"][:6]) == (400, "amount")
    assert (unknown[0], unknown[1]["Message"][:9]) == (400, "intent_id")
    assert (unpaid[0], unpaid[1]["status"]) == (200, 0)
    assert (right[0], right[1]["status"]) == (200, 5)
    assert (await paydue.invoice(invoice)).amountpaid == 50


async def test_a_claim_by_hand_that_stripe_has_not_confirmed_holds_the_invoice(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=50)
    access = await paydue.access()
    paid = intent(None, id="pi_elsewhere")
    body = [{"invoice_id": invoice, "amount": 120, "intent_id": paid["id"]}]
    async with paydue.http.post("/api/InvoicePayment", json=body, headers=access) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, 0)

    assert "somebody said" in await held(paydue)
    await paydue.deliver(event("payment_intent.succeeded", paid))

    assert (await paydue.invoice(invoice)).amountdue == 0
