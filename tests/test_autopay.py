"""A due invoice is charged once, whatever the card says and whatever breaks on the way."""

import asyncio
from datetime import timedelta

import pytest

from tests.harness import Paydue, today

pytestmark = pytest.mark.anyio

CONFIRM = "POST /v1/payment_intents/{id}/confirm"
CREATE = "POST /v1/payment_intents"


async def test_a_due_invoice_is_charged_and_paid(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice("120.00")

    report = await paydue.autopay()

    assert [entry["invoice_id"] for entry in report["charged"]] == [invoice]
    assert report["charged"][0]["amount"] == "120.00"
    row = await paydue.invoice(invoice)
    assert (row.amountdue, row.paymentstatus) == (0, 2)
    (payment,) = await paydue.payments(invoice)
    assert payment.intent_id == report["charged"][0]["intent_id"]
    assert '"payment_intent"' in payment.intent_response
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}


async def test_a_second_run_charges_nothing(paydue: Paydue) -> None:
    await paydue.an_invoice()
    await paydue.autopay()

    report = await paydue.autopay()

    assert report["charged"] == []
    assert len(paydue.sandbox.ledger.charges()) == 1


async def test_a_soft_decline_is_tried_again_on_its_day_on_the_same_intent(paydue: Paydue) -> None:
    client = await paydue.a_client(["insufficient_funds", "succeed"])
    invoice = await paydue.an_invoice(client=client)
    first = await paydue.autopay(today())
    (declined,) = first["declined"]
    assert declined["reason"] == "insufficient_funds"
    assert declined["next_try"] == str(today() + timedelta(days=1))

    assert (await paydue.autopay(today()))["charged"] == []
    second = await paydue.autopay(today() + timedelta(days=1))

    assert [entry["intent_id"] for entry in second["charged"]] == [declined["intent_id"]]
    assert [row.state for row in await paydue.attempts(invoice)] == ["declined", "succeeded"]
    assert len(paydue.sandbox.ledger.charges()) == 1


async def test_a_hard_decline_is_never_tried_again(paydue: Paydue) -> None:
    client = await paydue.a_client("stolen_card")
    await paydue.an_invoice(client=client)
    (declined,) = (await paydue.autopay())["declined"]
    assert declined["next_try"] is None

    (skipped,) = (await paydue.autopay(today() + timedelta(days=30)))["skipped"]

    assert "declined for good" in skipped["reason"]


@pytest.mark.parametrize("kind", ["drop", "truncate", "html200", "status"])
@pytest.mark.parametrize("endpoint", [CREATE, CONFIRM])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_answer_never_means_a_second_charge(
    paydue: Paydue, endpoint: str, when: str, kind: str
) -> None:
    invoice = await paydue.an_invoice()
    more = {"status": 500} if kind == "status" else {}
    paydue.sandbox.fault(endpoint, kind=kind, when=when, times=1, **more)

    for _ in range(3):
        await paydue.autopay()
        paydue.sandbox.clock.advance(25 * 3600)

    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}
    assert (await paydue.invoice(invoice)).amountdue == 0
    assert [row.state for row in await paydue.attempts(invoice)] == ["succeeded"]


async def test_five_runs_at_once_charge_each_invoice_once(paydue: Paydue) -> None:
    client = await paydue.a_client()
    invoices = [await paydue.an_invoice(client=client) for _ in range(4)]
    invoices += [await paydue.an_invoice() for _ in range(4)]

    reports = await asyncio.gather(*(paydue.autopay() for _ in range(5)))

    charged = [entry["invoice_id"] for report in reports for entry in report["charged"]]
    assert sorted(charged) == sorted(invoices)
    assert len(paydue.sandbox.ledger.charges()) == 8
    assert paydue.sandbox.ledger.double_charges() == {}
