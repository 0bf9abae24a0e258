"""Disputes, inquiries and early fraud warnings: shown where support looks, and what they take."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.payments import lookup
from app.payments.status import status
from tests.harness import Paydue
from tests.test_cli import DONE, command

pytestmark = pytest.mark.anyio

# Stripe gives so long for evidence in the sandbox, more or less.
LONG = timedelta(days=60)


async def _a_payment(paydue: Paydue) -> Any:
    """The payment of an invoice of 120.00."""
    invoice = await paydue.an_invoice("120.00")
    await paydue.autopay()
    (payment,) = await paydue.payments(invoice)
    return payment


async def _deliver(paydue: Paydue, *kinds: str) -> None:
    """All events of the sandbox of these kinds, the newest first: their order means nothing."""
    events = [one for one in paydue.sandbox.events if one["type"].startswith(kinds)]
    await paydue.deliver(*reversed(events))


async def _story(paydue: Paydue, intent: str) -> dict[str, Any]:
    async with paydue.database.snapshot() as tx:
        (found,) = await lookup.find_intents(tx, intent)
    return found.as_dict()


async def _status(paydue: Paydue, *, later: timedelta = timedelta(0)) -> dict[str, Any]:
    async with paydue.database.snapshot() as tx:
        return await status(tx, now=datetime.now(UTC) + later, timezone="UTC")


async def _due(paydue: Paydue, invoice: int) -> Any:
    return (await paydue.invoice(invoice)).amountdue


async def test_a_dispute_is_shown_from_its_deadline_to_its_end(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    intent = payment.intent_id
    made = paydue.sandbox.open_dispute(intent, amount=5000, reason="fraudulent")
    await _deliver(paydue, "charge.dispute.")

    due = datetime.fromtimestamp(made["evidence_details"]["due_by"], UTC)
    deadline = due.isoformat().replace("+00:00", "Z")
    assert (await _story(paydue, intent))["disputes"] == [{
        "id": made["id"], "amount": "50.00", "currency": "usd",
        "status": "needs_response", "reason": "fraudulent", "is_inquiry": False,
        "evidence_due": deadline, "funds_withdrawn": True, "funds_reinstated": False,
    }]  # fmt: skip
    found = await _status(paydue)
    assert (found["disputes_open"], found["inquiries_open"]) == (1, 0)
    assert found["evidence_due"] == deadline
    assert (await _status(paydue, later=LONG))["evidence_due"] is None, "it has passed"
    assert await _due(paydue, payment.invoice_id) == 0

    paydue.sandbox.close_dispute(made["id"], "lost")
    await _deliver(paydue, "charge.dispute.")
    assert await _due(paydue, payment.invoice_id) == 50
    assert (await _status(paydue))["disputes_open"] == 0
    assert (await _status(paydue))["evidence_due"] is None

    paydue.sandbox.close_dispute(made["id"], "won")
    await _deliver(paydue, "charge.dispute.")
    (shown,) = (await _story(paydue, intent))["disputes"]
    assert (shown["status"], shown["funds_reinstated"]) == ("won", True)
    assert await _due(paydue, payment.invoice_id) == 0


async def test_a_dispute_in_the_banks_own_currency_takes_the_payment_whole(
    paydue: Paydue,
) -> None:
    payment = await _a_payment(paydue)
    made = paydue.sandbox.open_dispute(payment.intent_id, amount=18_000, currency="jpy")
    await _deliver(paydue, "charge.dispute.")
    (shown,) = (await _story(paydue, payment.intent_id))["disputes"]
    assert (shown["amount"], shown["currency"]) == ("18000", "jpy")
    assert await _due(paydue, payment.invoice_id) == 0

    paydue.sandbox.close_dispute(made["id"], "lost")
    await _deliver(paydue, "charge.dispute.")
    assert await _due(paydue, payment.invoice_id) == 120
    assert (await paydue.autopay())["charged"] == []

    paydue.sandbox.close_dispute(made["id"], "won")
    await _deliver(paydue, "charge.dispute.")
    assert await _due(paydue, payment.invoice_id) == 0


async def test_an_inquiry_takes_no_money_until_it_becomes_a_dispute(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    made = paydue.sandbox.open_dispute(payment.intent_id, status="warning_needs_response")
    await _deliver(paydue, "charge.dispute.")

    (shown,) = (await _story(paydue, payment.intent_id))["disputes"]
    found = await _status(paydue)
    assert (shown["is_inquiry"], shown["funds_withdrawn"]) == (True, False)
    assert (found["disputes_open"], found["inquiries_open"]) == (0, 1)
    assert found["evidence_due"] == shown["evidence_due"] is not None
    (share,) = await paydue.payments(payment.invoice_id)
    assert (share.disputed, share.counted) == (False, 120)

    paydue.sandbox.bank.escalate_inquiry(made["id"])
    await _deliver(paydue, "charge.dispute.")
    (shown,) = (await _story(paydue, payment.intent_id))["disputes"]
    assert (shown["is_inquiry"], shown["funds_withdrawn"]) == (False, True)
    assert (await _status(paydue))["disputes_open"] == 1


async def test_an_event_of_moved_funds_says_so_where_the_object_does_not(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.open_dispute(payment.intent_id)
    (event,) = [one for one in paydue.sandbox.events if one["type"].endswith("funds_withdrawn")]
    thing = {**event["data"]["object"], "balance_transactions": []}

    await paydue.deliver({**event, "data": {"object": thing}})

    (shown,) = (await _story(paydue, payment.intent_id))["disputes"]
    assert (shown["funds_withdrawn"], shown["funds_reinstated"]) == (True, False)


async def test_a_dispute_that_no_event_told_of_is_found_with_all_it_says(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.open_dispute(payment.intent_id, reason="duplicate")

    await paydue.reconcile()

    (shown,) = (await _story(paydue, payment.intent_id))["disputes"]
    assert (shown["reason"], shown["funds_withdrawn"]) == ("duplicate", True)
    assert shown["evidence_due"] is not None


async def test_an_early_fraud_warning_is_shown_until_the_money_is_refunded(
    paydue: Paydue,
) -> None:
    payment = await _a_payment(paydue)
    made = paydue.sandbox.bank.warn_of_fraud(payment.charge_id, "made_with_stolen_card")
    await _deliver(paydue, "radar.")

    assert (await _story(paydue, payment.intent_id))["fraud_warnings"] == [
        {"id": made["id"], "status": "actionable", "reason": "made_with_stolen_card"}
    ]
    assert (await _status(paydue))["fraud_warnings_open"] == 1
    assert await _due(paydue, payment.invoice_id) == 0
    (share,) = await paydue.payments(payment.invoice_id)
    assert not share.disputed
    assert (await _story(paydue, made["id"]))["intent_id"] == payment.intent_id

    paydue.sandbox.refund(payment.intent_id)
    await _deliver(paydue, "radar.")
    assert (await _status(paydue))["fraud_warnings_open"] == 0


async def test_a_warning_of_a_charge_without_an_intent_is_taken_and_left(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.bank.warn_of_fraud(payment.charge_id)
    event = paydue.sandbox.events[-1]
    thing = {**event["data"]["object"], "payment_intent": None}

    assert await paydue.deliver({**event, "data": {"object": thing}}) == [200]

    assert (await paydue.events())[-1].state == "applied"


@pytest.mark.parametrize(
    ("outcome", "end", "shown", "due"),
    [
        ("pending", None, ("pending", None), 20),
        ("requires_action", None, ("requires_action", None), 20),
        ("pending", "failed", ("failed", "expired_or_canceled_card"), 0),
        ("requires_action", "canceled", ("canceled", None), 0),
        ("succeeded", None, ("succeeded", None), 20),
    ],
)
async def test_a_refund_from_stripes_side_is_gone_while_it_is_pending_and_shown(
    paydue: Paydue, outcome: str, end: str | None, shown: tuple[str, str | None], due: int
) -> None:
    payment = await _a_payment(paydue)
    made = paydue.sandbox.refund(payment.intent_id, 2000, outcome)
    if end:
        paydue.sandbox.bank.end_refund(made["id"], end, "expired_or_canceled_card")
    await _deliver(paydue, "refund.", "charge.refund")

    (told,) = (await _story(paydue, payment.intent_id))["refunds"]
    assert (told["id"], told["amount"]) == (made["id"], "20.00")
    assert (told["status"], told["failure"]) == shown
    assert await _due(paydue, payment.invoice_id) == due
    headers = await paydue.access()
    path = f"/api/InvoicePayment/{payment.id}"
    async with paydue.http.get(path, headers=headers) as answer:
        body = await answer.json()
    assert body["refunds"] == [told]
    assert "disputes" not in body


async def test_a_request_that_made_no_refund_is_shown_too(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.fault("POST /v1/refunds", kind="drop", when="before", times=1)
    headers = await paydue.access()
    path = f"/api/InvoicePayment/{payment.id}/refund"
    async with paydue.http.post(
        path, json={"amount": 20, "reason": "too much"}, headers=headers
    ) as answer:
        assert answer.status == 200

    (told,) = (await _story(paydue, payment.intent_id))["refunds"]

    assert (told["id"], told["request_id"], told["invoice_id"]) == (None, 1, payment.invoice_id)
    assert (told["amount"], told["status"], told["reason"]) == ("20.00", "unknown", "too much")
    assert (await _status(paydue))["refunds_unresolved"] == 1


async def test_support_reads_all_of_it(
    paydue: Paydue, stripe_url: str, database_url: str, tmp_path: Path
) -> None:
    run = command(tmp_path, stripe_url).having(
        PAYDUE_DATABASE_URL=database_url, COLUMNS="200", TERM="dumb"
    )
    payment = await _a_payment(paydue)
    paydue.sandbox.refund(payment.intent_id, 2000)
    paydue.sandbox.open_dispute(payment.intent_id, amount=5000, reason="fraudulent")
    paydue.sandbox.bank.warn_of_fraud(payment.charge_id, "misc")
    await _deliver(paydue, "refund.", "charge.", "radar.")

    found = await run("payment", "find", payment.intent_id)
    numbers = await run("status", "--json")

    assert (found.code, found.err) == (DONE, "")
    for words in ("refunds", "20.00 USD", "disputes", "fraudulent", "yes", "fraud warnings"):
        assert words in found.out
    assert orjson.loads(numbers.out)["disputes_open"] == 1
