"""A verdict holds for what it is about, and for nothing else; the right card is charged."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert
from structlog.testing import capture_logs

from app.payments.status import status
from app.sandbox.server import Sandbox
from app.sandbox.stripe_api import customers_api, payment_methods_api
from tests.harness import ATTEMPTS, CLIENTS, Paydue, event, settings_for, today

pytestmark = pytest.mark.anyio

TOMORROW = today() + timedelta(days=1)


# --- a change reopens ------------------------------------------------------------------------


async def _another_amount(paydue: Paydue, invoice: int) -> None:
    await posted(paydue, "InvoicePayment", {"invoice_id": invoice, "amount": 20})


async def _a_renewed_card(paydue: Paydue, invoice: int) -> None:
    paydue.sandbox.renew_card(await method_of(paydue, invoice), exp_year=2044)


async def _a_new_number_of_the_card(paydue: Paydue, invoice: int) -> None:
    paydue.sandbox.renew_card(await method_of(paydue, invoice), fingerprint="other", last4="1881")


async def _a_corrected_address(paydue: Paydue, invoice: int) -> None:
    address = {"line1": "1 New Street", "postal_code": "94107", "country": "US"}
    change = {"billing_details": {"address": address}}
    payment_methods_api.update(paydue.sandbox.state, change, await method_of(paydue, invoice))


async def _a_method_set_by_hand(paydue: Paydue, invoice: int) -> None:
    client = await client_of(paydue, invoice)
    paydue.sandbox.add_payment_method(
        "pm_by_hand", customer=client.stripe_customer_id, behaviour=["succeed"]
    )
    await posted(paydue, "Client", {"id": client.id, "stripe_payment_method_id": "pm_by_hand"})


async def _another_customer(paydue: Paydue, invoice: int) -> None:
    client = await client_of(paydue, invoice)
    paydue.sandbox.add_customer("cus_other", payment_method="pm_other")
    values = {"stripe_customer_id": "cus_other", "stripe_payment_method_id": "pm_other"}
    await posted(paydue, "Client", {"id": client.id, **values})


@pytest.mark.parametrize("behaviour", ["fraudulent", "insufficient_funds"])
@pytest.mark.parametrize(
    "change",
    [
        _another_amount,
        _a_renewed_card,
        _a_new_number_of_the_card,
        _a_corrected_address,
        _a_method_set_by_hand,
        _another_customer,
    ],
)
async def test_a_change_of_what_a_verdict_is_about_reopens_the_invoice(
    paydue: Paydue, behaviour: str, change: Callable[[Paydue, int], Awaitable[None]]
) -> None:
    client = await paydue.a_client([behaviour, "succeed"])
    invoice = await paydue.an_invoice("50.00", client=client)
    assert len((await paydue.autopay(today()))["declined"]) == 1
    assert len((await paydue.autopay(today()))["skipped"]) == 1

    await change(paydue, invoice)
    foreseen = await paydue.foresee(today())
    report = await paydue.autopay(today())

    assert [one["invoice_id"] for one in foreseen["charged"]] == [invoice]
    assert [one["invoice_id"] for one in report["charged"]] == [invoice]
    assert (await paydue.invoice(invoice)).amountdue == 0


async def test_another_amount_reopens_no_card_that_the_network_forbids(paydue: Paydue) -> None:
    client = await paydue.a_client(["stolen_card", "succeed"])
    invoice = await paydue.an_invoice("50.00", client=client)
    await paydue.autopay(today())

    await _another_amount(paydue, invoice)
    (skipped,) = (await paydue.autopay(TOMORROW))["skipped"]
    await _a_renewed_card(paydue, invoice)
    (charged,) = (await paydue.autopay(TOMORROW))["charged"]

    assert skipped["reason"].startswith("the card network forbids another try of this card")
    assert charged["amount"] == "30.00"


async def test_a_change_of_anything_else_leaves_the_verdict_as_it_is(paydue: Paydue) -> None:
    client = await paydue.a_client(["stolen_card", "succeed"])
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay(today())

    named = {"id": client, "email": "new@example.com", "stripe_payment_method_name": "visa 1"}
    await posted(paydue, "Client", named)
    payment_methods_api.update(
        paydue.sandbox.state, {"metadata": {"seen": "yes"}}, await method_of(paydue, invoice)
    )
    (skipped,) = (await paydue.autopay(TOMORROW))["skipped"]

    assert skipped["reason"].startswith("attempt 1 was declined for good: stolen_card")
    assert paydue.sandbox.ledger.charges() == []


async def test_a_verdict_keeps_all_that_it_is_about_and_who_said_it(paydue: Paydue) -> None:
    banks = await paydue.an_invoice("50.00", client=await paydue.a_client("stolen_card"))
    stripes = await paydue.an_invoice(client=await paydue.a_client("highest_risk_level"))
    ours = await paydue.an_invoice("0.30")

    await paydue.autopay()

    rows = [(await paydue.attempts(one))[0] for one in (banks, stripes, ours)]
    assert [row.decline_source for row in rows] == ["network", "stripe", "request"]
    assert (rows[0].amount_minor, rows[0].currency) == (5000, "usd")
    assert rows[0].payment_method_id == await method_of(paydue, banks)
    assert len(rows[0].payment_method_version) == 16
    assert [row.state for row in rows] == ["declined", "declined", "refused"]


async def test_tries_of_a_renewed_card_are_counted_anew(paydue: Paydue) -> None:
    client = await paydue.a_client("insufficient_funds")
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay(today())
    await paydue.autopay(TOMORROW)

    await _a_renewed_card(paydue, invoice)
    (declined,) = (await paydue.autopay(TOMORROW))["declined"]

    assert declined["next_try"] == (TOMORROW + timedelta(days=1)).isoformat()


# --- the right card --------------------------------------------------------------------------


async def test_a_new_default_at_stripe_is_tried_although_the_old_one_was_stolen(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client("stolen_card", stripe_payment_method_id=None)
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay(today())
    assert len((await paydue.autopay(today()))["skipped"]) == 1

    await new_default(paydue, client, "pm_new")
    (charged,) = (await paydue.autopay(today()))["charged"]

    assert charged["invoice_id"] == invoice
    assert charged_methods(paydue) == ["pm_new"]


async def test_the_default_at_stripe_is_charged_and_not_the_method_saved_before(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client(stripe_payment_method_id=None)
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    paydue.sandbox.add_payment_method(
        "pm_a", customer=row.stripe_customer_id, behaviour=["succeed"]
    )
    await paydue.deliver(saved(row.stripe_customer_id, "pm_a"))
    await new_default(paydue, client, "pm_b")
    await paydue.an_invoice(client=client)

    await paydue.autopay()

    assert charged_methods(paydue) == ["pm_b"]
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    assert (row.stripe_payment_method_id, row.stripe_saved_method_id) == (None, "pm_a")


async def test_a_saved_method_is_charged_where_stripe_has_no_default(paydue: Paydue) -> None:
    client = await paydue.a_client(stripe_payment_method_id=None)
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    customer = row.stripe_customer_id
    nothing = {"invoice_settings": {"default_payment_method": ""}}
    customers_api.update(paydue.sandbox.state, nothing, customer)
    await paydue.deliver(saved(customer, customer.replace("cus", "pm")))
    await paydue.an_invoice(client=client)

    await paydue.autopay()

    assert charged_methods(paydue) == [customer.replace("cus", "pm")]


async def test_the_clients_own_method_set_by_hand_is_charged_whatever_stripes_default_is(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client()
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    await new_default(paydue, client, "pm_default")
    await paydue.deliver(saved(row.stripe_customer_id, "pm_default"))
    await paydue.an_invoice(client=client)

    await paydue.autopay()

    assert charged_methods(paydue) == [row.stripe_payment_method_id]


# --- refusals that no bank gave --------------------------------------------------------------


async def test_the_key_of_another_account_holds_the_invoices_and_writes_off_none(
    paydue: Paydue, database_url: str, stripe_url: str
) -> None:
    pinned = [await paydue.an_invoice() for _ in range(2)]
    default = await paydue.an_invoice(client=await paydue.a_client(stripe_payment_method_id=None))

    async with AsyncExitStack() as stack:
        elsewhere = await stack.enter_async_context(Sandbox(seed=1).running())
        settings = settings_for(database_url, elsewhere)
        wrong = await stack.enter_async_context(Paydue.running(settings, paydue.sandbox))
        with capture_logs() as logs:
            held = await wrong.autopay(today())
        held_again = await wrong.autopay(TOMORROW)
        async with paydue.database.snapshot() as tx:
            shown = await status(tx, now=datetime.now(UTC), timezone="UTC")
    report = await paydue.autopay(today())

    for one in (held, held_again):
        assert {entry["invoice_id"] for entry in one["held"]} == {*pinned, default}
    alarms = [one for one in logs if one["log_level"] == "error"]
    assert [one["code"] for one in alarms] == ["resource_missing"]
    assert shown["invoices_held"] == len(pinned)
    assert {one["invoice_id"] for one in report["charged"]} == {*pinned, default}
    for invoice in pinned:
        rows = await paydue.attempts(invoice)
        assert [row.state for row in rows] == ["refused", "succeeded"]


async def test_an_amount_too_small_is_held_until_the_invoice_is_corrected(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("0.30")
    (held,) = (await paydue.autopay(today()))["held"]
    (held_again,) = (await paydue.autopay(TOMORROW))["held"]
    assert [row.number for row in await paydue.attempts(invoice)] == [1]

    line = {"item_shortdescription": "Work", "qty_order": 1, "unit_price": 50}
    await posted(paydue, "Invoice", {"id": invoice, "lines": [line]})
    (charged,) = (await paydue.autopay(TOMORROW))["charged"]

    assert held["reason"].startswith("amount_too_small: ")
    assert held_again["reason"].startswith("attempt 1 was refused: amount_too_small: ")
    assert (charged["invoice_id"], charged["amount"]) == (invoice, "50.00")


async def test_a_refusal_counts_as_no_try_and_towards_no_limit_of_the_networks(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client(stripe_payment_method_id="pm_late")
    invoice = await paydue.an_invoice(client=client)
    customer = (await client_of(paydue, invoice)).stripe_customer_id
    await with_earlier_attempts(paydue, 20, "pm_late", state="refused", decline_source="request")
    await with_earlier_attempts(paydue, 20, "pm_late", state="declined", decline_source="stripe")
    assert len((await paydue.autopay(today()))["held"]) == 1

    paydue.sandbox.add_payment_method(
        "pm_late", customer=customer, behaviour=["insufficient_funds"]
    )
    (declined,) = (await paydue.autopay(today()))["declined"]

    assert declined["next_try"] == TOMORROW.isoformat()
    assert [row.state for row in await paydue.attempts(invoice)] == ["refused", "declined"]
    async with paydue.database.snapshot() as tx:
        shown = await status(tx, now=datetime.now(UTC), timezone="UTC")
    assert shown["invoices_held"] == 0


async def test_declines_by_banks_do_count_towards_the_networks_limits(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    method = await method_of(paydue, invoice)
    await with_earlier_attempts(paydue, 15, method, state="declined", decline_source="network")

    (skipped,) = (await paydue.autopay(today()))["skipped"]

    assert skipped["reason"] == "15 declines on this payment method in 24 hours"


async def test_a_detached_method_is_held_and_not_tried_day_by_day(paydue: Paydue) -> None:
    client = await paydue.a_client(["insufficient_funds", "succeed"])
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay(today())

    payment_methods_api.detach(paydue.sandbox.state, {}, await method_of(paydue, invoice))
    paydue.sandbox.forget_events()
    (held,) = (await paydue.autopay(TOMORROW))["held"]

    assert "is not attached to" in held["reason"]
    assert [row.number for row in await paydue.attempts(invoice)] == [1]


# --- given -----------------------------------------------------------------------------------


async def posted(paydue: Paydue, path: str, record: dict[str, Any]) -> None:
    headers = await paydue.access()
    async with paydue.http.post(f"/api/{path}", json=[record], headers=headers) as answer:
        assert answer.status in (200, 201), await answer.text()


async def client_of(paydue: Paydue, invoice: int) -> Any:
    row = await paydue.invoice(invoice)
    return (await paydue.rows(CLIENTS, CLIENTS.c.id == row.client_id))[0]


async def method_of(paydue: Paydue, invoice: int) -> str:
    client = await client_of(paydue, invoice)
    return str(client.stripe_customer_id).replace("cus", "pm")


async def new_default(paydue: Paydue, client: int, method: str) -> None:
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    customer = row.stripe_customer_id
    paydue.sandbox.add_payment_method(method, customer=customer, behaviour=["succeed"])
    default = {"invoice_settings": {"default_payment_method": method}}
    customers_api.update(paydue.sandbox.state, default, customer)


def saved(customer: str, method: str) -> dict[str, Any]:
    setup = {
        "id": f"seti_{method}",
        "object": "setup_intent",
        "customer": customer,
        "payment_method": method,
        "usage": "off_session",
    }
    return event("setup_intent.succeeded", setup)


def charged_methods(paydue: Paydue) -> list[str]:
    charges = paydue.sandbox.state["charges"].rows()
    return [str(one["payment_method"]) for one in charges if one["status"] == "succeeded"]


async def with_earlier_attempts(paydue: Paydue, count: int, method: str, **columns: Any) -> None:
    """Ended attempts of another, settled invoice on the same payment method."""
    invoice = await paydue.an_invoice(amountdue=Decimal(0), take_auto_payment=False)
    row = {
        "invoice_id": invoice,
        "step": "ended",
        "business_day": today(),
        "amount_minor": 12000,
        "currency": "usd",
        "customer_id": "cus_before",
        "payment_method_id": method,
        "created_at": datetime.now(UTC),
        "finished_at": datetime.now(UTC),
        **columns,
    }
    async with paydue.database.transaction() as tx:
        await tx.execute(
            insert(ATTEMPTS), [{**row, "number": number} for number in range(1, count + 1)]
        )
