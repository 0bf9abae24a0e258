"""Acts of people and answers of Stripe at each single call of a run: nobody pays twice."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.errors import AppError
from app.payments.stripe import gateway
from tests.gate import Gate
from tests.harness import ATTEMPTS, CLIENTS, Paydue, settings_for, today

pytestmark = pytest.mark.anyio

DUE = 12_000
TOMORROW = today() + timedelta(days=1)

# The calls of a run that charges one invoice, as the gate sees them.
CALLS = {
    "create": ("POST", "/payment_intents"),
    "sessions": ("GET", "/checkout/sessions"),
    "intents": ("GET", "/payment_intents"),
    "confirm": ("POST", "/confirm"),
}


# --- acts of people -------------------------------------------------------------------------------


async def _paid_by_hand(paydue: Paydue, invoice: int) -> int:
    status = await posted(paydue, "InvoicePayment", invoice_id=invoice, amount=120)
    return DUE if status == 200 else 0


async def _paid_in_part_by_hand(paydue: Paydue, invoice: int) -> int:
    status = await posted(paydue, "InvoicePayment", invoice_id=invoice, amount=50)
    return 5_000 if status == 200 else 0


async def _credited(paydue: Paydue, invoice: int) -> int:
    client = (await paydue.invoice(invoice)).client_id
    note = await paydue.an_invoice(
        "-120.00", client=client, take_auto_payment=False, amountdue=0, invoicetype=1
    )
    status = await posted(
        paydue, "InvoicePayment", invoice_id=invoice, amount=120, credit_note_id=note
    )
    return DUE if status == 200 else 0


async def _unapplied_money_assigned(paydue: Paydue, invoice: int) -> int:
    """Money that fits no invoice, until a person gives it to this one: more than it owes."""
    row = await paydue.invoice(invoice)
    (client,) = await paydue.rows(CLIENTS, CLIENTS.c.id == row.client_id)
    paydue.sandbox.strangers.pay(77_000, customer=client.stripe_customer_id)
    await paydue.reconcile()
    (credit,) = [one for one in await paydue.payments() if one.invoice_id is None]
    status = await posted(paydue, "InvoicePayment", id=credit.id, invoice_id=invoice)
    return DUE if status == 200 else 0


async def _switched_off(paydue: Paydue, invoice: int) -> int:
    status = await posted(paydue, "Invoice", id=invoice, take_auto_payment=False)
    assert status in (200, 201)
    return 0


ACTS = [
    _paid_by_hand,
    _paid_in_part_by_hand,
    _credited,
    _unapplied_money_assigned,
    _switched_off,
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("act", ACTS)
async def test_an_invoice_is_settled_once_whatever_a_person_does_during_a_run(
    paydue: Paydue, gate: Gate, database_url: str,
    act: Callable[[Paydue, int], Awaitable[int]], call: str,
) -> None:  # fmt: skip
    await paydue.reconcile()
    invoice = await paydue.an_invoice()
    held = gate.hold(*CALLS[call])

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        group.create_task(node.autopay())
        await held.came()
        by_hand = await act(paydue, invoice)
        held.let_go()
    await paydue.autopay(TOMORROW)

    by_autopay = paydue.sandbox.ledger.net_by_invoice().get(str(invoice), 0)
    if act is _switched_off:
        assert by_autopay == (DUE if call == "confirm" else 0)
    else:
        assert by_autopay + by_hand == DUE
        row = await paydue.invoice(invoice)
        assert (row.amountpaid, row.amountdue) == (120, 0)


# --- answers of Stripe ----------------------------------------------------------------------------

ROUTES = [
    "GET /v1/account",
    "GET /v1/customers/{id}",
    "POST /v1/payment_intents",
    "GET /v1/checkout/sessions",
    "GET /v1/payment_intents",
    "POST /v1/payment_intents/{id}/confirm",
]
FAULTS: dict[str, dict[str, Any]] = {
    "rate limited": {"kind": "rate_limit", "times": 60},
    "html after": {"kind": "html200", "when": "after", "times": 60},
    "cut off after": {"kind": "truncate", "when": "after", "times": 60},
    "null": {"kind": "answer", "body": None, "times": 60},
    "a list of null": {"kind": "answer", "body": {"object": "list", "data": [None]}, "times": 60},
    "no list": {"kind": "answer", "body": {"error": None}, "times": 60},
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_one_charge_goes_out_whatever_stripe_answers_to_one_call_of_a_run(
    paydue: Paydue, route: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "_LIMITED_WAIT_S", 0.01)
    await paydue.reconcile()
    client = await paydue.a_client(stripe_payment_method_id=None)
    invoice = await paydue.an_invoice(client=client)

    paydue.sandbox.fault(route, **FAULTS[fault])
    with contextlib.suppress(AppError):
        await paydue.autopay()
    with contextlib.suppress(AppError):
        await paydue.autopay()
    paydue.sandbox.clear_faults()
    await asked_now(paydue)
    await paydue.autopay(TOMORROW)

    assert [one.amount for one in paydue.sandbox.ledger.charges()] == [DUE]
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue) == (120, 0)


# --- given ----------------------------------------------------------------------------------------


async def posted(paydue: Paydue, path: str, **record: Any) -> int:
    headers = await paydue.access()
    async with paydue.http.post(f"/api/{path}", json=[record], headers=headers) as answer:
        await answer.read()
        return answer.status


async def asked_now(paydue: Paydue) -> None:
    """As if the time to ask about open attempts had come."""
    then = paydue.database.now() - timedelta(minutes=1)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(check_at=then, lease_until=then))
