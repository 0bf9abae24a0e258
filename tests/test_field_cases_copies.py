"""Two copies of one database, older copies of it, other clocks, and many hands at once."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from app.errors import AppError
from app.storage.column_types import table_of
from app.storage.tables.invoices import InvoiceChange
from tests.gate import Gate
from tests.harness import ATTEMPTS, EVENTS, INTENTS, INVOICES, PAYMENTS, Paydue, settings_for, today
from tests.test_reconcile import a_session

pytestmark = pytest.mark.anyio

CHANGES = table_of(InvoiceChange)
DUE = 12_000
TOMORROW = today() + timedelta(days=1)
KEYS_LAST = 25 * 3600


# --- two copies that both live --------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # a file is copied
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("hours", [0, 25])
async def test_a_copy_that_runs_beside_its_original_charges_nothing_again(
    paydue: Paydue, tmp_path: Path, stripe_url: str, database_url: str, together: bool, hours: int
) -> None:
    client = await paydue.a_client(["insufficient_funds", "succeed"])
    invoices = [await paydue.an_invoice() for _ in range(3)]
    invoices.append(await paydue.an_invoice(client=client))
    await paydue.reconcile()

    async with a_copy(paydue, tmp_path, stripe_url) as copy:
        if together:
            await asyncio.gather(charged(paydue), charged(copy))
        else:
            await charged(paydue)
            paydue.sandbox.clock.advance(hours * 3600)
            await charged(copy)
        await charged(copy, TOMORROW)
        await charged(paydue, TOMORROW)

    assert paydue.sandbox.ledger.double_charges() == {}
    net = paydue.sandbox.ledger.net_by_invoice()
    assert net == {str(one): DUE for one in invoices}
    assert [(await paydue.invoice(one)).amountdue for one in invoices] == [0] * 4


# --- copies of a moment inside a charge -----------------------------------------------------------

STEPS = {
    "claimed": "POST /v1/payment_intents",
    "prepared": "GET /v1/checkout/sessions",
    "confirming": "POST /v1/payment_intents/{id}/confirm",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("hours", [1, 25])
@pytest.mark.parametrize("events", ["kept", "gone"])
@pytest.mark.parametrize("edited", [False, True])
async def test_a_copy_of_a_moment_inside_a_charge_goes_on_without_a_second_one(
    paydue: Paydue, step: str, hours: int, events: str, edited: bool
) -> None:
    invoice = await paydue.an_invoice()
    await paydue.reconcile()
    paydue.sandbox.fault(STEPS[step], kind="drop", when="before", times=60)
    await charged(paydue)
    paydue.sandbox.clear_faults()
    copied = await attempts_of(paydue)
    assert [one["step"] for one in copied] == [step]
    await asked_now(paydue)
    await charged(paydue)
    assert [one.amount for one in paydue.sandbox.ledger.charges()] == [DUE]

    await restored(paydue, copied, hours=hours)
    if events == "gone":
        paydue.sandbox.forget_events()
    if edited:
        async with paydue.database.transaction() as tx:
            await tx.execute(update(INVOICES).values(total=150, amountdue=150))
    paydue.sandbox.clock.advance(hours * 3600)
    await charged(paydue)
    await asked_now(paydue)
    await charged(paydue, TOMORROW)

    first, *rest = [one.amount for one in paydue.sandbox.ledger.charges()]
    assert (first, sum(rest)) == (DUE, 3_000 if edited else 0)
    assert (await paydue.invoice(invoice)).amountdue == 0


# --- clocks ---------------------------------------------------------------------------------------


async def test_a_guests_session_made_during_a_run_is_found_though_our_clock_is_ahead(
    paydue: Paydue, gate: Gate, stripe_url: str, database_url: str
) -> None:
    await paydue.reconcile()
    first, second = await paydue.an_invoice(), await paydue.an_invoice()
    paydue.sandbox.clock.advance(-20 * 60)
    confirms = gate.hold("POST", "/confirm")

    settings = settings_for(
        database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30, PAYDUE_STRIPE_CONCURRENCY=1
    )
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        group.create_task(node.autopay())
        await confirms.came()
        session = await a_session(stripe_url, client_reference_id=str(second))
        await asyncio.sleep(1.2)  # the list of guests' sessions is read again after a second
        confirms.let_go()
    with contextlib.suppress(Exception):
        paydue.sandbox.complete_checkout(session)

    assert sum(one.amount for one in paydue.sandbox.ledger.charges()) == 2 * DUE
    assert first != second


# --- many hands -----------------------------------------------------------------------------------


async def test_runs_retries_and_recoveries_at_once_make_one_charge(paydue: Paydue) -> None:
    client = await paydue.a_client(["insufficient_funds", "succeed"])
    invoice = await paydue.an_invoice(client=client)
    await paydue.autopay()

    async def retried() -> None:
        with contextlib.suppress(AppError):
            await paydue.node.autopay().retry(invoice, reason="asked by phone", who="tests")

    await asyncio.gather(
        *(retried() for _ in range(4)),
        *(charged(paydue, TOMORROW) for _ in range(3)),
        *(paydue.recover() for _ in range(3)),
    )

    assert [one.amount for one in paydue.sandbox.ledger.charges()] == [DUE]
    assert (await paydue.invoice(invoice)).amountdue == 0


@pytest.mark.parametrize("events", ["late", "never"])
async def test_a_guests_payment_without_an_event_is_found_before_a_charge(
    paydue: Paydue, stripe_url: str, events: str
) -> None:
    invoice = await paydue.an_invoice()
    await paydue.reconcile()
    paydue.sandbox.complete_checkout(await a_session(stripe_url, client_reference_id=str(invoice)))
    happened = list(paydue.sandbox.events)
    paydue.sandbox.forget_events()

    await charged(paydue)
    if events == "late":
        await paydue.deliver(*happened)
    await charged(paydue)

    assert [one.amount for one in paydue.sandbox.ledger.charges()] == [DUE]
    assert (await paydue.invoice(invoice)).amountdue == 0


# --- given ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def a_copy(paydue: Paydue, folder: Path, stripe_url: str) -> AsyncIterator[Paydue]:
    """The same installation once more, as a copied disk gives it."""
    path = folder / "copy.db"
    async with paydue.database.transaction():
        original = Path(paydue.node.settings.database_url.removeprefix("sqlite:///"))
        for one in original.parent.glob(original.name + "*"):
            shutil.copy(one, folder / one.name.replace(original.name, path.name))
    async with Paydue.running(
        settings_for(f"sqlite:///{path}", stripe_url), paydue.sandbox
    ) as copy:
        yield copy


async def charged(paydue: Paydue, day: Any = None) -> None:
    with contextlib.suppress(AppError):
        await paydue.autopay(day)


async def attempts_of(paydue: Paydue) -> list[dict[str, Any]]:
    async with paydue.database.snapshot() as tx:
        return [dict(row) for row in (await tx.execute(select(ATTEMPTS))).mappings()]


async def restored(paydue: Paydue, copied: list[dict[str, Any]], *, hours: int) -> None:
    """The database as it was when these attempts stood so, so many hours ago."""
    then = datetime.now(UTC) - timedelta(hours=hours)
    moved = [{**one, "created_at": then, "check_at": then, "lease_until": then} for one in copied]
    async with paydue.database.transaction() as tx:
        for table in (CHANGES, PAYMENTS, INTENTS, ATTEMPTS, EVENTS):
            await tx.execute(delete(table))
        await tx.execute(insert(ATTEMPTS), moved)
        await tx.execute(
            update(INVOICES).values(
                amountpaid=0, amountdue=INVOICES.c.total, datepaid=None, paymentstatus=0
            )
        )


async def asked_now(paydue: Paydue) -> None:
    then = datetime.now(UTC) - timedelta(minutes=1)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(check_at=then, lease_until=then))
