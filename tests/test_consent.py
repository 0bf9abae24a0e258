"""Consent is read again under the lock before each confirm: whatever changed withdraws a charge."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.sandbox.server import Sandbox
from tests.gate import Gate
from tests.harness import ATTEMPTS, CLIENTS, Paydue, settings_for, today

pytestmark = pytest.mark.anyio

CONFIRM = "POST /v1/payment_intents/{id}/confirm"
RETRIEVE = "GET /v1/payment_intents/{id}"
Change = Callable[[Paydue, int], Awaitable[None]]


async def _saved(paydue: Paydue, path: str, **record: Any) -> tuple[int, str]:
    """The status and the message of a record that is posted."""
    headers = await paydue.access()
    async with paydue.http.post(f"/api/{path}", json=[record], headers=headers) as answer:
        found = await answer.json()
        return answer.status, found.get("Message", "") if isinstance(found, dict) else ""


async def _client_of(paydue: Paydue, invoice: int) -> Any:
    row = await paydue.invoice(invoice)
    return (await paydue.rows(CLIENTS, CLIENTS.c.id == row.client_id))[0]


async def _edit_invoice(paydue: Paydue, invoice: int, **values: Any) -> None:
    status, said = await _saved(paydue, "Invoice", id=invoice, **values)
    assert status in (200, 201), said


async def _edit_client(paydue: Paydue, invoice: int, **values: Any) -> None:
    client = await _client_of(paydue, invoice)
    status, said = await _saved(paydue, "Client", id=client.id, **values)
    assert status in (200, 201), said


async def _flag_off(paydue: Paydue, invoice: int) -> None:
    await _edit_invoice(paydue, invoice, take_auto_payment=False)


async def _review_wanted(paydue: Paydue, invoice: int) -> None:
    await _edit_invoice(paydue, invoice, reviewrequired=True)


async def _approval_awaited(paydue: Paydue, invoice: int) -> None:
    await _edit_invoice(paydue, invoice, approval_status=1)


async def _due_later(paydue: Paydue, invoice: int) -> None:
    await _edit_invoice(paydue, invoice, duedate=f"{today() + timedelta(days=3)}T00:00:00")


async def _client_inactive(paydue: Paydue, invoice: int) -> None:
    await _edit_client(paydue, invoice, inactive=True)


async def _another_customer(paydue: Paydue, invoice: int) -> None:
    paydue.sandbox.add_customer("cus_new", payment_method="pm_new", behaviour="succeed")
    await _edit_client(paydue, invoice, stripe_customer_id="cus_new")


async def _another_method(paydue: Paydue, invoice: int) -> None:
    client = await _client_of(paydue, invoice)
    _add_method(paydue, client.stripe_customer_id)
    await _edit_client(paydue, invoice, stripe_payment_method_id="pm_new")


async def _method_removed(paydue: Paydue, invoice: int) -> None:
    await _edit_client(paydue, invoice, stripe_payment_method_id=None)


async def _another_client_of_the_same_customer(paydue: Paydue, invoice: int) -> None:
    client = await _client_of(paydue, invoice)
    other = await paydue.a_client(
        stripe_customer_id=client.stripe_customer_id,
        stripe_payment_method_id=client.stripe_payment_method_id,
    )
    await _edit_invoice(paydue, invoice, client_id=other)


async def _another_default(paydue: Paydue, invoice: int) -> None:
    """The customer makes another card the default, at Stripe."""
    customer = (await _client_of(paydue, invoice)).stripe_customer_id
    _add_method(paydue, customer)
    _set_default(paydue, customer, "pm_new")


async def _default_gone(paydue: Paydue, invoice: int) -> None:
    _set_default(paydue, (await _client_of(paydue, invoice)).stripe_customer_id, None)


def _add_method(paydue: Paydue, customer: str) -> None:
    paydue.sandbox.add_payment_method("pm_new", customer=customer, behaviour=["succeed"])


def _set_default(paydue: Paydue, customer: str, method: str | None) -> None:
    known = paydue.sandbox.state.find("customers", customer)
    known["invoice_settings"]["default_payment_method"] = method


CHANGES: dict[str, tuple[Change, str]] = {
    "flag": (_flag_off, "autopay is switched off for it"),
    "day": (_due_later, f"due on {today() + timedelta(days=3)} where the client is"),
    "review": (_review_wanted, "the invoice may not go out: somebody must review it first"),
    "approval": (_approval_awaited, "the invoice may not go out: somebody must approve it first"),
    "inactive": (_client_inactive, "the client is inactive"),
    "customer": (_another_customer, "the Stripe customer has changed"),
    "method": (_another_method, "the payment method has changed"),
    "method removed": (_method_removed, "the payment method has changed"),
}
OF_DEFAULT: dict[str, tuple[Change, str]] = {
    "another default": (_another_default, "the payment method has changed"),
    "no default": (_default_gone, "the payment method has changed"),
    "own method": (_another_method, "the payment method has changed"),
}
# Refused as soon as the confirm may be on its way, so it happens only before.
BEFORE_THE_CONFIRM: dict[str, tuple[Change, str]] = {
    "client": (
        _another_client_of_the_same_customer,
        "the client of the invoice has changed",
    ),
}


async def _an_invoice(paydue: Paydue, change: str) -> int:
    own = {"stripe_payment_method_id": None} if change in OF_DEFAULT else {}
    return await paydue.an_invoice(client=await paydue.a_client(**own))


async def _check_due(paydue: Paydue) -> None:
    """As if the time to ask Stripe again had come."""
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(check_at=datetime.now(UTC)))


async def _begun_a_minute_ago(paydue: Paydue) -> None:
    """As if the charge had taken long: a default that was read just now is not read again."""
    async with paydue.database.transaction() as tx:
        earlier = datetime.now(UTC) - timedelta(minutes=1)
        await tx.execute(update(ATTEMPTS).values(created_at=earlier))


async def _assert_withdrawn(paydue: Paydue, invoice: int, why: str) -> None:
    assert paydue.sandbox.ledger.charges() == []
    (attempt,) = await paydue.attempts(invoice)
    assert (attempt.state, attempt.reason) == ("canceled", why)
    statuses = [one["status"] for one in paydue.sandbox.state["payment_intents"].rows()]
    assert statuses == ["canceled"]
    assert (await paydue.invoice(invoice)).amountdue == 120


@pytest.mark.parametrize("change", [*CHANGES, *OF_DEFAULT])
async def test_a_charge_that_waited_is_withdrawn_by_whatever_changed_meanwhile(
    paydue: Paydue, change: str
) -> None:
    make, why = {**CHANGES, **OF_DEFAULT}[change]
    invoice = await _an_invoice(paydue, change)
    paydue.sandbox.fault(CONFIRM, kind="status", status=503, times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    await paydue.autopay()
    assert [one.state for one in await paydue.attempts(invoice)] == ["unknown"]

    await make(paydue, invoice)
    paydue.sandbox.clear_faults()
    await _check_due(paydue)

    assert await paydue.recover() == 1
    await _assert_withdrawn(paydue, invoice, why)


@pytest.mark.parametrize("change", [*CHANGES, *OF_DEFAULT, *BEFORE_THE_CONFIRM])
async def test_a_charge_under_way_is_withdrawn_by_whatever_changes_before_its_confirm(
    paydue: Paydue, gate: Gate, database_url: str, change: str
) -> None:
    make, why = {**CHANGES, **OF_DEFAULT, **BEFORE_THE_CONFIRM}[change]
    invoice = await _an_invoice(paydue, change)
    creates = gate.hold("POST", "/v1/payment_intents")

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        run = group.create_task(node.autopay())
        await creates.came()
        await _begun_a_minute_ago(paydue)
        await make(paydue, invoice)
        creates.let_go()

    assert [one["reason"] for one in run.result()["skipped"]] == [why]
    await _assert_withdrawn(paydue, invoice, why)


async def test_a_rule_that_became_stricter_withdraws_a_charge_that_waited(
    paydue: Paydue, database_url: str, stripe_url: str, sandbox: Sandbox
) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CONFIRM, kind="status", status=503, times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()

    settings = settings_for(database_url, stripe_url, PAYDUE_AUTOPAY_POSTED_ONLY=True)
    async with Paydue.running(settings, sandbox) as node:
        await node.autopay()

    await _assert_withdrawn(paydue, invoice, "the invoice is not posted")


async def test_a_method_that_becomes_the_clients_own_is_charged_as_the_default_it_was(
    paydue: Paydue, gate: Gate, database_url: str
) -> None:
    invoice = await _an_invoice(paydue, "another default")
    client = await _client_of(paydue, invoice)
    customer = paydue.sandbox.state.find("customers", client.stripe_customer_id)
    default = customer["invoice_settings"]["default_payment_method"]
    creates = gate.hold("POST", "/v1/payment_intents")

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        run = group.create_task(node.autopay())
        await creates.came()
        await _edit_client(paydue, invoice, stripe_payment_method_id=default)
        creates.let_go()

    assert [one["invoice_id"] for one in run.result()["charged"]] == [invoice]


async def test_a_flag_taken_away_after_a_run_began_keeps_that_invoice_from_being_charged(
    paydue: Paydue, gate: Gate, database_url: str
) -> None:
    client = await paydue.a_client()
    first, second = [await paydue.an_invoice(client=client) for _ in range(2)]
    confirms = gate.hold("POST", "/confirm")

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        run = group.create_task(node.autopay())
        await confirms.came()
        await _flag_off(paydue, second)
        confirms.let_go()

    assert [one["invoice_id"] for one in run.result()["charged"]] == [first]
    assert [one["reason"] for one in run.result()["skipped"]] == ["autopay is switched off for it"]
    assert await paydue.attempts(second) == []


@pytest.mark.parametrize("flag", ["take_auto_payment", "include_in_autopay"])
async def test_either_flag_alone_is_enough_to_be_charged(paydue: Paydue, flag: str) -> None:
    flags = {"take_auto_payment": False, "include_in_autopay": False, flag: True}
    invoice = await paydue.an_invoice(**flags)

    report = await paydue.autopay()

    assert [one["invoice_id"] for one in report["charged"]] == [invoice]


# --- refused meanwhile -----------------------------------------------------------------------


async def _another_client(paydue: Paydue, invoice: int) -> tuple[int, str]:
    return await _saved(paydue, "Invoice", id=invoice, client_id=await paydue.a_client())


async def _another_currency(paydue: Paydue, invoice: int) -> tuple[int, str]:
    headers = await paydue.access()
    async with paydue.http.get("/api/Currency", headers=headers) as answer:
        (euro,) = [one["id"] for one in await answer.json() if one["code"].lower() == "eur"]
    return await _saved(paydue, "Invoice", id=invoice, currency_code=euro)


async def _another_amount(paydue: Paydue, invoice: int) -> tuple[int, str]:
    lines = [{"qty_order": 1, "unit_price": 50}]
    return await _saved(paydue, "Invoice", id=invoice, lines=lines)


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (_another_client, "client_id"),
        (_another_currency, "currency_code"),
        (_another_amount, "lines"),
    ],
)
async def test_what_a_charge_is_about_cannot_change_while_its_confirm_is_on_its_way(
    paydue: Paydue, gate: Gate, database_url: str,
    edit: Callable[[Paydue, int], Awaitable[tuple[int, str]]], field: str,
) -> None:  # fmt: skip
    invoice = await paydue.an_invoice()
    before = await paydue.invoice(invoice)
    confirms = gate.hold("POST", "/confirm")

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        group.create_task(node.autopay())
        await confirms.came()
        status, said = await edit(paydue, invoice)
        confirms.let_go()

    assert (status, said.partition(":")[0]) == (409, field)
    assert said.endswith("charge attempt 1 of it is open; wait for its end")
    after = await paydue.invoice(invoice)
    assert (after.client_id, after.amountpaid) == (before.client_id, 120)


async def test_another_client_is_let_in_again_once_the_charge_has_ended(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice(client=await paydue.a_client("stolen_card"))
    await paydue.autopay()

    status, _ = await _another_client(paydue, invoice)

    assert status in (200, 201)
