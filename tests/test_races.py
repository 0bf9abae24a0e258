"""What must happen once is tried many times at once, on both databases, by several nodes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from app.ledger import assignment
from app.payments.autopay import attempts, candidates
from app.payments.autopay.leases import LeaseHolder
from app.rules.payment import PaymentState
from app.sandbox.server import Sandbox
from app.sandbox.stripe_api import checkout_api
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoices import InvoiceChange
from tests.gate import PATIENCE_S, Gate
from tests.harness import (
    CLIENTS,
    INVOICES,
    PAYMENTS,
    SECRET,
    Paydue,
    event,
    intent,
    settings_for,
    signed,
    today,
)
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio

CHANGES = table_of(InvoiceChange)
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
TEN = 10
SUCCEEDED = "payment_intent.succeeded"


@pytest.fixture
async def nodes(
    database_url: str, sandbox: Sandbox, stripe_url: str
) -> AsyncIterator[tuple[Paydue, Paydue]]:
    """Two nodes on one database: each serves, works, and has connections of its own."""
    settings = settings_for(database_url, stripe_url)
    async with Paydue.running(settings, sandbox) as one, Paydue.running(settings, sandbox) as other:
        yield one, other


async def post(paydue: Paydue, told: dict[str, Any]) -> int:
    body = orjson.dumps(told)
    headers = {"Stripe-Signature": signed(body)}
    async with paydue.http.post("/stripe/webhook", data=body, headers=headers) as answer:
        return answer.status


async def assert_books_balance(paydue: Paydue) -> None:
    """Every invoice says what its payments say, and its audit tells how it came to that."""
    for row in await paydue.rows(INVOICES, INVOICES.c.id > 0):
        payments = await paydue.payments(row.id)
        assert row.amountpaid == sum((one.counted for one in payments), Decimal(0))
        assert row.payments_pending == sum(one.state == PaymentState.PROCESSING for one in payments)
        assert row.amountdue == max(row.total - row.amountpaid, 0)
        changes = await paydue.rows(CHANGES, CHANGES.c.invoice_id == row.id)
        at = Decimal(0)
        for one in (change for change in changes if change.field_name == "amountpaid"):
            assert Decimal(one.old_value) == at
            at = Decimal(one.new_value)
        assert at == row.amountpaid


# --- webhooks --------------------------------------------------------------------------------


async def test_ten_deliveries_of_one_event_at_once_are_one_event(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, _ = nodes
    invoice = await one.an_invoice()
    told = event(SUCCEEDED, intent(invoice))

    statuses = await asyncio.gather(*(post(nodes[turn % 2], told) for turn in range(TEN)))

    assert statuses == [200] * TEN
    assert len(await one.events()) == len(await one.payments(invoice)) == 1
    assert len(await one.rows(CHANGES, CHANGES.c.invoice_id == invoice)) == 2
    await assert_books_balance(one)


async def test_ten_event_objects_of_one_change_at_once_are_one_payment(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, _ = nodes
    invoice = await one.an_invoice()
    thing, unnamed = intent(invoice), intent(None)

    statuses = await asyncio.gather(
        *(post(nodes[turn % 2], event(SUCCEEDED, thing)) for turn in range(TEN)),
        *(post(nodes[turn % 2], event(SUCCEEDED, unnamed)) for turn in range(TEN)),
    )

    assert statuses == [200] * 2 * TEN
    assert {row.state for row in await one.events()} == {"applied"}
    assert len(await one.payments()) == 2
    assert (await one.invoice(invoice)).amountpaid == 120
    await assert_books_balance(one)


async def test_ten_payments_of_one_invoice_at_once_all_count(nodes: tuple[Paydue, Paydue]) -> None:
    one, _ = nodes
    invoice = await one.an_invoice("1000.00")
    told = [event(SUCCEEDED, await one.own_intent(invoice, amount=12000)) for _ in range(TEN)]

    await asyncio.gather(*(post(nodes[turn % 2], each) for turn, each in enumerate(told)))

    row = await one.invoice(invoice)
    assert (row.amountpaid, row.amountdue, row.paymentstatus) == (1000, 0, 2)
    unapplied = [row.counted for row in await one.payments() if row.invoice_id is None]
    assert sum(unapplied) == 200  # ten times 120 on an invoice of 1000: the rest is credit
    await assert_books_balance(one)


async def test_batches_that_share_invoices_in_opposite_order_do_not_block_each_other(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, _ = nodes
    invoices = [await one.an_invoice("100000") for _ in range(4)]
    told = [
        event(
            SUCCEEDED,
            await one.own_intent(invoices[turn % 4 if turn % 2 else 3 - turn % 4], amount=100),
        )
        for turn in range(80)
    ]

    statuses = await asyncio.gather(
        *(post(nodes[turn % 2], each) for turn, each in enumerate(told))
    )

    assert set(statuses) == {200}
    assert {row.state for row in await one.events()} == {"applied"}
    assert sum([(await one.invoice(each)).amountpaid for each in invoices], Decimal(0)) == 80
    await assert_books_balance(one)


async def test_an_event_that_comes_the_moment_a_commit_ends_does_not_wait(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("1000")
    told = [event(SUCCEEDED, await paydue.own_intent(invoice, amount=100)) for _ in range(TEN)]

    async with asyncio.timeout(wait_limit(4)):
        for one in told:  # each as soon as the one before it is durable
            await paydue.node.inbox.receive(one, orjson.dumps(one), "webhook")

    assert (await paydue.invoice(invoice)).amountpaid == TEN


# --- by hand ---------------------------------------------------------------------------------


async def enter(paydue: Paydue, access: dict[str, str], **record: Any) -> int:
    async with paydue.http.post("/api/InvoicePayment", json=[record], headers=access) as answer:
        await answer.read()
        return answer.status


async def test_ten_payments_entered_by_hand_at_once_all_count(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, _ = nodes
    access = await one.access()
    invoice = await one.an_invoice("1000.00")
    intents = [await one.own_intent(invoice) for _ in range(TEN)]

    statuses = await asyncio.gather(
        *(enter(nodes[turn % 2], access, invoice_id=invoice, amount=50) for turn in range(TEN)),
        *(post(nodes[turn % 2], event(SUCCEEDED, each)) for turn, each in enumerate(intents)),
    )

    assert set(statuses) <= {200, 201}
    row = await one.invoice(invoice)
    assert (row.amountpaid, row.amountdue, row.paymentstatus) == (1000, 0, 2)
    assert sum(each.counted for each in await one.payments()) == 1700
    await assert_books_balance(one)


async def test_a_payment_assigned_while_its_event_is_applied_counts_once(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, other = nodes
    access = await one.access()
    for _ in range(TEN):
        invoice = await one.an_invoice()
        waiting = intent(None, "processing")
        await post(one, event("payment_intent.processing", waiting))
        payment = (await one.payments())[-1]
        done = {**waiting, "status": "succeeded", "amount_received": 12000}

        statuses = await asyncio.gather(
            post(other, event(SUCCEEDED, done)),
            enter(one, access, id=payment.id, invoice_id=invoice),
        )

        assert set(statuses) <= {200, 201}
        (booked,) = await one.payments(invoice)
        assert (booked.state, booked.counted) == (PaymentState.SUCCEEDED, 120)
    assert {row.state for row in await one.events()} == {"applied"}
    await assert_books_balance(one)


async def test_a_payment_claimed_by_a_session_and_by_a_person_at_once_is_for_one_invoice(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, other = nodes
    access = await one.access()
    for _ in range(TEN):
        named, chosen = await one.an_invoice(), await one.an_invoice()
        thing = intent(None)
        await post(one, event(SUCCEEDED, thing))
        payment = (await one.payments())[-1]
        session = {
            "id": f"cs_{thing['id']}", "object": "checkout.session", "currency": "usd",
            "amount_total": 12000, "payment_status": "paid", "payment_intent": thing["id"],
            "client_reference_id": str(named),
        }  # fmt: skip

        statuses = await asyncio.gather(
            post(other, event("checkout.session.completed", session)),
            enter(one, access, id=payment.id, invoice_id=chosen),
        )

        assert set(statuses) <= {200, 201}
        (booked,) = await one.rows(PAYMENTS, PAYMENTS.c.id == payment.id)
        assert booked.invoice_id == chosen  # a person's word is the last, whoever came first
    await assert_books_balance(one)


async def test_a_payment_assigned_twice_at_once_is_for_the_later_invoice_alone(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, other = nodes
    earlier, later = await one.an_invoice(), await one.an_invoice()
    await post(one, event(SUCCEEDED, intent(None)))
    (payment,) = await one.payments()

    async def assign(tx: Tx, invoice: int) -> None:
        await assignment.assign(tx, payment.id, invoice, now=datetime.now(UTC), who="somebody")

    async with other.database.transaction() as tx:
        await assign(tx, earlier)
        assigning = asyncio.create_task(one.database.with_retry(lambda tx: assign(tx, later)))
        await somebody_waits(one)
    await assigning

    assert (await one.payments())[0].invoice_id == later
    assert (await one.invoice(earlier)).amountpaid == 0
    assert (await one.invoice(later)).amountpaid == 120
    await assert_books_balance(one)


@pytest.mark.parametrize("is_run_elsewhere", [False, True])
async def test_a_payment_by_hand_and_an_autopay_run_never_both_pay_an_invoice(
    gate: Gate, database_url: str, sandbox: Sandbox, is_run_elsewhere: bool
) -> None:
    more = {"PAYDUE_STRIPE_CONCURRENCY": 4, "PAYDUE_STRIPE_TIMEOUT": 30}
    settings = settings_for(database_url, gate.url, **more)
    outcomes: Counter[int] = Counter()
    async with Paydue.running(settings, sandbox) as one, Paydue.running(settings, sandbox) as other:
        access = await one.access()
        node = other if is_run_elsewhere else one
        for moment in MOMENTS:
            invoices = [await one.an_invoice() for _ in range(TEN)]

            statuses = await paid_by_hand_during(gate, node, one, access, moment, invoices)

            outcomes.update(statuses.values())
            taken = sandbox.ledger.net_by_invoice()
            for invoice, status in statuses.items():
                assert (str(invoice) in taken) == (status == 409)
                assert (await one.invoice(invoice)).amountpaid == 120
        await assert_books_balance(one)

    assert outcomes.keys() == {200, 409}
    assert sandbox.ledger.double_charges() == {}


# As soon as the run begins, or when it asks this of Stripe for the first of its invoices.
MOMENTS = (
    None,
    ("GET", "/v1/checkout/sessions"),
    ("POST", "/v1/payment_intents"),
    ("POST", "/confirm"),
)


async def paid_by_hand_during(
    gate: Gate,
    node: Paydue,
    at: Paydue,
    access: dict[str, str],
    moment: tuple[str, str] | None,
    invoices: list[int],
) -> dict[int, int]:
    """Enter a payment of each invoice once a run has come to a moment of its first charge.

    No charge ends before all have been answered: only what its attempt says keeps them out.
    """
    reached = gate.hold(*moment) if moment else None
    confirms = gate.hold("POST", "/confirm")
    async with asyncio.TaskGroup() as group:
        run = group.create_task(node.autopay())
        if reached:
            await reached.came()
            reached.let_go()
        statuses = await asyncio.gather(
            *(enter(at, access, invoice_id=each, amount=120) for each in invoices)
        )
        confirms.let_go()
    charged = {entry["invoice_id"] for entry in run.result()["charged"]}
    found = dict(zip(invoices, statuses, strict=True))
    assert charged == {invoice for invoice, status in found.items() if status == 409}
    return found


async def test_a_payment_by_hand_that_waited_for_a_claim_is_refused(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, other = nodes
    access = await one.access()
    invoice = await one.an_invoice()

    async with other.database.transaction() as tx:
        await candidates.lock_candidates(tx, [invoice])
        entering = asyncio.create_task(enter(one, access, invoice_id=invoice, amount=120))
        await somebody_waits(one)
        await attempts.open_attempt(
            tx, LeaseHolder("a run"), now=datetime.now(UTC), new=an_attempt(invoice)
        )
    status = await entering

    assert status == 409
    assert (await one.invoice(invoice)).amountpaid == 0


def an_attempt(invoice: int) -> dict[str, Any]:
    return {
        "invoice_id": invoice, "number": 1, "step": "claimed", "business_day": today(),
        "amount_minor": 12000, "currency": "usd", "customer_id": "cus_1",
    }  # fmt: skip


async def somebody_waits(paydue: Paydue) -> None:
    """Returns once a lock is waited for; on SQLite a writer cannot even look before its turn."""
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                   " AND datname = current_database()")  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        while not paydue.database.is_sqlite:  # a lock has no event
            async with paydue.database.snapshot() as tx:
                if await tx.scalar(waiting):
                    return
            await asyncio.sleep(0.02)


# --- autopay ---------------------------------------------------------------------------------


async def test_runs_of_two_nodes_at_once_charge_each_invoice_once(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, _ = nodes
    client = await one.a_client()
    invoices = [await one.an_invoice(client=client) for _ in range(3)]
    invoices += [await one.an_invoice() for _ in range(5)]

    reports = await asyncio.gather(*(nodes[turn % 2].autopay() for turn in range(6)))

    charged = [entry["invoice_id"] for report in reports for entry in report["charged"]]
    assert sorted(charged) == sorted(invoices)
    assert len(one.sandbox.ledger.charges()) == len(invoices)
    assert one.sandbox.ledger.double_charges() == {}
    await assert_books_balance(one)


async def test_runs_recoveries_and_reconciliations_at_once_under_faults_charge_once(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, other = nodes
    invoices = [await one.an_invoice() for _ in range(TEN)]
    one.sandbox.fault(CONFIRM, "drop", when="after", probability=0.5, seed=1)
    one.sandbox.fault("POST /v1/payment_intents", "drop", when="after", probability=0.5, seed=2)

    for _ in range(3):
        await asyncio.gather(
            one.autopay(), other.autopay(), one.recover(), other.recover(), other.reconcile()
        )
    one.sandbox.clear_faults()
    await one.autopay()

    assert one.sandbox.ledger.net_by_invoice() == {str(each): 12000 for each in invoices}
    for each in invoices:
        assert (await one.invoice(each)).paymentstatus == 2
    assert len(await one.payments()) == len(invoices)
    await assert_books_balance(one)


# --- a webhook against the API's own answer --------------------------------------------------


async def told_at_once(paydue: Paydue) -> None:
    """Stripe delivers as soon as something happens."""
    paydue.sandbox.add_endpoint(f"{paydue.url}/stripe/webhook", [SECRET])


ENDS = {
    # How the report calls it, the payment's state, the attempt's, and what is paid.
    "succeed": ("charged", PaymentState.SUCCEEDED, "succeeded", 120),
    "insufficient_funds": ("declined", PaymentState.FAILED, "declined", 0),
    "bank_debit_succeeds": ("pending", PaymentState.PROCESSING, "processing", 0),
}


@pytest.mark.parametrize("first", ["webhook", "answer", "both"])
@pytest.mark.parametrize("card", ENDS)
async def test_webhook_and_answer_agree_whichever_comes_first(
    nodes: tuple[Paydue, Paydue], first: str, card: str
) -> None:
    one, other = nodes
    invoice = await one.an_invoice(client=await one.a_client(card), paymentstatus=0)
    if first == "answer":
        one.sandbox.add_endpoint(f"{other.url}/stripe/webhook", [SECRET], mode="held")
    else:
        await told_at_once(other)
    if first == "webhook":
        one.sandbox.fault(CONFIRM, "hang", when="after", seconds=0.4)

    report = await one.autopay(today())
    await one.sandbox.deliver(copies=2, seed=1)
    await one.sandbox.drained()

    kind, payment_state, attempt_state, amount = ENDS[card]
    assert len(report[kind]) == 1
    assert {row.state for row in await one.events()} <= {"applied", "ignored"}
    (payment,) = await one.payments(invoice)
    (attempt,) = await one.attempts(invoice)
    assert (payment.state, attempt.state) == (payment_state, attempt_state)
    assert (await one.invoice(invoice)).amountpaid == amount
    changes = await one.rows(CHANGES, CHANGES.c.invoice_id == invoice)
    told = ["amountpaid", "paymentstatus"] if amount else []
    assert [each.field_name for each in changes] == told
    await assert_books_balance(one)


async def test_a_debit_ends_once_when_bank_webhook_and_question_meet(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, other = nodes
    good = await one.an_invoice(client=await one.a_client("bank_debit_succeeds"))
    bad = await one.an_invoice(client=await one.a_client("bank_debit_fails:account_closed"))
    await told_at_once(other)
    await one.autopay(today())

    one.sandbox.clock.advance(120)
    await asyncio.gather(one.reconcile(), other.reconcile(), one.recover(), one.autopay(today()))
    await one.sandbox.drained()
    # A failure ends an attempt by asking which try it was about.
    await one.recover()

    assert (await one.invoice(good)).paymentstatus == 2
    assert [row.state for row in await one.attempts(good)] == ["succeeded"]
    row = await one.invoice(bad)
    assert (row.amountpaid, row.payments_pending) == (0, 0)
    assert [row.state for row in await one.attempts(bad)] == ["declined"]
    assert len(await one.payments()) == 2
    await assert_books_balance(one)


# --- a page of Stripe's against a run --------------------------------------------------------


@pytest.mark.parametrize("by", ["client_reference_id", "metadata"])
@pytest.mark.parametrize("card", ["pm_card_visa", "pm_usBankAccount"])
async def test_an_invoice_paid_on_a_page_whose_event_is_late_is_not_charged_as_well(
    nodes: tuple[Paydue, Paydue], card: str, by: str
) -> None:
    one, _ = nodes
    client = await one.a_client()
    (row,) = await one.rows(CLIENTS, CLIENTS.c.id == client)
    invoice = await one.an_invoice(client=client)
    session = a_page(one.sandbox, row.stripe_customer_id, invoice, by)
    one.sandbox.complete_checkout(session, card)

    report = await one.autopay()
    again = await one.autopay()

    assert report["charged"] == again["charged"] == []
    intents = one.sandbox.state["payment_intents"].rows()
    assert [each["status"] for each in intents if each["status"] != "canceled"] == [
        "succeeded" if card == "pm_card_visa" else "processing"
    ]
    booked = await one.payments(invoice)
    assert {each.intent_id for each in booked} == {each["id"] for each in intents}
    await assert_books_balance(one)


async def test_a_page_whose_debit_failed_does_not_keep_an_invoice_from_being_charged(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, _ = nodes
    client = await one.a_client()
    (row,) = await one.rows(CLIENTS, CLIENTS.c.id == client)
    invoice = await one.an_invoice(client=client)
    session = a_page(one.sandbox, row.stripe_customer_id, invoice, "metadata")
    one.sandbox.complete_checkout(session, "pm_usBankAccount_accountClosed")
    one.sandbox.clock.advance(120)

    report = await one.autopay()

    assert [entry["invoice_id"] for entry in report["charged"]] == [invoice]
    assert (await one.invoice(invoice)).amountpaid == 120
    assert one.sandbox.ledger.double_charges() == {}


async def test_a_page_paid_at_the_second_try_is_not_taken_for_the_failed_first(
    nodes: tuple[Paydue, Paydue],
) -> None:
    one, _ = nodes
    client = await one.a_client()
    (row,) = await one.rows(CLIENTS, CLIENTS.c.id == client)
    invoice = await one.an_invoice(client=client)
    one.sandbox.add_endpoint(f"{one.url}/stripe/webhook", [SECRET], mode="held")
    one.sandbox.clock.advance(10)  # Stripe's clock may be ahead of ours
    session = a_page(one.sandbox, row.stripe_customer_id, invoice, "metadata")
    one.sandbox.complete_checkout(session, "pm_card_chargeDeclined")
    one.sandbox.complete_checkout(session, "pm_usBankAccount")
    await one.sandbox.deliver(copies=2, seed=1)

    report = await one.autopay()

    assert report["charged"] == []
    assert one.sandbox.ledger.charges() == []


def a_page(sandbox: Sandbox, customer: str, invoice: int, by: str) -> str:
    named: dict[str, Any] = (
        {"metadata": {"invoice_id": str(invoice)}} if by == "metadata" else {by: str(invoice)}
    )
    price = {"currency": "usd", "unit_amount": "12000", "product_data": {"name": "x"}}
    lines = [{"price_data": price, "quantity": "1"}]
    made = checkout_api.create(
        sandbox.state, {"mode": "payment", "customer": customer, "line_items": lines, **named}
    )
    return str(made["id"])
