"""Money that goes back: a refund reduces the share it is for, and the ledger says what is left."""

import itertools
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from app.rules.payment import PaymentStatus
from tests.harness import Paydue, event

pytestmark = pytest.mark.anyio

_numbers = itertools.count(1)


def _refund(of: Mapping[str, Any], amount: int, **more: Any) -> dict[str, Any]:
    """A refund as an event carries it."""
    return {
        "id": f"re_back_{next(_numbers)}", "object": "refund", "amount": amount,
        "currency": of["currency"], "status": "succeeded", "payment_intent": of["id"],
        "charge": of["latest_charge"], "reason": None, "metadata": {}, **more,
    }  # fmt: skip


async def _an_overpaid_invoice(paydue: Paydue) -> tuple[int, dict[str, Any]]:
    """An invoice of 120.00, and a payment of 200.00 for it."""
    invoice = await paydue.an_invoice("120.00")
    thing = await paydue.own_intent(invoice, amount=20000)
    await paydue.deliver(event("payment_intent.succeeded", thing))
    return invoice, thing


async def _counted(paydue: Paydue) -> dict[int | None, Decimal]:
    return {one.invoice_id: one.counted for one in await paydue.payments()}


def _ours(paydue: Paydue, invoice: int) -> dict[str, Any]:
    return {"paydue_installation": paydue.node.installation, "invoice_id": str(invoice)}


async def test_a_refund_of_ours_reduces_the_invoice_it_names_and_not_the_credit(
    paydue: Paydue,
) -> None:
    invoice, thing = await _an_overpaid_invoice(paydue)
    given_back = _refund(thing, 3000, metadata=_ours(paydue, invoice))

    await paydue.deliver(event("refund.created", given_back))
    assert await _counted(paydue) == {invoice: 90, None: 80}
    assert (await paydue.invoice(invoice)).amountdue == 30

    await paydue.deliver(event("refund.failed", {**given_back, "status": "failed"}))
    assert await _counted(paydue) == {invoice: 120, None: 80}
    assert (await paydue.invoice(invoice)).amountdue == 0


@pytest.mark.parametrize("installation", [None, "another"])
async def test_a_refund_that_is_not_ours_reduces_the_credit_first(
    paydue: Paydue, installation: str | None
) -> None:
    invoice, thing = await _an_overpaid_invoice(paydue)
    named = {"invoice_id": str(invoice)}
    if installation:
        named["paydue_installation"] = installation

    await paydue.deliver(event("refund.created", _refund(thing, 3000, metadata=named)))

    assert await _counted(paydue) == {invoice: 120, None: 50}


async def test_a_refund_stays_with_its_invoice_when_the_rest_is_assigned(paydue: Paydue) -> None:
    invoice, thing = await _an_overpaid_invoice(paydue)
    named = _refund(thing, 3000, metadata=_ours(paydue, invoice))
    await paydue.deliver(event("refund.created", named))
    client = (await paydue.invoice(invoice)).client_id
    other = await paydue.an_invoice("50.00", client=client)
    credit = next(one for one in await paydue.payments() if one.invoice_id is None)

    headers = await paydue.access()
    body = {"id": credit.id, "invoice_id": other}
    async with paydue.http.post("/api/InvoicePayment", json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()

    assert await _counted(paydue) == {invoice: 90, other: 50, None: 30}
    (share,) = await paydue.payments(invoice)
    assert (share.status, share.amount_refunded) == (PaymentStatus.PART_REFUNDED, 30)
