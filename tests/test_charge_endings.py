"""How a charge ends when Stripe refuses what was asked, or when somebody was there before us."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from sqlalchemy import update

from app.payments.autopay.leases import LeaseHolder, acquire_customer_lease, release_customer_lease
from app.payments.stripe.gateway import NotAuthorized
from app.sandbox.server import Sandbox
from tests.gate import Gate, Held
from tests.harness import CLIENTS, KEY, Paydue, event, settings_for, today

pytestmark = pytest.mark.anyio

CREATE = "POST /v1/payment_intents"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
RETRIEVE = "GET /v1/payment_intents/{id}"
TOMORROW = today() + timedelta(days=1)
OTHERS = LeaseHolder("another node")


@pytest.fixture
async def paydue(database_url: str, sandbox: Sandbox, gate: Gate) -> AsyncIterator[Paydue]:
    """A Paydue that reaches Stripe through the gate."""
    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, sandbox) as house:
        yield house


# --- Stripe refuses the request --------------------------------------------------------------


async def test_a_payment_method_that_stripe_does_not_know_holds_the_invoice(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client(stripe_payment_method_id="pm_nobodys")
    invoice = await paydue.an_invoice(client=client)

    (held,) = (await paydue.autopay(today()))["held"]
    (held_again,) = (await paydue.autopay(TOMORROW))["held"]

    assert held["reason"].startswith("resource_missing: No such PaymentMethod: 'pm_nobodys'")
    assert held["next_try"] is None
    assert held_again["reason"].startswith("the payment method is not known at Stripe: No such")
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.code) == ("refused", "resource_missing")
    assert attempt.intent_id == held["intent_id"]


async def test_a_payment_method_put_right_is_charged_on_the_refused_intent(paydue: Paydue) -> None:
    client = await paydue.a_client(stripe_payment_method_id="pm_nobodys")
    invoice = await paydue.an_invoice(client=client)
    (held,) = (await paydue.autopay(today()))["held"]
    customer = (await paydue.attempts(invoice))[0].customer_id

    await change_client(paydue, client, stripe_payment_method_id=customer.replace("cus", "pm"))
    (charged,) = (await paydue.autopay(TOMORROW))["charged"]

    assert charged["intent_id"] == held["intent_id"]
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}


async def test_a_customer_that_stripe_does_not_know_ends_the_attempt_without_an_intent(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client(stripe_customer_id="cus_nobodys")
    invoice = await paydue.an_invoice(client=client)

    (held,) = (await paydue.autopay())["held"]

    assert held["reason"].startswith("resource_missing: No such customer: 'cus_nobodys'")
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.intent_id) == ("refused", None)
    assert paydue.sandbox.state["payment_intents"].rows() == []


async def test_an_amount_below_stripes_least_is_refused_at_the_create(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("0.10")

    (held,) = (await paydue.autopay())["held"]

    assert held["reason"].startswith("amount_too_small: ")
    assert held["next_try"] is None
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.code, attempt.intent_id) == (
        "refused",
        "amount_too_small",
        None,
    )


async def test_an_intent_paid_before_our_confirm_is_booked_and_not_declined(
    paydue: Paydue, gate: Gate, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice()
    confirms = gate.hold("POST", "/confirm")

    async with running(paydue, confirms) as run:
        paid = intent_of(confirms.paths[0])
        await paid_by_somebody_else(paydue, stripe_url, invoice, paid)
    (charged,) = run["charged"]

    assert charged["intent_id"] == paid
    assert (await paydue.invoice(invoice)).amountpaid == 120
    assert [row.state for row in await paydue.attempts(invoice)] == ["succeeded"]
    assert len(paydue.sandbox.ledger.charges()) == 1


# --- canceled at Stripe ----------------------------------------------------------------------


async def test_an_intent_canceled_before_our_confirm_ends_the_attempt_and_a_new_one_charges(
    paydue: Paydue, gate: Gate, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice()
    confirms = gate.hold("POST", "/confirm")

    async with running(paydue, confirms) as run:
        canceled = intent_of(confirms.paths[0])
        await at_stripe(stripe_url, f"/v1/payment_intents/{canceled}/cancel")
    (skipped,) = run["skipped"]
    (charged,) = (await paydue.autopay())["charged"]

    assert skipped["reason"] == "the intent was canceled at Stripe"
    assert charged["intent_id"] != canceled
    first, second = await paydue.attempts(invoice)
    assert (first.state, first.reason) == ("canceled", "canceled at Stripe")
    assert (second.state, second.intent_id) == ("succeeded", charged["intent_id"])
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}


async def test_an_intent_canceled_while_its_confirm_was_unknown_ends_the_attempt(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice()
    unknown = await left_unknown(paydue, invoice)
    await at_stripe(stripe_url, f"/v1/payment_intents/{unknown}/cancel")
    paydue.sandbox.forget_events()

    report = await paydue.autopay()

    assert [one["reason"] for one in report["skipped"]] == ["the intent was canceled at Stripe"]
    assert [one["invoice_id"] for one in report["charged"]] == [invoice]
    assert [row.state for row in await paydue.attempts(invoice)] == ["canceled", "succeeded"]
    assert paydue.sandbox.ledger.double_charges() == {}


# --- the intent of an earlier try ------------------------------------------------------------


async def test_a_replaced_intent_that_was_paid_after_all_counts_instead_of_a_new_charge(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice, declined = await a_decline_whose_amount_changed(paydue)
    await paid_by_somebody_else(paydue, stripe_url, invoice, declined)
    paydue.sandbox.forget_events()

    report = await paydue.autopay(TOMORROW)

    assert report["charged"] == []
    assert report["skipped"][0]["reason"] == f"{declined} has been paid"
    assert [one.payment_intent for one in paydue.sandbox.ledger.charges()] == [declined]
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue) == (120, 0)
    credit = [one.counted for one in await paydue.payments() if one.invoice_id is None]
    assert credit == [50]
    assert [one.state for one in await paydue.attempts(invoice)] == ["declined", "canceled"]


async def test_a_replaced_intent_that_somebody_has_canceled_is_in_nobodys_way(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice, declined = await a_decline_whose_amount_changed(paydue)
    await at_stripe(stripe_url, f"/v1/payment_intents/{declined}/cancel")

    (charged,) = (await paydue.autopay(TOMORROW))["charged"]

    assert (charged["amount"], charged["intent_id"] != declined) == ("70.00", True)
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 7000}


async def test_a_declined_intent_that_our_books_have_as_canceled_is_not_tried_again(
    paydue: Paydue, stripe_url: str
) -> None:
    client = await paydue.a_client(["insufficient_funds", "succeed", "succeed"])
    invoice = await paydue.an_invoice(client=client)
    (declined,) = (await paydue.autopay(today()))["declined"]
    await at_stripe(stripe_url, f"/v1/payment_intents/{declined['intent_id']}/cancel")
    await paydue.deliver(*paydue.sandbox.events)

    (charged,) = (await paydue.autopay(TOMORROW))["charged"]

    assert charged["intent_id"] != declined["intent_id"]
    assert [one.state for one in await paydue.attempts(invoice)] == ["declined", "succeeded"]


async def a_decline_whose_amount_changed(paydue: Paydue) -> tuple[int, str]:
    """The next try needs a new intent, and the declined one must not be payable any more."""
    client = await paydue.a_client(["insufficient_funds", "succeed", "succeed"])
    invoice = await paydue.an_invoice("120.00", client=client)
    (declined,) = (await paydue.autopay(today()))["declined"]
    headers, body = await paydue.access(), [{"invoice_id": invoice, "amount": 50}]
    async with paydue.http.post("/api/InvoicePayment", json=body, headers=headers) as answer:
        assert answer.status == 200
    return invoice, declined["intent_id"]


# --- the last look ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["succeeded", "processing"])
async def test_a_payment_that_waits_to_be_booked_stops_the_charge_at_the_last_look(
    paydue: Paydue, status: str
) -> None:
    invoice = await paydue.an_invoice()
    unknown = await left_unknown(paydue, invoice)
    # In another currency than the invoice's: it names the invoice and cannot be booked to it.
    waiting = await paydue.own_intent(invoice, status, currency="eur")
    await paydue.deliver(event(f"payment_intent.{status}", waiting))

    report = await paydue.autopay()

    why = (
        f"the payment {waiting['id']} has no invoice and may be for this one: assign it, or say "
        "that it is for none"
    )
    assert {one["reason"] for one in report["skipped"]} == {why}
    assert paydue.sandbox.ledger.charges() == []
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.reason) == ("canceled", why)
    assert paydue.sandbox.state.find("payment_intents", unknown)["status"] == "canceled"


async def test_an_intent_that_was_paid_while_we_withdrew_it_is_booked(
    paydue: Paydue, gate: Gate, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice()
    unknown = await left_unknown(paydue, invoice)
    await change_client(paydue, (await paydue.invoice(invoice)).client_id, inactive=True)
    cancels = gate.hold("POST", "/cancel")

    async with running(paydue, cancels) as run:
        await paid_by_somebody_else(paydue, stripe_url, invoice, unknown)
    (charged,) = run["charged"]

    assert charged["intent_id"] == unknown
    (attempt,) = await paydue.attempts(invoice)
    assert attempt.state == "succeeded"
    assert (await paydue.invoice(invoice)).amountpaid == 120
    assert len(paydue.sandbox.ledger.charges()) == 1


# --- the customer's turn ---------------------------------------------------------------------


async def test_an_attempt_is_not_gone_on_with_while_the_customers_turn_is_anothers(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    await left_unknown(paydue, invoice)
    (before,) = await paydue.attempts(invoice)
    await take_turn(paydue, before.customer_id)
    paydue.sandbox.requests.clear()

    await paydue.autopay()

    assert {one.path for one in paydue.sandbox.requests} == {"/v1/events"}
    (after,) = await paydue.attempts(invoice)
    assert (after.state, after.reason, after.lease_until) == ("unknown", before.reason, None)
    assert after.check_at > datetime.now(UTC)

    await give_turn_back(paydue, before.customer_id)
    await paydue.autopay()

    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}
    assert [row.state for row in await paydue.attempts(invoice)] == ["succeeded"]


async def test_an_open_attempt_stays_open_while_the_customers_turn_is_anothers(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CREATE, kind="unauthorized", times=1)
    with pytest.raises(NotAuthorized):
        await paydue.autopay()
    (before,) = await paydue.attempts(invoice)
    await take_turn(paydue, before.customer_id)

    await paydue.autopay()

    (after,) = await paydue.attempts(invoice)
    assert (after.state, after.step, after.intent_id) == ("open", "claimed", None)
    assert paydue.sandbox.state["payment_intents"].rows() == []


# --- what the tests are made of --------------------------------------------------------------


async def left_unknown(paydue: Paydue, invoice: int) -> str:
    """A run whose confirm never came to Stripe, and that was told so by nobody."""
    paydue.sandbox.fault(CONFIRM, kind="drop", when="before", times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    (unknown,) = (await paydue.autopay(today()))["unknown"]
    paydue.sandbox.clear_faults()
    return str(unknown["intent_id"])


async def test_a_due_date_cleared_meanwhile_withdraws_the_attempt_and_stops_no_run(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CREATE, kind="unauthorized", times=1)
    with pytest.raises(NotAuthorized):
        await paydue.autopay()
    change = [{"id": invoice, "duedate": None}]
    async with paydue.http.post(
        "/api/Invoice", json=change, headers=await paydue.access()
    ) as answer:
        assert answer.status == 201
    other = await paydue.an_invoice()

    report = await paydue.autopay()

    assert [one["reason"] for one in report["skipped"]] == ["the invoice has no due date"]
    assert [one["invoice_id"] for one in report["charged"]] == [other]
    (attempt,) = await paydue.attempts(invoice)
    assert attempt.state == "canceled"


@asynccontextmanager
async def running(paydue: Paydue, held: Held) -> AsyncIterator[dict[str, Any]]:
    """What is done inside is done while a run's request waits; the run's report comes after."""
    report: dict[str, Any] = {}
    async with asyncio.TaskGroup() as group:
        run = group.create_task(paydue.autopay())
        await held.came()
        yield report
        held.let_go()
    report.update(run.result())


async def at_stripe(url: str, path: str, **form: str) -> dict[str, Any]:
    """Somebody else uses the account, in the Dashboard or through the API."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(url, headers=headers) as http,
        http.post(path, data=form) as answer,
    ):
        made = await answer.json()
        assert answer.status == 200, made
        return dict(made)


async def paid_by_somebody_else(paydue: Paydue, url: str, invoice: int, intent_id: str) -> None:
    customer = (await paydue.attempts(invoice))[0].customer_id
    method = customer.replace("cus", "pm")
    await at_stripe(url, f"/v1/payment_intents/{intent_id}/confirm", payment_method=method)


async def change_client(paydue: Paydue, client: int, **columns: Any) -> None:
    async with paydue.database.transaction() as tx:
        await tx.execute(update(CLIENTS).where(CLIENTS.c.id == client).values(**columns))


async def take_turn(paydue: Paydue, customer: str) -> None:
    async with paydue.database.transaction() as tx:
        assert await acquire_customer_lease(tx, customer, OTHERS, now=datetime.now(UTC))


async def give_turn_back(paydue: Paydue, customer: str) -> None:
    async with paydue.database.transaction() as tx:
        await release_customer_lease(tx, customer, OTHERS, now=datetime.now(UTC))


def intent_of(path: str) -> str:
    return path.split("/")[-2]
