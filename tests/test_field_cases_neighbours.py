"""Two installations on one Stripe account, and attempts that a person ends at the wrong moment."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from app.errors import AppError
from app.sandbox.server import Sandbox
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.cluster import InstallationValue
from tests.harness import ATTEMPTS, CLIENTS, Paydue, settings_for, today

FACTS = table_of(InstallationValue)
pytestmark = pytest.mark.anyio

DUE = 12_000
TOMORROW = today() + timedelta(days=1)
ENDED = {"reason": "nobody answers"}


# --- two installations ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "back",
    ["nothing", "refund", "dispute", "both"],
)
async def test_two_installations_with_the_same_customers_and_numbers_book_only_their_own(
    paydue: Paydue, sandbox: Sandbox, stripe_url: str, tmp_path: Any,
    request: pytest.FixtureRequest, back: str,
) -> None:  # fmt: skip
    async with another(paydue, request, tmp_path, stripe_url) as other:
        invoice = await paydue.an_invoice()
        assert invoice == await its_twin(paydue, other, invoice)
        await other.autopay()
        (theirs,) = sandbox.ledger.charges()
        if back in ("refund", "both"):
            sandbox.refund(theirs.payment_intent, 2_000)
        if back in ("dispute", "both"):
            sandbox.open_dispute(theirs.payment_intent)
        happened = list(sandbox.events)
        for one in [*reversed(happened), *happened]:
            assert await paydue.deliver(one) == [200]
        for _ in range(4):
            await paydue.replay()
        await paydue.reconcile()

        report = await paydue.autopay()
        await other.autopay(TOMORROW)

    assert [one["invoice_id"] for one in report["charged"]] == [invoice]
    assert len(sandbox.ledger.charges()) == 2
    row = await paydue.invoice(invoice)
    assert (row.amountpaid, row.amountdue, row.payments_reversed) == (120, 0, 0)
    assert theirs.payment_intent not in {one.intent_id for one in await paydue.payments()}
    assert {one.state for one in await paydue.events()} <= {"applied", "ignored"}


async def test_two_installations_that_run_at_once_each_charge_their_own_invoice_once(
    paydue: Paydue, sandbox: Sandbox, stripe_url: str, tmp_path: Any,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    async with another(paydue, request, tmp_path, stripe_url) as other:
        invoices = [await paydue.an_invoice() for _ in range(3)]
        for one in invoices:
            await its_twin(paydue, other, one)

        await asyncio.gather(paydue.autopay(), other.autopay())
        await asyncio.gather(paydue.reconcile(), other.reconcile())
        await asyncio.gather(paydue.autopay(TOMORROW), other.autopay(TOMORROW))

        for house in (paydue, other):
            assert [(await house.invoice(one)).amountdue for one in invoices] == [0, 0, 0]
    assert [one.amount for one in sandbox.ledger.charges()] == [DUE] * 6


# --- attempts ended by hand -----------------------------------------------------------------------

CONFIRM = "POST /v1/payment_intents/{id}/confirm"
RETRIEVE = "GET /v1/payment_intents/{id}"


@pytest.mark.parametrize("moved", ["before", "after"])
@pytest.mark.parametrize("silence", ["html200", "rate_limit", "drop", "truncate", "none"])
async def test_an_attempt_ended_while_stripe_answers_badly_makes_no_second_charge(
    paydue: Paydue, moved: str, silence: str
) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CONFIRM, kind="drop", when=moved, times=60)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=60)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    (attempt,) = await paydue.attempts(invoice)

    if silence != "none":
        for route in (RETRIEVE, "POST /v1/payment_intents/{id}/cancel"):
            paydue.sandbox.fault(route, kind=silence, when="before", times=60)
    status = await ended(paydue, attempt.id)
    paydue.sandbox.clear_faults()
    await asked_now(paydue)
    await paydue.autopay()
    await paydue.autopay(TOMORROW)

    assert (status == 200) == (silence == "none" and moved == "before")
    assert [one.amount for one in paydue.sandbox.ledger.charges()] == [DUE]
    assert (await paydue.invoice(invoice)).amountdue == 0


async def test_an_attempt_ended_ten_times_beside_runs_is_charged_once(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(CONFIRM, kind="drop", when="before", times=60)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=60)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    (attempt,) = await paydue.attempts(invoice)
    await asked_now(paydue)

    async def ran() -> None:
        with contextlib.suppress(AppError):
            await paydue.autopay(TOMORROW)

    await asyncio.gather(*(ended(paydue, attempt.id) for _ in range(10)), ran(), ran())
    await ran()

    assert [one.amount for one in paydue.sandbox.ledger.charges()] == [DUE]
    assert (await paydue.invoice(invoice)).amountdue == 0


# --- given ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def another(
    paydue: Paydue, request: pytest.FixtureRequest, folder: Any, stripe_url: str
) -> AsyncIterator[Paydue]:
    """A second installation, with a database of its own, on the same Stripe account."""
    template = request.getfixturevalue("sqlite_template")
    url = f"sqlite:///{shutil.copy(template, folder / 'another.db')}"
    opened = Database(url)
    async with opened.transaction() as tx:
        named = FACTS.c.name == "installation"
        await tx.execute(update(FACTS).where(named).values(value="another"))
    await opened.close()
    async with Paydue.running(settings_for(url, stripe_url), paydue.sandbox) as other:
        assert other.node.installation != paydue.node.installation
        yield other


async def its_twin(paydue: Paydue, other: Paydue, invoice: int) -> int:
    """The same number of invoice there, of a client with the same Stripe customer."""
    where = CLIENTS.c.id == (await paydue.invoice(invoice)).client_id
    (row,) = await paydue.rows(CLIENTS, where)
    values = {
        "name": row.name,
        "inactive": False,
        "stripe_customer_id": row.stripe_customer_id,
        "stripe_payment_method_id": row.stripe_payment_method_id,
    }
    async with other.database.transaction() as tx:
        client = await tx.scalar(insert(CLIENTS).values(values).returning(CLIENTS.c.id))
    return await other.an_invoice(client=client)


async def ended(paydue: Paydue, attempt: int) -> int:
    headers = await paydue.access()
    path = f"/api/ChargeAttempt/{attempt}/end"
    async with paydue.http.post(path, json=ENDED, headers=headers) as answer:
        await answer.read()
        return answer.status


async def asked_now(paydue: Paydue) -> None:
    then = datetime.now(UTC) - timedelta(minutes=1)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(check_at=then, lease_until=then))
