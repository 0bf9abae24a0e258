"""What never happens to templates, and what a person said about a payment's invoice."""

from decimal import Decimal

import pytest
from sqlalchemy import insert

from tests.harness import INVOICES, Paydue, event, intent, today

pytestmark = pytest.mark.anyio


async def post(paydue: Paydue, path: str, body: object) -> None:
    headers = await paydue.access()
    async with paydue.http.post(path, json=[body], headers=headers) as answer:
        assert answer.status == 200, await answer.text()


async def test_a_payment_that_somebody_took_from_an_invoice_is_not_put_back(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    pending = intent(invoice, "processing", id="pi_1")
    await paydue.deliver(event("payment_intent.processing", pending))
    (payment,) = await paydue.payments(invoice)

    await post(paydue, "/api/InvoicePayment", {"id": payment.id, "invoice_id": None})
    done = await paydue.deliver(event("payment_intent.succeeded", intent(invoice, id="pi_1")))

    assert done == [200]
    (after,) = await paydue.payments()
    assert (after.invoice_id, after.counted) == (None, 120)
    assert (await paydue.invoice(invoice)).amountpaid == 0


async def test_a_payment_taken_back_can_be_given_to_another_invoice(paydue: Paydue) -> None:
    wrong, right = await paydue.an_invoice(), await paydue.an_invoice()
    await paydue.deliver(event("payment_intent.succeeded", intent(wrong, id="pi_1")))
    (payment,) = await paydue.payments()

    await post(paydue, "/api/InvoicePayment", {"id": payment.id, "invoice_id": right})
    await paydue.deliver(event("payment_intent.succeeded", intent(wrong, id="pi_1")))

    assert (await paydue.invoice(wrong)).amountdue == 120
    assert (await paydue.invoice(right)).amountdue == 0


async def test_autopay_and_webhooks_pass_templates_by(paydue: Paydue) -> None:
    client = await paydue.a_client()
    template = {
        "id": -2, "client_id": client, "duedate": today(), "is_recurring_invoice": True,
        "total": Decimal(120), "amountdue": Decimal(120), "take_auto_payment": True,
        "include_in_autopay": True,
    }  # fmt: skip
    async with paydue.database.transaction() as tx:
        await tx.execute(insert(INVOICES).values(template))

    await paydue.autopay()
    await paydue.deliver(event("payment_intent.succeeded", intent(-2)))

    assert await paydue.attempts(-2) == []
    after = await paydue.invoice(-2)
    assert (after.amountpaid, after.amountdue) == (0, 120)
