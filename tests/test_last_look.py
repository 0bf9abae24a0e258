"""What is looked at once more before money moves, and what blocks another way to pay."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from sqlalchemy import update

from app.payments.stripe.gateway import NotAuthorized
from app.rules import calendar
from tests.gate import Gate
from tests.harness import (
    ATTEMPTS,
    CLIENTS,
    INVOICES,
    KEY,
    Paydue,
    event,
    intent,
    settings_for,
    today,
)

pytestmark = pytest.mark.anyio

CONFIRM = "POST /v1/payment_intents/{id}/confirm"
CREATE = "POST /v1/payment_intents"


async def _left_after_create(paydue: Paydue, invoice: int) -> None:
    """A run that got its create answered, and then nothing more."""
    paydue.sandbox.fault(CONFIRM, kind="drop", when="before", times=50)
    paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=50)
    report = await paydue.autopay()
    assert [one["invoice_id"] for one in report["unknown"]] == [invoice]
    paydue.sandbox.clear_faults()


async def _entered(paydue: Paydue, invoice: int, amount: int) -> tuple[int, str]:
    """The status and the message of a payment entered by hand."""
    headers, body = await paydue.access(), [{"invoice_id": invoice, "amount": amount}]
    async with paydue.http.post("/api/InvoicePayment", json=body, headers=headers) as answer:
        return answer.status, (await answer.json()).get("Message", "")


async def _voided(paydue: Paydue, invoice: int) -> tuple[int, str]:
    headers = await paydue.access()
    async with paydue.http.post(f"/api/Invoice/{invoice}/void", headers=headers) as answer:
        return answer.status, (await answer.json()).get("Message", "")


async def _an_open_attempt(paydue: Paydue) -> int:
    invoice = await paydue.an_invoice("120.00")
    paydue.sandbox.fault(CREATE, kind="unauthorized", times=1)
    with pytest.raises(NotAuthorized):
        await paydue.autopay()
    return invoice


async def _an_unknown_attempt(paydue: Paydue) -> int:
    invoice = await paydue.an_invoice("120.00")
    await _left_after_create(paydue, invoice)
    return invoice


async def _a_processing_attempt(paydue: Paydue) -> int:
    client = await paydue.a_client("bank_debit_succeeds")
    invoice = await paydue.an_invoice("120.00", client=client)
    await paydue.autopay()
    return invoice


@pytest.mark.parametrize(
    ("begun", "state"),
    [
        (_an_open_attempt, "open"),
        (_an_unknown_attempt, "unknown"),
        (_a_processing_attempt, "processing"),
    ],
)
async def test_an_invoice_takes_no_payment_by_hand_while_a_charge_of_it_has_not_ended(
    paydue: Paydue, begun: Callable[[Paydue], Awaitable[int]], state: str
) -> None:
    invoice = await begun(paydue)

    status, said = await _entered(paydue, invoice, 120)
    voided, why = await _voided(paydue, invoice)

    under_way = f"charge attempt 1 of it is {state}; wait for its end"
    assert (status, said) == (409, f"invoice {invoice} takes no payment by hand: {under_way}")
    assert (voided, why) == (409, f"invoice {invoice} cannot be voided: {under_way}")
    assert [one.intent_id for one in await paydue.payments(invoice) if one.counted] == []
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.voided) == (0, False)


async def test_a_charge_that_has_ended_leaves_an_invoice_to_be_paid_by_hand(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client("stolen_card")
    invoice = await paydue.an_invoice("120.00", client=client)
    await paydue.autopay()

    status, _ = await _entered(paydue, invoice, 120)

    assert status == 200
    assert [row.state for row in await paydue.attempts(invoice)] == ["declined"]
    assert (await paydue.invoice(invoice)).amountpaid == 120


async def test_an_invoice_paid_elsewhere_meanwhile_is_not_charged(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("120.00")
    await _left_after_create(paydue, invoice)

    await paydue.deliver(event("payment_intent.succeeded", intent(invoice, amount=12000)))
    report = await paydue.autopay()

    assert report["charged"] == []
    assert paydue.sandbox.ledger.charges() == []
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.reason) == ("canceled", "nothing is left to pay")


async def test_an_invoice_voided_meanwhile_is_not_charged(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    await _left_after_create(paydue, invoice)

    async with paydue.database.transaction() as tx:
        await tx.execute(update(INVOICES).where(INVOICES.c.id == invoice).values(voided=True))
    await paydue.autopay()

    assert paydue.sandbox.ledger.charges() == []
    assert [row.state for row in await paydue.attempts(invoice)] == ["canceled"]


async def test_a_part_paid_invoice_is_charged_the_rest_on_a_new_intent(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("120.00")
    await _left_after_create(paydue, invoice)

    await paydue.deliver(
        event("payment_intent.succeeded", await paydue.own_intent(invoice, amount=2000))
    )
    await paydue.autopay()
    await paydue.autopay()

    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 10000}
    assert (await paydue.invoice(invoice)).amountdue == 0
    assert [row.state for row in await paydue.attempts(invoice)] == ["canceled", "succeeded"]


async def test_an_open_checkout_session_is_expired_before_the_charge(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice()
    customer = await _customer_of(paydue, invoice)
    session = await _a_session(stripe_url, customer, invoice)

    report = await paydue.autopay()

    assert len(report["charged"]) == 1
    assert (await _stripe_get(stripe_url, f"/v1/checkout/sessions/{session}"))[
        "status"
    ] == "expired"


async def test_a_checkout_session_that_is_being_paid_stops_the_charge(
    paydue: Paydue, gate: Gate, stripe_url: str, database_url: str
) -> None:
    invoice = await paydue.an_invoice()
    customer = await _customer_of(paydue, invoice)
    session = await _a_session(stripe_url, customer, invoice)
    expiries = gate.hold("POST", "/expire")

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        run = group.create_task(node.autopay())
        await expiries.came()  # the session was listed as open
        paydue.sandbox.complete_checkout(session, payment_method="pm_card_visa")
        expiries.let_go()
    report = run.result()

    why = "a Checkout Session for it is being paid"
    assert report["charged"] == []
    assert [one["reason"] for one in report["skipped"]] == [why]
    (charge,) = paydue.sandbox.ledger.charges()
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.reason) == ("canceled", why)
    assert charge.payment_intent != attempt.intent_id


async def test_a_bank_debit_blocks_until_it_ends_and_then_counts(paydue: Paydue) -> None:
    client = await paydue.a_client("bank_debit_succeeds")
    invoice = await paydue.an_invoice(client=client)
    (pending,) = (await paydue.autopay())["pending"]
    assert (await paydue.invoice(invoice)).payments_pending == 1

    (skipped,) = (await paydue.autopay())["skipped"]
    assert skipped["reason"] == "a payment is processing"
    paydue.sandbox.clock.advance(7 * 86400)
    await paydue.sandbox.settle()
    await paydue.deliver(*[one for one in _events(paydue) if one["type"].startswith("payment_")])

    row = await paydue.invoice(invoice)
    assert (row.amountdue, row.payments_pending) == (0, 0)
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.intent_id) == ("succeeded", pending["intent_id"])


async def test_a_bank_debit_that_fails_for_want_of_money_is_presented_again(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client(["bank_debit_fails:insufficient_funds", "bank_debit_succeeds"])
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay(today())
    paydue.sandbox.clock.advance(7 * 86400)
    await paydue.sandbox.settle()
    await paydue.deliver(*[one for one in _events(paydue) if one["type"].startswith("payment_")])

    assert await paydue.recover() == 1
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.code) == ("declined", "insufficient_funds")
    assert attempt.next_try_on == today() + timedelta(days=5)
    assert len((await paydue.autopay(today() + timedelta(days=5)))["pending"]) == 1


async def test_a_refunded_invoice_is_left_to_a_person(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    await paydue.autopay()
    (charge,) = paydue.sandbox.ledger.charges()
    paydue.sandbox.refund(charge.payment_intent)
    await paydue.deliver(*[one for one in _events(paydue) if "refund" in one["type"]])
    assert (await paydue.invoice(invoice)).amountdue == 120

    (skipped,) = (await paydue.autopay())["skipped"]

    assert "refunded" in skipped["reason"]
    assert len(paydue.sandbox.ledger.charges()) == 1


async def test_a_new_card_is_tried_although_the_old_one_was_declined_for_good(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client("stolen_card")
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay()
    customer = await _customer_of(paydue, invoice)
    paydue.sandbox.add_payment_method("pm_new", customer=customer, behaviour=["succeed"])

    async with paydue.database.transaction() as tx:
        await tx.execute(
            update(CLIENTS).where(CLIENTS.c.id == client).values(stripe_payment_method_id="pm_new")
        )
    report = await paydue.autopay()

    assert [one["invoice_id"] for one in report["charged"]] == [invoice]


async def test_a_changed_amount_never_leaves_the_old_intent_payable(paydue: Paydue) -> None:
    client = await paydue.a_client(["insufficient_funds", "succeed"])
    invoice = await paydue.an_invoice("120.00", client=client)
    (declined,) = (await paydue.autopay(today()))["declined"]

    await _entered(paydue, invoice, 50)
    (charged,) = (await paydue.autopay(today() + timedelta(days=1)))["charged"]

    assert charged["amount"] == "70.00"
    assert charged["intent_id"] != declined["intent_id"]
    statuses = {one["data"]["object"]["id"]: one["data"]["object"]["status"]
                for one in _events(paydue) if one["type"] == "payment_intent.canceled"}  # fmt: skip
    assert statuses == {declined["intent_id"]: "canceled"}


async def test_the_stripe_customers_default_is_charged_where_the_client_names_none(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client(stripe_payment_method_id=None)
    invoice = await paydue.an_invoice(client=client)

    report = await paydue.autopay()

    assert [one["invoice_id"] for one in report["charged"]] == [invoice]


async def test_every_passed_over_invoice_is_reported_with_its_reason(paydue: Paydue) -> None:
    nobody = await paydue.a_client(stripe_customer_id=None)
    gone = await paydue.a_client(inactive=True)
    late = await paydue.a_client(timezone="Pacific/Pago_Pago")
    # It has begun where days begin first, and never yet where they begin last, 25 hours later.
    newest_day = calendar.business_day(datetime.now(UTC), "Pacific/Kiritimati")
    expected = {
        await paydue.an_invoice(voided=True): "the invoice is voided",
        await paydue.an_invoice(amountdue=0): "nothing is left to pay",
        await paydue.an_invoice(client=nobody): "the client has no stripe_customer_id",
        await paydue.an_invoice(client=gone): "the client is inactive",
        await paydue.an_invoice(payments_pending=1): "a payment is processing",
        await paydue.an_invoice("0.005"): "amount: 0.005000 is not a whole multiple of 0.01 USD",
        await paydue.an_invoice(client=late, due=newest_day): (
            f"due on {newest_day} where the client is"
        ),
    }
    await paydue.an_invoice(take_auto_payment=False)
    await paydue.an_invoice(due=today() + timedelta(days=9))

    report = await paydue.autopay(None)

    found = {one["invoice_id"]: one["reason"] for one in report["skipped"]}
    assert found == expected
    assert report["charged"] == []


async def test_a_dry_run_says_what_the_run_does_and_touches_nothing(paydue: Paydue) -> None:
    pays = await paydue.an_invoice("30.00")
    nobody = await paydue.a_client(stripe_customer_id=None)
    skips = await paydue.an_invoice(client=nobody)

    foreseen = await paydue.foresee()

    assert foreseen["dry_run"] is True
    assert await paydue.rows(ATTEMPTS, ATTEMPTS.c.id > 0) == []
    assert all(entry.method == "GET" for entry in paydue.sandbox.requests)
    done = await paydue.autopay()
    for report in (foreseen, done):
        assert [one["invoice_id"] for one in report["charged"]] == [pays]
        assert [one["invoice_id"] for one in report["skipped"]] == [skips]


async def test_a_saved_500_on_create_is_answered_by_the_list_and_adopted(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CREATE, kind="status", status=500, when="after", times=1)
    await paydue.autopay()
    (row,) = await paydue.attempts(invoice)
    assert (row.state, row.intent_id) == ("unknown", None)

    await paydue.autopay()

    creates = [e for e in paydue.sandbox.requests if e.template == "/v1/payment_intents"
               and e.method == "POST"]  # fmt: skip
    assert len({entry.idempotency_key for entry in creates}) == 1
    assert len(paydue.sandbox.ledger.charges()) == 1


async def test_a_stripe_key_that_is_refused_ends_the_run(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CREATE, kind="unauthorized", times=1)

    with pytest.raises(NotAuthorized):
        await paydue.autopay()

    assert [row.state for row in await paydue.attempts(invoice)] == ["open"]
    assert len((await paydue.autopay())["charged"]) == 1


def _events(paydue: Paydue) -> list[dict]:
    return [one.body if hasattr(one, "body") else one for one in paydue.sandbox.events]


async def _customer_of(paydue: Paydue, invoice: int) -> str:
    row = await paydue.invoice(invoice)
    (client,) = await paydue.rows(CLIENTS, CLIENTS.c.id == row.client_id)
    return str(client.stripe_customer_id)


async def _a_session(stripe_url: str, customer: str, invoice: int) -> str:
    form = {
        "mode": "payment",
        "customer": customer,
        "success_url": "https://example.com/paid",
        "client_reference_id": str(invoice),
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "12000",
        "line_items[0][price_data][product_data][name]": "Invoice",
    }
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{stripe_url}/v1/checkout/sessions", data=form) as answer,
    ):
        made = await answer.json()
        assert answer.status == 200, made
        return str(made["id"])


async def _stripe_get(stripe_url: str, path: str) -> dict:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{stripe_url}{path}") as answer,
    ):
        return await answer.json()
