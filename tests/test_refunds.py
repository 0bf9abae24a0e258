"""Money given back from Paydue: once, never more than there is, whatever gets no answer."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.errors import Refused
from app.ledger.refund_requests import WantedRefund
from app.payments.stripe.gateway import NotAuthorized
from app.storage.column_types import table_of
from app.storage.tables.invoices import InvoiceChange
from app.storage.tables.stripe_refund_requests import RefundRequest
from app.storage.tables.stripe_reversals import StripeReversal
from tests.harness import CLIENTS, Paydue, event
from tests.test_cli import DONE, FAILED, command

pytestmark = pytest.mark.anyio

CHANGES = table_of(InvoiceChange)
REQUESTS = table_of(RefundRequest)
REVERSALS = table_of(StripeReversal)
REFUND = "POST /v1/refunds"
WHY = "one seat was not used"


async def _a_payment(paydue: Paydue, refund: str = "succeeded") -> Any:
    """The payment of an invoice of 120.00, whose refunds take this course at Stripe."""
    client = await paydue.a_client()
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    paydue.sandbox.state.instruments[row.stripe_payment_method_id].refund = refund
    invoice = await paydue.an_invoice("120.00", client=client)
    await paydue.autopay()
    (payment,) = await paydue.payments(invoice)
    return payment


async def _refund(
    paydue: Paydue, payment: int, amount: Any = None, key: str | None = None, reason: Any = WHY
) -> tuple[int, dict[str, Any]]:
    headers = await paydue.access() | ({"Idempotency-Key": key} if key else {})
    return await _post(paydue, payment, {"amount": amount, "reason": reason}, headers)


async def _post(
    paydue: Paydue, payment: int, body: Any, headers: Mapping[str, str]
) -> tuple[int, dict[str, Any]]:
    path = f"/api/InvoicePayment/{payment}/refund"
    async with paydue.http.post(path, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


def _refunds(paydue: Paydue) -> list[dict[str, Any]]:
    """The refunds that there truly are."""
    return paydue.sandbox.state["refunds"].rows()


async def _request(paydue: Paydue) -> Any:
    (found,) = await paydue.rows(REQUESTS, REQUESTS.c.id > 0)
    return found


async def _due_now(paydue: Paydue, *, age: timedelta = timedelta(0)) -> None:
    """The request's next check has come, and it is that old."""
    request = await _request(paydue)
    values = {
        "check_at": request.check_at - timedelta(days=1),
        "created_at": request.created_at - age,
    }
    async with paydue.database.transaction() as tx:
        await tx.execute(update(REQUESTS).values(values))


async def _amount_due(paydue: Paydue, invoice: int) -> Decimal:
    found: Decimal = (await paydue.invoice(invoice)).amountdue
    return found


# --- once ------------------------------------------------------------------------------------


async def test_a_part_is_refunded_and_the_invoice_owes_it_again(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)

    status, answer = await _refund(paydue, payment.id, 20)

    (made,) = _refunds(paydue)
    assert status == 200
    assert answer == {
        "id": 1, "state": "succeeded", "intent_id": payment.intent_id,
        "invoice_id": payment.invoice_id, "amount": "20.00", "currency": "usd", "reason": WHY,
        "refund_id": made["id"], "said": None,
    }  # fmt: skip
    assert (made["amount"], made["payment_intent"]) == (2000, payment.intent_id)
    assert made["metadata"] == {
        "paydue_installation": paydue.node.installation,
        "refund_request": "1",
        "invoice_id": str(payment.invoice_id),
    }
    assert await _amount_due(paydue, payment.invoice_id) == 20
    (change,) = await paydue.rows(CHANGES, CHANGES.c.field_name == "refund")
    assert (change.invoice_id, change.who) == (payment.invoice_id, "tests")
    assert (change.old_value, change.new_value) == (None, f"1: 20 ({WHY})")


async def test_without_an_amount_all_that_is_left_is_refunded_and_then_nothing_is(
    paydue: Paydue,
) -> None:
    payment = await _a_payment(paydue)
    await _refund(paydue, payment.id, 20)

    rest = await _refund(paydue, payment.id)
    more = await _refund(paydue, payment.id)

    assert (rest[0], rest[1]["amount"]) == (200, "100.00")
    assert (more[0], more[1]["Message"]) == (400, "nothing of it is left to refund")
    assert [one["amount"] for one in _refunds(paydue)] == [2000, 10000]
    assert await _amount_due(paydue, payment.invoice_id) == 120


@pytest.mark.parametrize(
    ("amount", "reason", "said"),
    [
        ("120.01", WHY, "amount: 120.00 of it is left to refund"),
        (0, WHY, "amount: a refund is more than nothing"),
        (-1, WHY, "amount: a refund is more than nothing"),
        ("0.001", WHY, "amount: 0.001 is not a whole multiple of 0.01 USD"),
        ("", WHY, "amount: is no amount; leave it out to refund all that is left"),
        (1, " ", "reason: is required"),
        (1, None, "reason: is required"),
    ],
)
async def test_what_cannot_be_refunded_is_refused_and_nothing_is_sent(
    paydue: Paydue, amount: Any, reason: Any, said: str
) -> None:
    payment = await _a_payment(paydue)

    status, answer = await _refund(paydue, payment.id, amount, reason=reason)

    assert (status, answer["Message"]) == (400, said)
    assert _refunds(paydue) == []
    assert await paydue.rows(REQUESTS, REQUESTS.c.id > 0) == []


async def test_a_payment_by_hand_or_one_that_took_no_money_is_not_refunded(
    paydue: Paydue,
) -> None:
    headers = await paydue.access()
    invoice = await paydue.an_invoice()
    by_hand = {"invoice_id": invoice, "amount": 10}
    async with paydue.http.post("/api/InvoicePayment", json=by_hand, headers=headers) as answer:
        entered = (await answer.json())["id"]
    other = await paydue.an_invoice()
    failed = await paydue.own_intent(other, "requires_payment_method")
    await paydue.deliver(event("payment_intent.payment_failed", failed))
    (unpaid,) = await paydue.payments(other)

    answers = [await _refund(paydue, one) for one in (entered, unpaid.id, 4711)]

    assert [(status, said["Message"]) for status, said in answers] == [
        (400, f"payment {entered} was entered by hand; Stripe has none of it"),
        (400, f"{failed['id']} has taken no money"),
        (404, "InvoicePayment 4711 does not exist"),
    ]


async def test_ten_refunds_at_once_never_give_back_more_than_was_paid(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    headers = await paydue.access()
    body = {"amount": 50, "reason": WHY}

    answers = await asyncio.gather(*(_post(paydue, payment.id, body, headers) for _ in range(10)))

    assert sorted(status for status, _ in answers) == [200, 200] + [400] * 8
    assert len(await paydue.rows(REQUESTS, REQUESTS.c.id > 0)) == 2, "Stripe refused none of them"
    assert [one["amount"] for one in _refunds(paydue)] == [5000, 5000]
    assert await _amount_due(paydue, payment.invoice_id) == 100


async def test_one_key_makes_one_refund_of_ten_requests_at_once(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    headers = await paydue.access() | {"Idempotency-Key": "once"}
    body = {"amount": 10, "reason": WHY}

    answers = await asyncio.gather(*(_post(paydue, payment.id, body, headers) for _ in range(10)))
    again = await _post(paydue, payment.id, body, headers)

    assert {status for status, _ in (*answers, again)} == {200}
    assert {answer["id"] for _, answer in (*answers, again)} == {1}
    assert [one["amount"] for one in _refunds(paydue)] == [1000]


async def test_a_key_is_of_one_refund_until_it_is_a_day_old(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)

    async def with_key(amount: int) -> Any:
        wanted = WantedRefund(
            WHY, "tests", payment_id=payment.id, amount=Decimal(amount), caller_key="1:once"
        )
        return await paydue.node.refunds().refund(wanted)

    first = await with_key(10)
    with pytest.raises(Refused, match="Idempotency-Key: it has made refund request 1, another"):
        await with_key(11)
    same = await with_key(10)
    async with paydue.database.transaction() as tx:
        day_old = first.created_at - timedelta(hours=24)
        await tx.execute(update(REQUESTS).values(created_at=day_old))
    new = await with_key(11)

    assert (first.id, same.id, new.id) == (1, 1, 2)
    assert [one["amount"] for one in _refunds(paydue)] == [1000, 1100]


# --- without an answer -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "when"), [("drop", "before"), ("drop", "after"), ("html200", "after")]
)
async def test_a_refund_without_an_answer_is_sent_again_under_its_key(
    paydue: Paydue, kind: Any, when: Any
) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.fault(REFUND, kind=kind, when=when, times=1)

    status, answer = await _refund(paydue, payment.id, 20)
    assert (status, answer["state"]) == (200, "unknown")
    assert answer["said"]
    assert await paydue.node.refunds().recover() == 0, "its time has not come"
    refused = await _refund(paydue, payment.id, 101)
    await _due_now(paydue)

    assert await paydue.node.refunds().recover() == 1

    assert refused[1]["Message"] == "amount: 100.00 of it is left to refund"
    (made,) = _refunds(paydue)
    request = await _request(paydue)
    assert (request.state, request.refund_id, request.said) == ("succeeded", made["id"], None)
    assert await _amount_due(paydue, payment.invoice_id) == 20
    assert await paydue.node.refunds().recover() == 0


async def test_a_saved_failure_is_resolved_by_the_list_of_refunds(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.fault(REFUND, kind="status", status=500, when="after", times=1)
    await _refund(paydue, payment.id, 20)
    await _due_now(paydue)

    assert await paydue.node.refunds().recover() == 1

    (made,) = _refunds(paydue)
    request = await _request(paydue)
    assert (request.state, request.refund_id) == ("succeeded", made["id"])


@pytest.mark.parametrize("when", ["before", "after"])
async def test_once_its_key_is_forgotten_a_refund_is_looked_for_and_never_made_again(
    paydue: Paydue, when: Any
) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.refund(payment.intent_id, 2000)
    paydue.sandbox.fault(REFUND, kind="drop", when=when, times=1)
    await _refund(paydue, payment.id, 20)
    await _due_now(paydue, age=timedelta(hours=23, minutes=1))

    assert await paydue.node.refunds().recover() == 1

    request = await _request(paydue)
    ours = [one["id"] for one in _refunds(paydue) if one["metadata"]]
    if when == "after":
        assert (request.state, [request.refund_id]) == ("succeeded", ours)
    else:
        assert (request.state, request.refund_id, ours) == ("failed", None, [])
        assert request.said == "Stripe lists no refund of it; nothing was given back"


async def test_a_webhook_that_comes_before_the_answer_ends_the_request(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.fault(REFUND, kind="drop", when="after", times=1)
    await _refund(paydue, payment.id, 20)

    await paydue.deliver(*[one for one in paydue.sandbox.events if "refund" in one["type"]])
    await paydue.deliver(*[one for one in paydue.sandbox.events if "refund" in one["type"]])

    request = await _request(paydue)
    assert (request.state, request.check_at) == ("succeeded", None)
    assert await _amount_due(paydue, payment.invoice_id) == 20
    assert (await _refund(paydue, payment.id))[1]["amount"] == "100.00"


async def test_a_process_that_ends_between_its_steps_leaves_the_rest_to_the_worker(
    paydue: Paydue,
) -> None:
    payment = await _a_payment(paydue)
    refunds = paydue.node.refunds()
    wanted = WantedRefund(WHY, "tests", payment_id=payment.id, amount=Decimal(20))
    await refunds._open(wanted)
    await _due_now(paydue)

    both = await asyncio.gather(refunds.recover(), paydue.node.refunds().recover())

    assert sorted(both) == [0, 1]
    assert (await _request(paydue)).state == "succeeded"
    assert len(_refunds(paydue)) == 1


# --- refused, pending, failed ----------------------------------------------------------------


async def test_a_refusal_is_told_in_stripes_words_and_promises_nothing_more(
    paydue: Paydue,
) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.refund(payment.intent_id)

    status, answer = await _refund(paydue, payment.id, 20)

    request = await _request(paydue)
    assert status == 400
    assert answer["Message"].startswith(
        f"Stripe refuses the refund: Charge {payment.charge_id} has already been refunded."
    )
    assert (request.state, request.check_at) == ("refused", None)
    assert answer["Message"].endswith(request.said)
    changes = await paydue.rows(CHANGES, CHANGES.c.field_name == "refund")
    assert changes[-1].new_value == f"1: refused: {request.said}"
    again = await _refund(paydue, payment.id)
    assert "has already been refunded" in again[1]["Message"], "all of it is free again"


async def test_a_key_that_stripe_does_not_accept_makes_no_refund_now_or_later(
    paydue: Paydue,
) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.fault(REFUND, kind="unauthorized", times=1)

    status, answer = await _refund(paydue, payment.id, 20)

    assert status == 400
    assert answer["Message"].startswith("Stripe refuses the refund: ")
    assert (await _request(paydue)).state == "refused"


async def test_an_unknown_refund_waits_for_a_key_that_stripe_accepts(paydue: Paydue) -> None:
    payment = await _a_payment(paydue)
    paydue.sandbox.fault(REFUND, kind="drop", when="after", times=1)
    await _refund(paydue, payment.id, 20)
    await _due_now(paydue)
    paydue.sandbox.clear_faults()
    paydue.sandbox.fault(REFUND, kind="unauthorized", times=1)

    with pytest.raises(NotAuthorized):
        await paydue.node.refunds().recover()

    assert (await _request(paydue)).state == "unknown"
    await _due_now(paydue)
    assert await paydue.node.refunds().recover() == 1
    assert (await _request(paydue)).state == "succeeded"


@pytest.mark.parametrize(
    ("course", "end", "state", "due"),
    [
        ("pending", "succeeded", "succeeded", 20),
        ("pending", "failed", "failed", 0),
        ("requires_action", "canceled", "failed", 0),
        ("succeeded", "failed", "failed", 0),
    ],
)
async def test_a_request_follows_its_refund_to_the_end(
    paydue: Paydue, course: str, end: str, state: str, due: int
) -> None:
    payment = await _a_payment(paydue, course)
    _, answer = await _refund(paydue, payment.id, 20)
    assert answer["state"] == ("succeeded" if course == "succeeded" else "pending")
    assert await _amount_due(paydue, payment.invoice_id) == 20, "gone while it is pending"

    paydue.sandbox.bank.end_refund(answer["refund_id"], end)
    await paydue.deliver(*[one for one in paydue.sandbox.events if "refund" in one["type"]])

    assert (await _request(paydue)).state == state
    assert await _amount_due(paydue, payment.invoice_id) == due
    left = (await _refund(paydue, payment.id))[1]["amount"]
    assert left == ("100.00" if due else "120.00")


# --- whose share -----------------------------------------------------------------------------


async def _an_overpayment(paydue: Paydue) -> tuple[int, str]:
    """An invoice of 100.00, and a payment of 130.00 for it."""
    invoice = await paydue.an_invoice("130.00")
    await paydue.autopay()
    (payment,) = await paydue.payments(invoice)
    headers = await paydue.access()
    moved = {"id": payment.id, "invoice_id": None}
    other = await paydue.an_invoice("100.00", client=(await paydue.invoice(invoice)).client_id)
    for body in (moved, {**moved, "invoice_id": other}):
        async with paydue.http.post("/api/InvoicePayment", json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
    return other, payment.intent_id


async def _shares(paydue: Paydue) -> dict[int | None, Decimal]:
    return {one.invoice_id: one.counted for one in await paydue.payments()}


async def test_a_share_is_refunded_by_itself_and_never_the_money_of_the_others(
    paydue: Paydue,
) -> None:
    invoice, _ = await _an_overpayment(paydue)
    assert await _shares(paydue) == {invoice: 100, None: 30}
    ids = {one.invoice_id: one.id for one in await paydue.payments()}

    too_much = await _refund(paydue, ids[None], 31)
    credit = await _refund(paydue, ids[None], 10)
    named = await _refund(paydue, ids[invoice], 60)

    assert too_much[1]["Message"] == "amount: 30.00 of it is left to refund"
    assert (credit[1]["state"], named[1]["state"]) == ("succeeded", "succeeded")
    assert await _shares(paydue) == {invoice: 40, None: 20}
    assert (await _refund(paydue, ids[invoice], 41))[0] == 400


async def test_a_lost_answer_promises_the_share_it_is_of(paydue: Paydue) -> None:
    invoice, _ = await _an_overpayment(paydue)
    ids = {one.invoice_id: one.id for one in await paydue.payments()}
    paydue.sandbox.fault(REFUND, kind="drop", when="before", times=1)
    await _refund(paydue, ids[invoice], 60)

    of_invoice = await _refund(paydue, ids[invoice], 41)
    of_credit = await _refund(paydue, ids[None], 30)

    assert of_invoice[1]["Message"] == "amount: 40.00 of it is left to refund"
    assert of_credit[1]["state"] == "succeeded"


async def test_an_intent_is_refunded_whole_or_for_one_of_its_invoices(
    paydue: Paydue, stripe_url: str, database_url: str, tmp_path: Path
) -> None:
    run = command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)
    invoice, intent = await _an_overpayment(paydue)
    share = str((await paydue.payments(invoice))[0].id)

    part = await run("payment", "refund", intent, "--amount", "50", "--reason", WHY)
    assert (part.code, part.err) == (DONE, "")
    assert part.out == "refund request 1 of 50.00 USD is succeeded\n"
    assert await _shares(paydue) == {invoice: 80, None: 0}
    of_share = await run(
        "payment", "refund", intent, "--invoice", str(invoice), "--amount", "1", "--reason", WHY
    )
    by_id = await run("payment", "refund", share, "--reason", WHY, "--json")
    wrong = await run("payment", "refund", intent, "--invoice", "4711", "--reason", WHY)

    assert (of_share.code, by_id.code) == (DONE, DONE)
    assert '"amount":"79.00"' in by_id.out
    assert (wrong.code, wrong.err) == (
        FAILED, f"paydue: {intent} pays nothing of invoice 4711\n",
    )  # fmt: skip
    assert [one["amount"] for one in _refunds(paydue)] == [5000, 100, 7900]


async def test_without_an_answer_the_command_says_so(
    paydue: Paydue, stripe_url: str, database_url: str, tmp_path: Path
) -> None:
    run = command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)
    payment = await _a_payment(paydue)
    paydue.sandbox.fault(REFUND, kind="drop", when="after", times=1)

    said = await run("payment", "refund", payment.intent_id, "--reason", WHY)

    assert said.code == FAILED
    assert said.out.startswith("refund request 1 of 120.00 USD is unknown: ")
