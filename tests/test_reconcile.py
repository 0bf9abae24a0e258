"""What Stripe never told is found, what is known is left alone, and an absence proves nothing."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select, update

from app.payments.reconciliation.cursor import COMPLETED, CURSOR, FIRST_LOOK, OVERLAP
from app.payments.reconciliation.reconcile_pass import BATCH, NAMED_MAX, ReconcileResult
from app.payments.stripe.gateway import NoAnswer
from app.payments.webhook import event_types
from app.rules.payment import PaymentState
from app.sandbox.transport.request_pipeline import LoggedRequest
from app.storage.column_types import table_of
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.invoices import InvoiceChange
from app.storage.tables.stripe_reversals import StripeReversal
from tests.gate import Gate
from tests.harness import (
    ATTEMPTS,
    CLIENTS,
    EVENTS,
    INTENTS,
    INVOICES,
    KEY,
    PAYMENTS,
    Paydue,
    intent,
    settings_for,
    today,
)

pytestmark = pytest.mark.anyio

CHANGES = table_of(InvoiceChange)
FACTS = table_of(InstallationValue)
REVERSALS = table_of(StripeReversal)
CREATE = "POST /v1/payment_intents"
OF_ANOTHER_CURSOR = {"/v1/payouts", "/v1/balance_transactions"}
LISTS = ["GET /v1/payment_intents", "GET /v1/refunds", "GET /v1/disputes"]


# --- events ----------------------------------------------------------------------------------


async def test_events_that_were_never_delivered_are_found_and_booked(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    await a_payment(paydue, stripe_url, invoice)

    found = await paydue.reconcile()

    told = [one["id"] for one in paydue.sandbox.events if one["type"] in event_types.HANDLERS]
    rows = await paydue.events()
    assert found.events_new == found.events == len(told) == 2
    assert sorted(row.event_id for row in rows) == sorted(told)
    assert {(row.source, row.state) for row in rows} == {("reconcile", "applied")}
    assert (await paydue.invoice(invoice)).amountdue == 0


async def test_events_are_found_over_all_pages_of_the_list(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("1000.00")
    for _ in range(BATCH + 5):
        thing = await paydue.own_intent(invoice, amount=100)
        paydue.sandbox.emit("payment_intent.succeeded", thing)

    found = await paydue.reconcile()

    assert found.events_new == BATCH + 5
    assert (await paydue.invoice(invoice)).amountpaid == BATCH + 5


async def test_an_event_nobody_delivered_names_the_invoice_of_a_checkout_session(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    session = await a_session(stripe_url, client_reference_id=str(invoice))
    paydue.sandbox.complete_checkout(session)

    await paydue.reconcile()

    (payment,) = await paydue.payments()
    assert (payment.invoice_id, payment.counted) == (invoice, 120)


# --- objects ---------------------------------------------------------------------------------


async def test_a_payment_by_checkout_is_found_without_any_event(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    named = {"payment_intent_data[metadata][invoice_id]": str(invoice)}
    session = await a_session(stripe_url, **named)
    paydue.sandbox.complete_checkout(session)
    forget_events(paydue)

    found = await paydue.reconcile()

    assert (found.events, found.intents_new) == (0, 1)
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue) == (120, 0)


async def test_a_bank_debit_that_settled_is_asked_for_by_its_id(paydue: Paydue) -> None:
    paydue.sandbox.clock.advance(-7200)  # older than what is listed next time
    paydue.sandbox.state.delays.bank_debit = 5400
    invoice = await paydue.an_invoice(client=await paydue.a_client("bank_debit_succeeds"))
    await paydue.autopay()
    paydue.sandbox.clock.advance(3600)
    paydue.sandbox.emit("customer.deleted", {"id": "cus_newer", "object": "customer"})
    await paydue.reconcile()
    assert (await paydue.invoice(invoice)).payments_pending == 1

    paydue.sandbox.clock.advance(3600)
    await paydue.sandbox.settle()
    forget_events(paydue)
    await let_time_come(paydue)
    found = await paydue.reconcile()

    assert (found.events, found.intents, found.asked) == (0, 0, 1)
    row = await paydue.invoice(invoice)
    assert (row.amountdue, row.payments_pending) == (0, 0)
    assert [one.state for one in await paydue.attempts(invoice)] == ["succeeded"]
    assert (await paydue.reconcile()).asked == 0


async def test_a_bank_debit_that_failed_is_found_and_frees_its_invoice(paydue: Paydue) -> None:
    client = await paydue.a_client("bank_debit_fails:account_closed")
    invoice = await paydue.an_invoice("120.00", client=client)
    await paydue.autopay()

    paydue.sandbox.clock.advance(3600)
    await paydue.sandbox.settle()
    forget_events(paydue)
    await let_time_come(paydue, state_at=datetime.now(UTC) - timedelta(hours=1))
    await paydue.reconcile()

    row = await paydue.invoice(invoice)
    assert (row.amountdue, row.amountpaid, row.payments_pending) == (120, 0, 0)
    (payment,) = await paydue.payments(invoice)
    assert payment.state == PaymentState.FAILED


async def test_a_debit_that_does_not_end_is_asked_about_ever_less_often(paydue: Paydue) -> None:
    await paydue.an_invoice(client=await paydue.a_client("bank_debit_succeeds"))
    await paydue.autopay()
    forget_events(paydue)
    (payment,) = await paydue.payments()
    waits = []

    for age in (timedelta(minutes=1), timedelta(hours=2), timedelta(days=4)):
        now = datetime.now(UTC)
        await let_time_come(paydue, intent_date=now - age)
        assert (await paydue.reconcile()).asked == 1
        (payment,) = await paydue.payments()
        waits.append(payment.check_at - now)

    expected = [timedelta(minutes=10), timedelta(hours=1), timedelta(days=2)]
    for wait, least in zip(waits, expected, strict=True):
        assert least <= wait < least + timedelta(minutes=1)


async def test_an_intent_nobody_finished_in_sixty_days_is_left_to_events(paydue: Paydue) -> None:
    await paydue.an_invoice(client=await paydue.a_client("bank_debit_succeeds"))
    await paydue.autopay()
    forget_events(paydue)

    await let_time_come(paydue, intent_date=datetime.now(UTC) - timedelta(days=61))
    await paydue.reconcile()

    (payment,) = await paydue.payments()
    assert (payment.check_at, payment.state) == (None, PaymentState.PROCESSING)


async def test_a_refund_is_found_without_any_event(paydue: Paydue) -> None:
    invoice = await a_paid_invoice(paydue, "120.00")
    paydue.sandbox.refund(charged(paydue), amount=2000)
    forget_events(paydue)

    found = await paydue.reconcile()

    assert (found.events, found.reversals) == (0, 1)
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue, row.payments_reversed) == (100, 20, 1)


async def test_a_lost_dispute_is_found_without_any_event(paydue: Paydue) -> None:
    invoice = await a_paid_invoice(paydue, "120.00")
    dispute = paydue.sandbox.open_dispute(charged(paydue))
    paydue.sandbox.close_dispute(dispute["id"], "lost")
    forget_events(paydue)

    found = await paydue.reconcile()

    assert (found.events, found.reversals) == (0, 1)
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue) == (0, 120)


async def test_a_won_dispute_leaves_the_invoice_paid(paydue: Paydue) -> None:
    invoice = await a_paid_invoice(paydue, "120.00")
    dispute = paydue.sandbox.open_dispute(charged(paydue))
    paydue.sandbox.close_dispute(dispute["id"], "won")
    forget_events(paydue)

    await paydue.reconcile()

    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue, row.payments_reversed) == (120, 0, 0)


# --- what is known ---------------------------------------------------------------------------


async def test_what_is_known_already_is_not_written_twice(paydue: Paydue) -> None:
    await a_paid_invoice(paydue, "120.00")
    paydue.sandbox.refund(charged(paydue), amount=2000)
    paydue.sandbox.open_dispute(charged(paydue), amount=1000, status="lost")
    await paydue.deliver(*[one for one in paydue.sandbox.events])
    before = await everything(paydue)
    assert len(before["reversals"]) >= 2

    found = [await paydue.reconcile() for _ in range(2)]

    assert [(one.events_new, one.intents_new) for one in found] == [(0, 0), (0, 0)]
    assert found[0].events > 0
    assert found[0].intents == 1
    assert await everything(paydue) == before


async def test_objects_found_twice_are_booked_once_with_one_audit_trail(paydue: Paydue) -> None:
    invoice = await a_paid_invoice(paydue, "120.00")
    paydue.sandbox.refund(charged(paydue), amount=2000)
    forget_events(paydue)
    await paydue.reconcile()
    before = await everything(paydue)

    await paydue.reconcile()

    assert await everything(paydue) == before
    paid = [row["new_value"] for row in before["changes"] if row["field_name"] == "amountpaid"]
    assert [Decimal(one) for one in paid] == [120, 100]
    assert len(await paydue.payments(invoice)) == 1


async def test_the_event_that_comes_after_all_changes_nothing(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    await a_payment(paydue, stripe_url, invoice)
    late = list(paydue.sandbox.events)
    forget_events(paydue)
    await paydue.reconcile()
    before = await everything(paydue)

    assert set(await paydue.deliver(*late)) == {200}

    after = await everything(paydue)
    assert (after["changes"], after["invoices"]) == (before["changes"], before["invoices"])
    assert [row["counted"] for row in after["payments"]] == [120]


# --- cursor ----------------------------------------------------------------------------------


async def test_the_cursor_moves_to_the_newest_thing_that_a_whole_pass_has_read(
    paydue: Paydue, stripe_url: str
) -> None:
    before = datetime.now(UTC)
    await a_payment(paydue, stripe_url, await paydue.an_invoice("120.00"))

    await paydue.reconcile()

    newest = max(one["created"] for one in paydue.sandbox.events)
    assert await cursor(paydue) == datetime.fromtimestamp(newest, UTC)
    assert before <= await cursor(paydue, COMPLETED) <= datetime.now(UTC)


async def test_a_pass_that_finds_nothing_leaves_the_cursor_where_it_was(paydue: Paydue) -> None:
    await paydue.reconcile()
    first = await cursor(paydue)

    await paydue.reconcile()

    assert await cursor(paydue) == first
    assert first < datetime.now(UTC) - FIRST_LOOK + OVERLAP


async def test_without_a_cursor_a_pass_reads_back_to_the_oldest_open_invoice(
    paydue: Paydue, stripe_url: str
) -> None:
    long_ago = 2 * FIRST_LOOK
    invoice = await paydue.an_invoice("120.00", invoice_date=datetime.now(UTC) - long_ago)
    paydue.sandbox.clock.advance(OVERLAP.total_seconds() - long_ago.total_seconds())
    await a_payment(paydue, stripe_url, invoice)

    await paydue.reconcile()

    assert (await paydue.invoice(invoice)).amountdue == 0


async def test_a_host_whose_clock_is_ahead_skips_no_event(paydue: Paydue, stripe_url: str) -> None:
    paydue.sandbox.clock.advance(-20 * 60)
    first, second = [await paydue.an_invoice("120.00") for _ in range(2)]
    await a_payment(paydue, stripe_url, first)
    await paydue.reconcile()

    await a_payment(paydue, stripe_url, second)
    found = await paydue.reconcile()

    assert found.events_new == 2
    assert (await paydue.invoice(second)).amountdue == 0


async def test_a_time_that_has_not_come_does_not_move_the_cursor(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    odd = {"id": "pi_odd", "created": int(time.time()) + 86400 * 365}
    await a_payment(paydue, stripe_url, await paydue.an_invoice("120.00"))
    spoil(paydue, "payment_intents", odd)
    await paydue.reconcile()

    await a_payment(paydue, stripe_url, invoice)
    await paydue.reconcile()

    assert (await paydue.invoice(invoice)).amountdue == 0


# --- what cannot be read ---------------------------------------------------------------------

UNREADABLE: dict[str, dict[str, Any]] = {
    "a currency that is none": {"currency": "usdc"},
    "no amount": {"amount": None, "amount_received": None},
    "an amount below nothing": {"amount": -1, "amount_received": -1},
    "an amount in text": {"amount": "12000", "amount_received": "12000"},
    "an id that is none": {"id": None},
    "no currency": {"currency": None},
    "an error that is text": {"status": "requires_payment_method", "last_payment_error": "no"},
}


@pytest.mark.parametrize("spoiled", UNREADABLE.values(), ids=UNREADABLE)
async def test_an_intent_that_cannot_be_read_hides_nothing_beside_it(
    paydue: Paydue, stripe_url: str, spoiled: dict[str, Any]
) -> None:
    before, after = [await paydue.an_invoice("120.00") for _ in range(2)]
    await a_payment(paydue, stripe_url, before)
    spoil(paydue, "payment_intents", spoiled)
    await a_payment(paydue, stripe_url, after)
    forget_events(paydue)

    found = await paydue.reconcile()

    assert (found.intents, found.intents_new, found.unreadable) == (3, 2, 1)
    assert found.unreadable_ids == [spoiled.get("id", "pi_spoiled") or "without an id"]
    assert [(await paydue.invoice(one)).amountdue for one in (before, after)] == [0, 0]
    assert await cursor(paydue, COMPLETED) is not None


@pytest.mark.parametrize("kind", ["refunds", "disputes"])
async def test_a_reversal_that_cannot_be_read_hides_nothing_beside_it(
    paydue: Paydue, kind: str
) -> None:
    invoice = await a_paid_invoice(paydue, "120.00")
    paydue.sandbox.refund(charged(paydue), amount=2000)
    paydue.sandbox.open_dispute(charged(paydue), amount=1000, status="lost")
    forget_events(paydue)
    spoil(paydue, kind, {"currency": "usdc"})

    found = await paydue.reconcile()

    assert (found.reversals, found.unreadable) == (3, 1)
    assert (await paydue.invoice(invoice)).amountpaid == 90


async def test_events_that_cannot_be_read_hide_nothing_beside_them(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    await a_payment(paydue, stripe_url, invoice)
    odd = paydue.sandbox.emit("payment_intent.succeeded", intent(None))
    paydue.sandbox.state.events.get(odd["id"]).id = "e" * 256

    found = await paydue.reconcile()

    assert (found.events, found.events_new, found.unreadable) == (3, 2, 1)
    assert found.unreadable_ids == ["without an id"]
    assert (await paydue.invoice(invoice)).amountdue == 0


async def test_an_unfinished_intent_that_cannot_be_read_hides_nothing_beside_it(
    paydue: Paydue,
) -> None:
    for _ in range(2):
        await paydue.an_invoice(client=await paydue.a_client("bank_debit_succeeds"))
    await paydue.autopay()
    forget_events(paydue)
    first, _ = [one.intent_id for one in await paydue.payments()]
    table = paydue.sandbox.state["payment_intents"]
    table.replace(first, {**table.get(first), "currency": "usdc"})
    await let_time_come(paydue)

    found = await paydue.reconcile()

    assert (found.asked, found.unreadable, found.unreadable_ids) == (2, 1, [first])
    assert await cursor(paydue, COMPLETED) is not None


@pytest.mark.parametrize(("silent", "is_down"), [(3, False), (4, True)])
async def test_a_few_intents_without_an_answer_stop_nothing_and_more_mean_that_stripe_is_down(
    paydue: Paydue, silent: int, is_down: bool
) -> None:
    for _ in range(5):
        await paydue.an_invoice(client=await paydue.a_client("bank_debit_succeeds"))
    await paydue.autopay()
    forget_events(paydue)
    await let_time_come(paydue)
    before = await cursor(paydue, COMPLETED)
    paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=silent)

    if is_down:
        with pytest.raises(NoAnswer):
            await paydue.reconcile()
    else:
        found = await paydue.reconcile()
        assert (found.asked, found.unreadable) == (5, silent)

    assert (await cursor(paydue, COMPLETED) == before) == is_down


async def test_the_first_unreadable_objects_are_named_and_the_others_counted(
    paydue: Paydue,
) -> None:
    for number in range(NAMED_MAX + 5):
        spoil(paydue, "payment_intents", {"id": f"pi_{number:03}", "currency": "usdc"})

    found = await paydue.reconcile()

    assert (found.unreadable, len(found.unreadable_ids)) == (NAMED_MAX + 5, NAMED_MAX)


@pytest.mark.parametrize("call", ["GET /v1/events", *LISTS])
async def test_a_fault_in_the_middle_keeps_the_old_cursor(
    paydue: Paydue, stripe_url: str, call: str
) -> None:
    await paydue.reconcile()
    old = await cursor(paydue)
    invoice = await paydue.an_invoice("120.00")
    await a_payment(paydue, stripe_url, invoice)

    paydue.sandbox.fault(call, kind="status", status=503, times=50)
    with pytest.raises(NoAnswer):
        await paydue.reconcile()
    paydue.sandbox.clear_faults()
    assert await cursor(paydue) == old
    paydue.sandbox.requests.clear()
    await paydue.reconcile()

    lists = [one for one in paydue.sandbox.requests if one.method == "GET"]
    since = {asked_since(one) for one in lists if one.path not in OF_ANOTHER_CURSOR}
    assert since == {int((old - OVERLAP).timestamp())}
    assert (await paydue.invoice(invoice)).amountdue == 0
    assert await cursor(paydue) > old


async def test_a_pass_that_is_told_to_stop_does_not_move_the_cursor(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    await a_payment(paydue, stripe_url, invoice)

    paydue.node.stop.set()
    assert await paydue.reconcile() == ReconcileResult()
    assert await cursor(paydue) is None

    paydue.node.stop.clear()
    await paydue.reconcile()
    assert (await paydue.invoice(invoice)).amountdue == 0


# --- orphans ---------------------------------------------------------------------------------


async def test_the_intent_of_a_lost_create_is_canceled_and_never_confirmed(
    paydue: Paydue,
) -> None:
    paydue.sandbox.clock.advance(-1200)  # an intent that young could still be gone on with
    invoice = await paydue.an_invoice("120.00")
    orphan = await an_orphan(paydue, invoice)

    found = await paydue.reconcile()

    assert found.orphans_canceled == 1
    assert paydue.sandbox.state.find("payment_intents", orphan)["status"] == "canceled"
    asked = {one.path for one in paydue.sandbox.requests if one.method == "POST"}
    assert f"/v1/payment_intents/{orphan}/confirm" not in asked
    assert [one.payment_intent for one in paydue.sandbox.ledger.charges()] != [orphan]
    assert (await paydue.reconcile()).orphans_canceled == 0


async def test_an_orphan_that_was_paid_before_we_could_cancel_it_is_booked(
    paydue: Paydue, gate: Gate, stripe_url: str, database_url: str
) -> None:
    paydue.sandbox.clock.advance(-1200)
    invoice = await paydue.an_invoice("120.00")
    orphan = await an_orphan(paydue, invoice)
    attempt, *_ = await paydue.attempts(invoice)
    cancels = gate.hold("POST", "/cancel")

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        reconciling = group.create_task(node.reconcile())
        await cancels.came()
        method = attempt.customer_id.replace("cus", "pm")
        await stripe(stripe_url, f"/v1/payment_intents/{orphan}/confirm", payment_method=method)
        cancels.let_go()

    assert reconciling.result().orphans_canceled == 0
    booked = {one.intent_id: one.counted for one in await paydue.payments(invoice)}
    assert booked[orphan] == 120
    assert (await paydue.invoice(invoice)).amountpaid == 120


async def test_an_intent_that_an_attempt_may_go_on_with_is_not_canceled(paydue: Paydue) -> None:
    paydue.sandbox.clock.advance(-1200)
    invoice = await paydue.an_invoice("120.00")
    await a_lost_create(paydue, invoice)

    found = await paydue.reconcile()
    await paydue.autopay()

    assert found.orphans_canceled == 0
    assert len(paydue.sandbox.ledger.charges()) == 1
    assert (await paydue.invoice(invoice)).amountdue == 0


async def test_a_young_intent_is_not_canceled(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("120.00")
    orphan = await an_orphan(paydue, invoice)

    assert (await paydue.reconcile()).orphans_canceled == 0

    kept = paydue.sandbox.state.find("payment_intents", orphan)
    assert kept["status"] == "requires_payment_method"


async def test_an_intent_that_somebody_else_made_is_not_canceled(
    paydue: Paydue, stripe_url: str
) -> None:
    paydue.sandbox.clock.advance(-1200)
    invoice = await paydue.an_invoice("120.00")
    made = await stripe(
        stripe_url, "/v1/payment_intents", amount="12000", currency="usd",
        **{"metadata[invoice_id]": str(invoice)},
    )  # fmt: skip

    found = await paydue.reconcile()

    assert (found.intents, found.orphans_canceled) == (1, 0)
    kept = paydue.sandbox.state.find("payment_intents", made["id"])
    assert kept["status"] == "requires_payment_method"


# --- absence ---------------------------------------------------------------------------------


async def test_empty_lists_change_nothing(paydue: Paydue) -> None:
    await a_paid_invoice(paydue, "120.00")
    paydue.sandbox.refund(charged(paydue), amount=2000)
    await paydue.deliver(*[one for one in paydue.sandbox.events])
    before = await everything(paydue)

    forget_everything(paydue)
    found = await paydue.reconcile()

    assert found == ReconcileResult()
    assert await everything(paydue) == before


async def test_an_intent_that_stripe_does_not_show_stays_as_it_is(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice(client=await paydue.a_client("bank_debit_succeeds"))
    await paydue.autopay()
    before = await everything(paydue)
    await let_time_come(paydue)

    forget_everything(paydue)
    found = await paydue.reconcile()

    assert found == ReconcileResult(asked=1)
    after = await everything(paydue)
    assert (after["invoices"], after["attempts"]) == (before["invoices"], before["attempts"])
    (payment,) = await paydue.payments(invoice)
    assert payment.state == PaymentState.PROCESSING
    assert payment.check_at > datetime.now(UTC)


# --- what the tests are made of --------------------------------------------------------------


async def stripe(url: str, path: str, **form: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(url, headers=headers) as http,
        http.post(path, data=form) as answer,
    ):
        made = await answer.json()
        assert answer.status == 200, made
        return dict(made)


async def a_payment(paydue: Paydue, stripe_url: str, invoice: int) -> None:
    """Somebody pays an invoice at Stripe, not through us."""
    client = CLIENTS.c.id == (await paydue.invoice(invoice)).client_id
    (own,) = await paydue.rows(CLIENTS, client)
    await stripe(
        stripe_url, "/v1/payment_intents", amount="12000", currency="usd",
        customer=own.stripe_customer_id, payment_method=own.stripe_payment_method_id,
        confirm="true",
        **{"metadata[invoice_id]": str(invoice), "automatic_payment_methods[enabled]": "true",
           "automatic_payment_methods[allow_redirects]": "never"},
    )  # fmt: skip


async def a_session(stripe_url: str, **more: str) -> str:
    made = await stripe(
        stripe_url, "/v1/checkout/sessions", mode="payment",
        success_url="https://example.com/paid",
        **{
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": "usd",
            "line_items[0][price_data][unit_amount]": "12000",
            "line_items[0][price_data][product_data][name]": "Invoice",
        },
        **more,
    )  # fmt: skip
    return str(made["id"])


async def a_paid_invoice(paydue: Paydue, total: str) -> int:
    invoice = await paydue.an_invoice(total)
    assert len((await paydue.autopay(today()))["charged"]) == 1
    return invoice


def charged(paydue: Paydue) -> str:
    (charge,) = paydue.sandbox.ledger.charges()
    return str(charge.payment_intent)


async def a_lost_create(paydue: Paydue, invoice: int) -> None:
    """The intent was made, and no answer ever came."""
    paydue.sandbox.fault(CREATE, kind="drop", when="after", times=50)
    report = await paydue.autopay()
    assert [one["invoice_id"] for one in report["unknown"]] == [invoice]
    paydue.sandbox.clear_faults()
    (row,) = await paydue.attempts(invoice)
    assert row.intent_id is None


async def an_orphan(paydue: Paydue, invoice: int) -> str:
    """A lost create, whose attempt has then ended without it."""
    await a_lost_create(paydue, invoice)
    (orphan,) = [one["id"] for one in paydue.sandbox.state["payment_intents"].rows()]
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(state="canceled", step="ended", check_at=None))
    return str(orphan)


async def let_time_come(paydue: Paydue, **values: Any) -> None:
    """As if the time to ask about every open intent had come."""
    async with paydue.database.transaction() as tx:
        await tx.execute(
            update(INTENTS)
            .where(INTENTS.c.check_at.is_not(None))
            .values(check_at=datetime.now(UTC), **values)
        )


def spoil(paydue: Paydue, table: str, odd: dict[str, Any]) -> None:
    """One more object of Stripe's that is not as it should be."""
    thing = {
        "id": "pi_spoiled", "object": table.removesuffix("s"),
        "amount": 12000, "amount_received": 12000,
        "currency": "usd", "status": "succeeded", "created": int(time.time()), "customer": None,
        "payment_intent": "pi_any", "charge": None, "metadata": {}, "livemode": False,
    }  # fmt: skip
    paydue.sandbox.state[table].add(f"row {odd}", {**thing, **odd})


def forget_events(paydue: Paydue) -> None:
    """As if no change so far had made an event."""
    paydue.sandbox.forget_events()


def forget_everything(paydue: Paydue) -> None:
    """Every list is empty, and no id is known."""
    paydue.sandbox.forget_everything()


async def everything(paydue: Paydue) -> dict[str, list[Any]]:
    """All that is booked."""
    tables = {
        "payments": PAYMENTS,
        "intents": INTENTS,
        "invoices": INVOICES,
        "events": EVENTS,
        "attempts": ATTEMPTS,
        "changes": CHANGES,
        "reversals": REVERSALS,
    }
    found = {}
    for name, table in tables.items():
        rows = await paydue.rows(table, table.c.id.is_not(None))
        found[name] = [dict(row._mapping) for row in rows]
    return found


async def cursor(paydue: Paydue, name: str = CURSOR) -> datetime | None:
    async with paydue.database.snapshot() as tx:
        found = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == name))
    return datetime.fromisoformat(found) if found else None


def asked_since(request: LoggedRequest) -> int:
    return int(request.params["created"]["gte"])
