"""Ways to pay that a run has to find before it charges: by guests, of old, for several invoices.

Somebody else finishes paying after the run; whatever happens, nobody pays more than they owe.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from app.sandbox.account.stripe_errors import StripeRefusal
from app.sandbox.stripe_api import captures
from tests.harness import CLIENTS, KEY, Paydue, event
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio

DUE = 12_000
DAY = 86_400


@pytest.fixture
async def client(stripe_url: str) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.AIOHTTPClient(timeout=wait_limit(2))
    yield stripe.StripeClient(KEY, base_addresses={"api": stripe_url}, http_client=http)
    await http.close_async()


# --- intents ------------------------------------------------------------------------------------


@pytest.mark.parametrize("finished", ["not yet", "held"])
async def test_a_page_of_a_guest_that_names_the_invoice_is_not_paid_beside_a_charge(
    paydue: Paydue, finished: str
) -> None:
    invoice = await paydue.an_invoice()
    how = {"capture_method": "manual"} if finished == "held" else {}
    page = strangers_intent(paydue, DUE, metadata={"invoice_id": str(invoice)}, **how)
    if finished == "held":
        paydue.sandbox.strangers.finish_intent(page["id"])

    await paydue.autopay()
    finish(paydue, page["id"])

    assert taken(paydue) == DUE


@pytest.mark.parametrize("events", ["known", "never came"])
async def test_a_page_made_long_ago_that_names_the_invoice_is_not_paid_beside_a_charge(
    paydue: Paydue, events: str
) -> None:
    made = datetime.now(UTC) - timedelta(days=45)
    invoice = await paydue.an_invoice(date_created=made)
    paydue.sandbox.clock.advance(-40 * DAY)
    page = strangers_intent(
        paydue, customer=await customer_of(paydue, invoice), metadata={"invoice_id": str(invoice)}
    )
    paydue.sandbox.clock.advance(40 * DAY)
    paydue.sandbox.forget_events()
    if events == "known":
        await paydue.deliver(event("payment_intent.created", page))

    await paydue.autopay()
    finish(paydue, page["id"])

    assert taken(paydue) == DUE


async def test_a_page_of_the_customer_whom_the_client_had_before_is_not_paid_beside_a_charge(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    named = {"invoice_id": str(invoice), "paydue_installation": paydue.node.installation}
    page = strangers_intent(paydue, customer=await customer_of(paydue, invoice), metadata=named)
    await another_customer(paydue, invoice)

    await paydue.autopay()
    finish(paydue, page["id"])

    assert taken(paydue) == DUE


@pytest.mark.parametrize("how", ["automatic", "manual"])
async def test_one_page_for_two_invoices_is_waited_for_until_it_has_ended(
    paydue: Paydue, how: str
) -> None:
    """The page may be unfinished, or hold the money on a card until it is captured."""
    one = await paydue.an_invoice("100.00")
    two = await paydue.an_invoice("50.00", client=(await paydue.invoice(one)).client_id)
    page = strangers_intent(
        paydue, 15_000, customer=await customer_of(paydue, one), capture_method=how
    )
    if how == "manual":
        paydue.sandbox.strangers.finish_intent(page["id"])

    await paydue.autopay()
    finish(paydue, page["id"])

    assert taken(paydue) == 15_000
    assert [(await paydue.invoice(each)).amountpaid for each in (one, two)] == [0, 0]


@pytest.mark.parametrize("how", ["automatic", "manual"])
async def test_a_page_that_names_an_invoice_of_another_numbering_is_waited_for(
    paydue: Paydue, how: str
) -> None:
    """HaloPSA's own portal writes its own ids into the same key of metadata."""
    invoice = await paydue.an_invoice()
    page = strangers_intent(
        paydue,
        customer=await customer_of(paydue, invoice),
        metadata={"invoice_id": "90210"},
        capture_method=how,
    )
    if how == "manual":
        paydue.sandbox.strangers.finish_intent(page["id"])

    await paydue.autopay()
    finish(paydue, page["id"])

    assert taken(paydue) == DUE


async def test_a_page_for_another_invoice_of_the_client_holds_nothing(paydue: Paydue) -> None:
    first = await paydue.an_invoice(take_auto_payment=False)
    second = await paydue.an_invoice(client=(await paydue.invoice(first)).client_id)
    page = strangers_intent(
        paydue, customer=await customer_of(paydue, first), metadata={"invoice_id": str(first)}
    )

    report = await paydue.autopay()
    finish(paydue, page["id"])
    await paydue.reconcile()

    assert [one["invoice_id"] for one in report["charged"]] == [second]
    assert taken(paydue) == 2 * DUE
    assert [(await paydue.invoice(one)).amountdue for one in (first, second)] == [0, 0]


@pytest.mark.parametrize(
    ("currency", "total", "minor"), [("jpy", "500", 500), ("kwd", "9.990", 9990)]
)
async def test_a_page_in_a_currency_of_other_decimals_is_waited_for(
    paydue: Paydue, currency: str, total: str, minor: int
) -> None:
    invoice = await paydue.an_invoice(total, currency_iso=currency)
    page = strangers_intent(
        paydue, minor, currency=currency, customer=await customer_of(paydue, invoice)
    )

    await paydue.autopay()
    finish(paydue, page["id"])
    await paydue.autopay()

    assert taken(paydue) == minor


# --- sessions -----------------------------------------------------------------------------------


async def test_a_session_of_the_customer_that_names_nothing_is_not_paid_beside_a_charge(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    session = await a_session(client, customer=await customer_of(paydue, invoice))

    await paydue.autopay()
    complete(paydue, session)

    assert taken(paydue) == DUE


async def test_a_session_that_names_nothing_and_awaits_a_bank_transfer_is_waited_for(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    session = await a_session(client, customer=await customer_of(paydue, invoice))
    paydue.sandbox.complete_checkout(session, "customer_balance", delays_intent=True)

    await paydue.autopay()
    paydue.sandbox.bank.pay_session(session)

    assert taken(paydue) == DUE


async def test_our_session_of_the_customer_whom_the_client_had_before_is_expired(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    named = {"invoice_id": str(invoice), "paydue_installation": paydue.node.installation}
    session = await a_session(client, customer=await customer_of(paydue, invoice), metadata=named)
    await another_customer(paydue, invoice)

    await paydue.autopay()
    complete(paydue, session)

    assert taken(paydue) == DUE


@pytest.mark.parametrize("days", [0, 3])
async def test_microdeposits_of_a_guest_are_waited_for_however_long_they_take(
    paydue: Paydue, client: stripe.StripeClient, days: int
) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.clock.advance(-days * DAY)
    session = await a_session(client, client_reference_id=str(invoice))
    done = paydue.sandbox.complete_checkout(
        session, payment_method="pm_usBankAccount_success", is_verified=False
    )
    paydue.sandbox.clock.advance(days * DAY)

    await paydue.autopay()
    with contextlib.suppress(stripe.StripeError):
        await client.v1.payment_intents.verify_microdeposits_async(
            done["payment_intent"], {"amounts": [32, 45]}
        )
    paydue.sandbox.clock.advance(100)
    await paydue.autopay()

    assert taken(paydue) == DUE


async def test_a_bank_transfer_that_came_in_part_is_waited_for(
    paydue: Paydue, client: stripe.StripeClient
) -> None:
    invoice = await paydue.an_invoice()
    customer = await customer_of(paydue, invoice)
    session = await a_session(client, customer=customer, client_reference_id=str(invoice))
    paydue.sandbox.complete_checkout(session, "customer_balance")

    await paydue.autopay()
    paydue.sandbox.bank.transfer(customer, DUE - 1)
    await paydue.autopay()
    paydue.sandbox.bank.transfer(customer, 1)
    await paydue.autopay()

    assert taken(paydue) == DUE
    assert (await paydue.invoice(invoice)).amountdue == 0


# --- whose money --------------------------------------------------------------------------------


async def test_money_of_a_customer_whom_two_clients_share_holds_the_invoices_of_both(
    paydue: Paydue,
) -> None:
    first = await paydue.an_invoice()
    customer = await customer_of(paydue, first)
    both = {
        "stripe_customer_id": customer,
        "stripe_payment_method_id": customer.replace("cus", "pm"),
    }
    second = await paydue.an_invoice("70.00", client=await paydue.a_client(**both))
    for amount in (DUE, 7_000):
        paydue.sandbox.strangers.pay(amount, customer=customer)

    report = await paydue.autopay()

    assert {one["invoice_id"] for one in report["skipped"]} == {first, second}
    assert taken(paydue) == DUE + 7_000


# --- given --------------------------------------------------------------------------------------


def strangers_intent(paydue: Paydue, amount: int = DUE, **more: Any) -> dict[str, Any]:
    return dict(paydue.sandbox.strangers.open_intent(amount, **more))


def finish(paydue: Paydue, intent_id: str) -> None:
    """The payer goes on, or the hold is captured, if Stripe still lets them."""
    state = paydue.sandbox.state
    is_held = state.find("payment_intents", intent_id)["status"] == "requires_capture"
    with contextlib.suppress(StripeRefusal):
        if is_held:
            captures.capture(state, {}, intent_id)
        else:
            paydue.sandbox.strangers.finish_intent(intent_id)


def complete(paydue: Paydue, session: str) -> None:
    """The customer pays the page, if Stripe still lets them."""
    with contextlib.suppress(StripeRefusal, ValueError):
        paydue.sandbox.complete_checkout(session)


def taken(paydue: Paydue) -> int:
    return sum(one.amount for one in paydue.sandbox.ledger.charges())


async def customer_of(paydue: Paydue, invoice: int) -> str:
    where = CLIENTS.c.id == (await paydue.invoice(invoice)).client_id
    (row,) = await paydue.rows(CLIENTS, where)
    return str(row.stripe_customer_id)


async def another_customer(paydue: Paydue, invoice: int) -> None:
    """The client's Stripe customer is replaced, as where duplicates are merged."""
    paydue.sandbox.add_customer("cus_other", payment_method="pm_other")
    values = {"stripe_customer_id": "cus_other", "stripe_payment_method_id": "pm_other"}
    body = [{"id": (await paydue.invoice(invoice)).client_id, **values}]
    headers = await paydue.access()
    async with paydue.http.post("/api/Client", json=body, headers=headers) as answer:
        assert answer.status in (200, 201), await answer.text()


async def a_session(client: stripe.StripeClient, **more: Any) -> str:
    price = {"currency": "usd", "unit_amount": DUE, "product_data": {"name": "Invoice"}}
    made = await client.v1.checkout.sessions.create_async(
        {
            "mode": "payment",
            "success_url": "https://example.com/paid",
            "line_items": [{"quantity": 1, "price_data": price}],
            **more,
        }
    )
    return str(made.id)
