"""A person has a declined invoice charged now: one call, with every guard of a run before it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.storage.column_types import table_of
from app.storage.tables.invoices import InvoiceChange
from tests.harness import CLIENTS, Paydue, event, today
from tests.test_verdicts import method_of, with_earlier_attempts

pytestmark = pytest.mark.anyio

CHANGES = table_of(InvoiceChange)
CREATE = "POST /v1/payment_intents"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
REASON = "the customer has freed the card"


async def retried(paydue: Paydue, invoice: int, reason: Any = REASON) -> tuple[int, dict[str, Any]]:
    headers = await paydue.access()
    path, body = f"/api/Invoice/{invoice}/retry", {"reason": reason}
    async with paydue.http.post(path, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def refused(paydue: Paydue, invoice: int, why: str) -> None:
    """The answer is a 400 with the reason, nothing is sent, and nothing is written down."""
    before = [row.number for row in await paydue.attempts(invoice)]
    charges = len(paydue.sandbox.ledger.charges())

    status, answer = await retried(paydue, invoice)

    assert (status, answer["Message"]) == (400, f"invoice {invoice} is not charged: {why}")
    assert [row.number for row in await paydue.attempts(invoice)] == before
    assert len(paydue.sandbox.ledger.charges()) == charges


# --- charged ---------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", ["fraudulent", "insufficient_funds"])
async def test_a_retry_charges_now_on_the_same_intent_and_its_reason_is_audited(
    paydue: Paydue, behaviour: str
) -> None:
    client = await paydue.a_client([behaviour, "succeed"])
    invoice = await paydue.an_invoice(client=client)
    (declined,) = (await paydue.autopay())["declined"]

    status, answer = await retried(paydue, invoice)

    assert status == 200
    assert answer == {
        "outcome": "charged", "invoice_id": invoice, "intent_id": declined["intent_id"],
        "amount": "120.00", "currency": "usd", "reason": None, "next_try": None,
        "rule": None, "change": None,
    }  # fmt: skip
    assert (await paydue.invoice(invoice)).amountdue == 0
    rows = await paydue.rows(CHANGES, CHANGES.c.field_name == "payment_retry")
    assert [(row.invoice_id, row.new_value, row.who) for row in rows] == [
        (invoice, REASON, "tests")
    ]
    assert rows[0].old_value.startswith(behaviour)


async def test_a_retry_that_is_declined_too_answers_the_decline(paydue: Paydue) -> None:
    client = await paydue.a_client("insufficient_funds")
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay()

    status, answer = await retried(paydue, invoice)

    assert (status, answer["outcome"], answer["reason"]) == (200, "declined", "insufficient_funds")
    assert answer["next_try"] == (today() + timedelta(days=2)).isoformat()
    assert [row.number for row in await paydue.attempts(invoice)] == [1, 2]


async def test_a_retry_of_a_refused_request_answers_that_it_is_held(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("0.30")
    await paydue.autopay()

    status, answer = await retried(paydue, invoice)

    assert (status, answer["outcome"]) == (200, "held")
    assert answer["reason"].startswith("amount_too_small: ")


async def test_a_retry_without_an_answer_is_unknown_and_resolved_without_a_second_charge(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CONFIRM, kind="drop", when="after", times=50)
    paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=50)
    status, answer = await retried(paydue, invoice)
    paydue.sandbox.clear_faults()

    again, refusal = await retried(paydue, invoice)
    await paydue.autopay()

    assert (status, answer["outcome"]) == (200, "unknown")
    assert again == 409
    assert "attempt 1 waits for Stripe's answer" in refusal["Message"]
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}


async def test_ten_retries_at_once_charge_once(paydue: Paydue) -> None:
    client = await paydue.a_client(["insufficient_funds", "succeed"])
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay()

    answers = await asyncio.gather(*(retried(paydue, invoice) for _ in range(10)))

    charged = [answer for status, answer in answers if status == 200]
    assert [one["outcome"] for one in charged] == ["charged"]
    assert {status for status, _ in answers} <= {200, 400, 409}
    assert len(paydue.sandbox.ledger.charges()) == 1


async def test_the_same_request_sent_again_with_its_key_is_answered_as_before(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    headers = {**await paydue.access(), "Idempotency-Key": "retry-1"}
    answers = []
    for _ in range(2):
        async with paydue.http.post(
            f"/api/Invoice/{invoice}/retry", json={"reason": REASON}, headers=headers
        ) as answer:
            answers.append((answer.status, await answer.json()))

    assert answers[0] == answers[1]
    assert answers[0][1]["outcome"] == "charged"


# --- guarded ---------------------------------------------------------------------------------


async def test_a_retry_is_refused_where_a_run_would_charge_nothing_either(paydue: Paydue) -> None:
    paid = await paydue.an_invoice(amountdue=0)
    off = await paydue.an_invoice(take_auto_payment=False)
    voided = await paydue.an_invoice(voided=True)
    later = today() + timedelta(days=9)
    early = await paydue.an_invoice(due=later)
    nobodys = await paydue.an_invoice(client=await paydue.a_client(stripe_customer_id=None))

    await refused(paydue, paid, "nothing is left to pay")
    await refused(paydue, off, "autopay is switched off for it")
    await refused(paydue, voided, "the invoice is voided")
    await refused(paydue, early, f"due on {later} where the client is")
    await refused(paydue, nobodys, "the client has no stripe_customer_id")
    assert await paydue.rows(CHANGES, CHANGES.c.field_name == "payment_retry") == []


async def test_a_retry_tries_no_card_that_the_network_forbids_and_tries_another(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client(["stolen_card", "succeed"])
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay()
    why = "the card network forbids another try of this card"
    await refused(paydue, invoice, why)

    customer = (await paydue.attempts(invoice))[0].customer_id
    paydue.sandbox.add_payment_method("pm_new", customer=customer, behaviour=["succeed"])
    async with paydue.database.transaction() as tx:
        await tx.execute(
            update(CLIENTS).where(CLIENTS.c.id == client).values(stripe_payment_method_id="pm_new")
        )

    assert (await retried(paydue, invoice))[1]["outcome"] == "charged"


async def test_a_retry_stays_within_the_networks_limits(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    method = await method_of(paydue, invoice)
    await with_earlier_attempts(paydue, 15, method, state="declined", decline_source="network")

    await refused(paydue, invoice, "15 declines on this payment method in 24 hours")


async def test_a_payment_that_waits_to_be_booked_stops_a_retry(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    waiting = await paydue.own_intent(invoice, currency="eur")
    await paydue.deliver(event("payment_intent.succeeded", waiting))

    why = (
        f"the payment {waiting['id']} has no invoice and may be for this one: assign it, or say "
        "that it is for none"
    )
    await refused(paydue, invoice, why)


@pytest.mark.parametrize("reason", [None, "", "   ", "x" * 501, ["x"]])
async def test_a_retry_without_a_reason_is_refused(paydue: Paydue, reason: Any) -> None:
    invoice = await paydue.an_invoice()

    status, answer = await retried(paydue, invoice, reason)

    assert status == 400
    assert "reason" in answer["Message"]
    assert await paydue.attempts(invoice) == []


async def test_a_retry_of_an_invoice_that_does_not_exist_is_a_404(paydue: Paydue) -> None:
    assert (await retried(paydue, 404))[0] == 404


async def test_a_key_that_stripe_does_not_accept_is_said(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CREATE, kind="unauthorized", times=1)

    status, answer = await retried(paydue, invoice)

    assert status == 400
    assert answer["Message"].startswith("Stripe does not accept the key")


async def test_only_a_scope_that_opens_everything_opens_a_retry(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    headers = await paydue.access("edit:invoices")

    async with paydue.http.post(
        f"/api/Invoice/{invoice}/retry", json={"reason": REASON}, headers=headers
    ) as answer:
        assert answer.status == 403
    assert await paydue.attempts(invoice) == []
