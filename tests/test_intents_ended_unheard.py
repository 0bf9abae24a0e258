"""An intent that somebody ends while the answer about it is missing."""

from typing import Any

import pytest
from sqlalchemy import update

from app.payments.autopay.leases import CUSTOMER_LEASES
from app.payments.stripe.gateway import Gateway
from tests.harness import Paydue, event, today
from tests.test_pay_links import a_link, press
from tests.test_reconcile import stripe

pytestmark = pytest.mark.anyio

CREATE = "POST /v1/payment_intents"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
RETRIEVE = "GET /v1/payment_intents/{id}"
ENDS = {"canceled": "cancel", "succeeded": "confirm"}


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("is_late", [False, True], ids=["in order", "created comes last"])
async def test_an_attempt_ends_with_the_intent_of_its_unanswered_create(
    paydue: Paydue, stripe_url: str, state: str, is_late: bool
) -> None:
    invoice = await paydue.an_invoice()
    created = await created_unheard(paydue)
    method = {"payment_method": created["customer"].replace("cus", "pm")}
    path = f"/v1/payment_intents/{created['id']}/{ENDS[state]}"
    ended = await stripe(stripe_url, path, **(method if state == "succeeded" else {}))
    events = [event("payment_intent.created", created), event(f"payment_intent.{state}", ended)]

    await paydue.deliver(*(reversed(events) if is_late else events))

    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.intent_id) == (state, created["id"])
    await paydue.autopay()
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}
    assert (await paydue.invoice(invoice)).amountdue == 0


@pytest.mark.parametrize("is_heard", [True, False], ids=["heard", "event lost"])
async def test_a_decline_counts_although_somebody_cancelled_the_intent_before_we_heard_of_it(
    paydue: Paydue, stripe_url: str, is_heard: bool
) -> None:
    client = await paydue.a_client(behaviour="insufficient_funds")
    invoice = await paydue.an_invoice(client=client)
    paydue.sandbox.fault(CONFIRM, kind="drop", when="after", times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    (unknown,) = (await paydue.autopay(today()))["unknown"]
    paydue.sandbox.clear_faults()
    intent_id = unknown["intent_id"]
    canceled = await stripe(stripe_url, f"/v1/payment_intents/{intent_id}/cancel")
    if is_heard:
        await paydue.deliver(event("payment_intent.canceled", canceled))

    await paydue.recover()
    await paydue.autopay(today())
    again = await paydue.autopay(today())

    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.decline_code) == ("declined", "insufficient_funds")
    assert attempt.next_try_on is not None
    assert again["declined"] == []
    assert len(paydue.sandbox.state["charges"].rows()) == 1


async def test_a_link_leaves_the_intent_of_a_charge_that_began_while_it_looked(
    paydue: Paydue, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice = await paydue.an_invoice()
    path = await a_link(paydue, invoice)
    listed = Gateway.sessions

    async def slept(self: Gateway, customer: str, *more: Any, **named: Any) -> Any:
        monkeypatch.setattr(Gateway, "sessions", listed)  # the link slept here: its lease ended
        async with paydue.database.transaction() as tx:
            await tx.execute(update(CUSTOMER_LEASES).values(until=paydue.database.now()))
        paydue.sandbox.fault(CREATE, kind="drop", when="after", times=50)
        await paydue.autopay()
        paydue.sandbox.clear_faults()
        return await listed(self, customer, *more, **named)

    monkeypatch.setattr(Gateway, "sessions", slept)
    pressed = await press(paydue, path)
    (intent,) = paydue.sandbox.state["payment_intents"].rows()
    await paydue.autopay()

    assert pressed.status == 409
    assert "An automatic payment has just begun" in pressed.text
    assert intent["status"] != "canceled"
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}


async def created_unheard(paydue: Paydue) -> dict[str, Any]:
    """The intent of a run whose create was heard, and whose answers were all lost."""
    paydue.sandbox.fault(CREATE, kind="drop", when="after", times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    (created,) = paydue.sandbox.state["payment_intents"].rows()
    return dict(created)
