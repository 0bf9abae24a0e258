"""Money that no invoice has: Paydue says which invoices it may be for, and a person confirms."""

from decimal import Decimal
from typing import Any

import pytest

from tests.harness import Paydue, event, intent

pytestmark = pytest.mark.anyio

SUCCEEDED = "payment_intent.succeeded"


async def suggested(paydue: Paydue) -> list[tuple[list[int], str]]:
    (payment,) = [one for one in await paydue.payments() if one.counted and not one.invoice_id]
    access = await paydue.access()
    path = f"/api/InvoicePayment/{payment.id}/suggestions"
    async with paydue.http.get(path, headers=access) as answer:
        assert answer.status == 200, await answer.text()
        return [(one["invoice_ids"], one["reason"]) for one in await answer.json()]


async def paid(paydue: Paydue, invoice: int, amount: int, **more: Any) -> None:
    thing = await paydue.own_intent(invoice, amount=amount, metadata={}, **more)
    await paydue.deliver(event(SUCCEEDED, thing))


async def test_the_same_amount_and_the_sum_of_some_are_suggested(paydue: Paydue) -> None:
    client = await paydue.a_client()
    totals = ("30.00", "70.00", "100.00", "5.00")
    small, large, whole, _ = [await paydue.an_invoice(one, client=client) for one in totals]

    await paid(paydue, small, 10_000)

    assert await suggested(paydue) == [
        ([whole], "the same amount"),
        ([small, large], "the sum of 2 open invoices"),
    ]


async def test_a_number_that_nobody_believes_is_suggested(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("120.00")
    stranger = intent(invoice, amount=50, customer="cus_of_nobody")

    await paydue.deliver(event(SUCCEEDED, stranger))

    assert await suggested(paydue) == [([invoice], "the payment names it, without proof")]


async def test_nothing_is_suggested_where_nothing_fits(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("120.00")
    await paydue.an_invoice("77.00")  # another client's

    await paid(paydue, invoice, 7_700)

    assert await suggested(paydue) == []


async def test_a_suggestion_is_confirmed_with_one_call(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("100.00")
    await paid(paydue, invoice, 10_000)
    ((invoices, _),) = await suggested(paydue)
    (payment,) = await paydue.payments()

    body = [{"id": payment.id, "invoice_id": invoices[0]}]
    headers = await paydue.access()
    async with paydue.http.post("/api/InvoicePayment", json=body, headers=headers) as answer:
        assert answer.status == 200

    assert (await paydue.invoice(invoice)).amountdue == Decimal(0)
