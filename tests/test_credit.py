"""A client's credit: it is shown where support looks, and applied to another invoice."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.payments.status import status
from tests.harness import Paydue, event
from tests.test_cli import DONE, FAILED, Command, command

pytestmark = pytest.mark.anyio


@pytest.fixture
def run(database_url: str, stripe_url: str, tmp_path: Path) -> Command:
    return command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url, COLUMNS="200")


async def _an_overpayment(paydue: Paydue) -> tuple[int, Mapping[str, Any], int]:
    """An invoice of 120.00 that got 200.00: its id, the intent, and the credit's id."""
    invoice = await paydue.an_invoice("120.00")
    thing = await paydue.own_intent(invoice, amount=20000)
    await paydue.deliver(event("payment_intent.succeeded", thing))
    (credit,) = [
        one
        for one in await paydue.payments()
        if (one.intent_id, one.invoice_id) == (thing["id"], None)
    ]
    return invoice, thing, credit.id


async def _another(paydue: Paydue, invoice: int, total: str) -> int:
    return await paydue.an_invoice(total, client=(await paydue.invoice(invoice)).client_id)


async def _counted(paydue: Paydue) -> dict[int | None, Decimal]:
    return {one.invoice_id: one.counted for one in await paydue.payments()}


async def test_credit_is_counted_and_warned_of(paydue: Paydue, run: Command) -> None:
    _, thing, _ = await _an_overpayment(paydue)
    await _an_overpayment(paydue)

    async with paydue.database.snapshot() as tx:
        found = await status(tx, now=paydue.database.now(), timezone="UTC")
    said = await run("payment", "find", thing["id"])

    assert (found["unapplied"], found["unapplied_by_currency"]) == (2, {"usd": "160.00"})
    assert "80.00 USD of it is applied to no invoice" in said.out


async def test_a_part_of_the_credit_is_applied_and_the_rest_stays(
    paydue: Paydue, run: Command
) -> None:
    invoice, _, credit = await _an_overpayment(paydue)
    other = await _another(paydue, invoice, "70.00")

    part = await run("payment", "apply", str(credit), str(other), "--amount", "20")
    assert (part.code, part.err) == (DONE, "")
    assert await _counted(paydue) == {invoice: 120, other: 20, None: 60}
    (rest,) = [one.id for one in await paydue.payments() if one.invoice_id is None]
    whole = await run("payment", "apply", str(rest), str(other))

    assert whole.out == f"payment {rest} is applied to invoice {other}\n"
    assert await _counted(paydue) == {invoice: 120, other: 70, None: 10}
    assert (await paydue.invoice(other)).amountdue == 0


@pytest.mark.parametrize(
    ("amount", "total", "said"),
    [
        ("80.01", "100.00", "amount: payment {credit} has 80.00"),
        ("70.01", "70.00", "amount: invoice {other} owes 70.00"),
        ("0", "70.00", "amount: is more than nothing"),
        ("0.001", "70.00", "amount: 0.001 is not a whole multiple of 0.01 USD"),
    ],
)
async def test_no_more_is_applied_than_there_is_and_than_is_owed(
    paydue: Paydue, run: Command, amount: str, total: str, said: str
) -> None:
    invoice, _, credit = await _an_overpayment(paydue)
    other = await _another(paydue, invoice, total)

    found = await run("payment", "apply", str(credit), str(other), "--amount", amount)

    assert (found.code, found.err) == (
        FAILED, f"paydue: {said.format(credit=credit, other=other)}\n",
    )  # fmt: skip
    assert await _counted(paydue) == {invoice: 120, None: 80}


async def test_credit_that_was_refunded_is_not_applied(paydue: Paydue, run: Command) -> None:
    invoice, thing, credit = await _an_overpayment(paydue)
    other = await _another(paydue, invoice, "70.00")
    refund = {
        "id": "re_credit", "object": "refund", "amount": 5000, "currency": "usd",
        "status": "succeeded", "payment_intent": thing["id"], "charge": thing["latest_charge"],
    }  # fmt: skip
    await paydue.deliver(event("refund.created", refund))

    await run("payment", "apply", str(credit), str(other))

    assert await _counted(paydue) == {invoice: 120, other: 30, None: 0}


async def test_a_part_of_a_payment_by_hand_is_applied_too(paydue: Paydue, run: Command) -> None:
    invoice = await paydue.an_invoice("100.00")
    other = await _another(paydue, invoice, "70.00")
    headers = await paydue.access()
    body = {"invoice_id": invoice, "amount": 130}
    async with paydue.http.post("/api/InvoicePayment", json=body, headers=headers) as answer:
        assert answer.status in (200, 201)
    (credit,) = [one.id for one in await paydue.payments() if one.invoice_id is None]

    await run("payment", "apply", str(credit), str(other), "--amount", "12")

    assert await _counted(paydue) == {invoice: 100, other: 12, None: 18}
