"""A refund or dispute of a payment that no webhook told of: Stripe is asked for the payment."""

from datetime import timedelta
from typing import Any

import pytest

from app.sandbox.transport.request_pipeline import LoggedRequest
from tests.harness import Paydue, event
from tests.test_reconcile import a_payment, charged

pytestmark = pytest.mark.anyio


async def test_a_refund_of_an_unknown_intent_is_applied_once_stripe_has_shown_the_intent(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    refund = await a_refund(paydue, stripe_url, invoice)

    assert await paydue.deliver(refund) == [200]
    assert [one.state for one in await paydue.events()] == ["parked"]
    done = await paydue.replay()

    assert (done.applied, done.parked) == (1, 0)
    assert [one.state for one in await paydue.events()] == ["applied"]
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue, row.payments_reversed) == (100, 20, 1)
    (payment,) = await paydue.payments(invoice)
    assert (payment.intent_id, payment.amount_refunded) == (charged(paydue), 20)


@pytest.mark.parametrize(("status", "due"), [("lost", 120), ("won", 0)])
async def test_a_dispute_of_an_unknown_intent_is_applied_too(
    paydue: Paydue, stripe_url: str, status: str, due: int
) -> None:
    invoice = await paydue.an_invoice("120.00")
    await a_payment(paydue, stripe_url, invoice)
    dispute = paydue.sandbox.open_dispute(charged(paydue))
    paydue.sandbox.close_dispute(dispute["id"], status)
    (closed,) = [one for one in paydue.sandbox.events if one["type"] == "charge.dispute.closed"]

    await paydue.deliver(closed)
    await paydue.replay()

    assert [one.state for one in await paydue.events()] == ["applied"]
    assert (await paydue.invoice(invoice)).amountdue == due


async def test_a_charges_total_of_an_unknown_intent_is_applied_too(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    await a_payment(paydue, stripe_url, invoice)
    paydue.sandbox.refund(charged(paydue), amount=2000)
    (total,) = [one for one in paydue.sandbox.events if one["type"] == "charge.refunded"]

    await paydue.deliver(total)
    await paydue.replay()

    assert (await paydue.invoice(invoice)).amountdue == 20


async def test_stripe_is_not_asked_for_an_intent_that_is_known_by_then(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    refund = await a_refund(paydue, stripe_url, invoice)
    await paydue.deliver(refund)
    await paydue.deliver(
        *[one for one in paydue.sandbox.events if one["type"] == "payment_intent.succeeded"]
    )

    await paydue.replay()

    assert retrievals(paydue) == []
    assert (await paydue.invoice(invoice)).amountdue == 20


async def test_a_dead_letter_says_for_what_stripe_was_asked(paydue: Paydue) -> None:
    await paydue.deliver(event("refund.created", STRAY))

    for day in range(1, 13):
        await paydue.replay(later=timedelta(days=2 * day))

    (row,) = await paydue.events()
    assert row.state == "dead"
    assert "no payment is known for this intent yet" in row.error
    assert "Stripe was asked for pi_stray: No such payment_intent" in row.error


async def test_while_stripe_is_down_the_event_stays_parked_and_its_neighbours_go_on(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    refund = await a_refund(paydue, stripe_url, invoice)
    other = {**STRAY, "id": "re_other", "payment_intent": "pi_other"}
    await paydue.deliver(refund, event("refund.created", other))
    paydue.sandbox.fault("GET /v1/payment_intents/{id}", kind="status", status=503, times=2)

    done = await paydue.replay()

    assert (done.applied, done.parked) == (0, 2)
    assert all("Stripe was asked for" in one.error for one in await paydue.events())
    await paydue.replay(later=timedelta(days=3))
    assert (await paydue.invoice(invoice)).amountdue == 20


STRAY = {
    "id": "re_stray", "object": "refund", "amount": 2000, "currency": "usd", "status": "succeeded",
    "payment_intent": "pi_stray", "charge": None,
}  # fmt: skip


async def a_refund(paydue: Paydue, stripe_url: str, invoice: int) -> dict[str, Any]:
    """The event of a refund whose payment no webhook told of."""
    await a_payment(paydue, stripe_url, invoice)
    paydue.sandbox.refund(charged(paydue), amount=2000)
    (refund,) = [one for one in paydue.sandbox.events if one["type"] == "refund.created"]
    return dict(refund)


def retrievals(paydue: Paydue) -> list[LoggedRequest]:
    return [one for one in paydue.sandbox.requests if one.path.startswith("/v1/payment_intents/pi")]
