"""One bad neighbour stops nobody: locked rows, broken invoices, hosts whose clocks are wrong."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update
from starlette.types import Receive, Scope, Send

from app.node import open_stripe_node
from app.payments.stripe import rate_limiter
from app.payments.stripe.rate_limiter import StripeRateLimiter
from app.sandbox.server import Sandbox
from app.sandbox.transport import asgi_server
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.cluster import CustomerLease, Job, RateLimitSlot
from app.worker import Worker
from tests.gate import PATIENCE_S, Gate
from tests.harness import ATTEMPTS, INVOICES, Paydue, event, intent, settings_for, today

pytestmark = pytest.mark.anyio

CONFIRM = "POST /v1/payment_intents/{id}/confirm"
RETRIEVE = "GET /v1/payment_intents/{id}"
SLOTS, JOBS, LEASES = table_of(RateLimitSlot), table_of(Job), table_of(CustomerLease)
LOCKED = "another transaction holds a record that this one needs"
PAGE = 200


# SQLite locks no single rows.
with_row_locks = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@contextlib.asynccontextmanager
async def _locked(url: str, table: Any, condition: Any) -> AsyncIterator[None]:
    """Somebody's open transaction that holds a row, on a connection of its own."""
    other = Database(url)
    try:
        async with other.transaction() as tx:
            await tx.execute(select(table).where(condition).with_for_update())
            yield
    finally:
        await other.close()


# --- locked rows -----------------------------------------------------------------------------


@with_row_locks
async def test_a_locked_invoice_is_passed_over_and_named_and_the_others_are_charged(
    paydue: Paydue, database_url: str
) -> None:
    first, locked, last = [await paydue.an_invoice() for _ in range(3)]

    async with _locked(database_url, INVOICES, INVOICES.c.id == locked):
        report = await paydue.autopay()
    later = await paydue.autopay()

    assert sorted(one["invoice_id"] for one in report["charged"]) == [first, last]
    (skipped,) = report["skipped"]
    assert (skipped["invoice_id"], skipped["reason"]) == (locked, f"passed over: {LOCKED}")
    assert [one["invoice_id"] for one in later["charged"]] == [locked]


@with_row_locks
async def test_an_invoice_that_is_locked_at_the_last_look_waits_for_the_next_run(
    paydue: Paydue, gate: Gate, database_url: str
) -> None:
    invoice = await paydue.an_invoice()
    creates = gate.hold("POST", "/v1/payment_intents")

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        run = group.create_task(node.autopay())
        await creates.came()
        async with _locked(database_url, INVOICES, INVOICES.c.id == invoice):
            creates.let_go()
            await asyncio.wait({run})
    later = await paydue.autopay()

    (skipped,) = run.result()["skipped"]
    assert LOCKED in skipped["reason"]
    assert [one["invoice_id"] for one in later["charged"]] == [invoice]
    assert len(paydue.sandbox.ledger.charges()) == 1


@with_row_locks
async def test_a_charge_that_cannot_be_booked_for_a_lock_is_unknown_until_the_next_run(
    paydue: Paydue, gate: Gate, database_url: str
) -> None:
    invoice = await paydue.an_invoice()
    confirms = gate.hold("POST", "/confirm")

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with Paydue.running(settings, paydue.sandbox) as node, asyncio.TaskGroup() as group:
        run = group.create_task(node.autopay())
        await confirms.came()
        async with _locked(database_url, INVOICES, INVOICES.c.id == invoice):
            confirms.let_go()
            await asyncio.wait({run})
    await paydue.autopay()

    assert {one["invoice_id"] for one in run.result()["unknown"]} == {invoice}
    assert (await paydue.invoice(invoice)).amountdue == 0
    assert len(paydue.sandbox.ledger.charges()) == 1


@with_row_locks
async def test_an_attempt_that_is_locked_stops_no_other_attempt(
    paydue: Paydue, database_url: str
) -> None:
    invoices = [await paydue.an_invoice() for _ in range(3)]
    paydue.sandbox.fault(CONFIRM, kind="drop", when="before", times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()

    async with _locked(database_url, ATTEMPTS, ATTEMPTS.c.invoice_id == invoices[1]):
        report = await paydue.autopay()

    assert sorted(one["invoice_id"] for one in report["charged"]) == [invoices[0], invoices[2]]
    assert {one["invoice_id"] for one in report["unknown"]} == {invoices[1]}


@with_row_locks
async def test_a_locked_row_of_the_rate_limiter_stops_no_node(
    paydue: Paydue, database_url: str
) -> None:
    await paydue.autopay()
    node = StripeRateLimiter(paydue.database, 20)
    await node.acquire(rate_limiter.CONFIRM)

    async with _locked(database_url, SLOTS, SLOTS.c.endpoint == rate_limiter.CONFIRM):
        moments = [await node._moment(rate_limiter.CONFIRM) for _ in range(20)]

    steps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert min(steps) > 0.5 / 20


@with_row_locks
async def test_a_run_goes_on_while_the_rate_limiter_is_locked(
    paydue: Paydue, database_url: str, stripe_url: str
) -> None:
    await paydue.an_invoice()
    await paydue.autopay()
    invoice = await paydue.an_invoice()

    settings = settings_for(database_url, stripe_url)  # a node that has reserved nothing yet
    async with (
        Paydue.running(settings, paydue.sandbox) as node,
        _locked(database_url, SLOTS, SLOTS.c.free_at_us > 0),
    ):
        report = await node.autopay()

    assert [one["invoice_id"] for one in report["charged"]] == [invoice]


@with_row_locks
async def test_a_parked_event_of_a_locked_invoice_stops_no_other(
    paydue: Paydue, database_url: str
) -> None:
    invoices = [await paydue.an_invoice() for _ in range(2)]
    paid = [intent(each) for each in invoices]
    for one in paid:
        refund = {"id": f"re_{one['id']}", "object": "refund", "payment_intent": one["id"],
                  "amount": 100, "currency": "usd", "status": "succeeded", "created": 0,
                  "charge": None}  # fmt: skip
        await paydue.deliver(event("refund.created", refund))
    await paydue.deliver(*[event("payment_intent.succeeded", one) for one in paid])

    async with _locked(database_url, INVOICES, INVOICES.c.id == invoices[0]):
        held = await paydue.replay()
    later = await paydue.replay()

    assert (held.applied, held.parked) == (1, 1)
    assert (later.applied, later.parked) == (1, 0)


@with_row_locks
async def test_a_locked_invoice_is_503_to_whoever_would_change_it(
    paydue: Paydue, database_url: str
) -> None:
    invoice = await paydue.an_invoice()
    path, headers = f"/api/Invoice/{invoice}/void", await paydue.access()

    async with (
        _locked(database_url, INVOICES, INVOICES.c.id == invoice),
        paydue.http.post(path, headers=headers) as answer,
    ):
        status, said = answer.status, (await answer.json())["Message"]

    assert (status, said) == (503, LOCKED)


@with_row_locks
async def test_no_connection_waits_for_a_lock_or_sits_on_one_without_end(paydue: Paydue) -> None:
    shown = text(
        "SELECT current_setting('lock_timeout'),"
        " current_setting('idle_in_transaction_session_timeout')"
    )

    async with paydue.database.transaction() as tx:
        writer = tuple((await tx.execute(shown)).one())
    async with paydue.database.snapshot() as tx:
        reader = tuple((await tx.execute(shown)).one())

    assert (writer, reader) == (("3s", "10s"), ("3s", "5min"))


# --- broken invoices -------------------------------------------------------------------------


async def _a_broken_invoice(paydue: Paydue) -> int:
    """An invoice whose client has a time zone that does not exist."""
    client = await paydue.a_client(timezone="Mars/Base")
    return await paydue.an_invoice(client=client)


async def test_a_broken_invoice_is_named_and_the_others_are_charged(paydue: Paydue) -> None:
    first, broken, last = (
        await paydue.an_invoice(), await _a_broken_invoice(paydue), await paydue.an_invoice(),
    )  # fmt: skip

    foreseen = await paydue.foresee()
    report = await paydue.autopay(None)

    for each in (foreseen, report):
        assert {one["invoice_id"] for one in each["charged"]} == {first, last}
        (failed,) = each["failed"]
        assert failed["invoice_id"] == broken
        assert "'Mars/Base' is not an IANA time zone" in failed["reason"]


async def test_a_broken_invoice_without_anything_due_stops_no_run(paydue: Paydue) -> None:
    client = await paydue.a_client(timezone="Mars/Base")
    settled = await paydue.an_invoice(client=client, amountdue=0)
    invoice = await paydue.an_invoice()

    report = await paydue.autopay(None)

    assert [one["invoice_id"] for one in report["charged"]] == [invoice]
    assert [one["invoice_id"] for one in report["failed"]] == [settled]


async def test_an_attempt_whose_invoice_broke_meanwhile_stops_no_other(paydue: Paydue) -> None:
    good, broken = [await paydue.an_invoice() for _ in range(2)]
    paydue.sandbox.fault(CONFIRM, kind="drop", when="before", times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    async with paydue.database.transaction() as tx:
        await tx.execute(
            update(ATTEMPTS).where(ATTEMPTS.c.invoice_id == broken).values(intent_id=None)
        )
    paydue.sandbox.forget_events()

    report = await paydue.autopay()

    assert [one["invoice_id"] for one in report["charged"]] == [good]
    assert {one["invoice_id"] for one in report["failed"]} == {broken}


# --- one clock -------------------------------------------------------------------------------


def _an_hour_ahead() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


@with_row_locks
async def test_a_host_an_hour_ahead_holds_its_invoices_no_longer_than_any_other(
    paydue: Paydue, gate: Gate, database_url: str
) -> None:
    await paydue.an_invoice()
    confirms = gate.hold("POST", "/confirm")

    settings = settings_for(database_url, gate.url, PAYDUE_STRIPE_TIMEOUT=30)
    async with open_stripe_node(settings, clock=_an_hour_ahead) as node:
        async with asyncio.TaskGroup() as group:
            run = group.create_task(node.autopay().run())
            await confirms.came()
            (attempt,) = await paydue.rows(ATTEMPTS, ATTEMPTS.c.id > 0)
            async with paydue.database.snapshot() as tx:
                (customer,) = await tx.execute(select(LEASES))
            confirms.let_go()
        run.result().close()

    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert attempt.lease_until < soon
    assert customer.until < soon


@with_row_locks
async def test_a_worker_an_hour_ahead_takes_jobs_and_leaves_them_by_the_databases_clock(
    paydue: Paydue, database_url: str, stripe_url: str
) -> None:
    settings = settings_for(database_url, stripe_url)
    async with open_stripe_node(settings, clock=_an_hour_ahead) as node:
        working = asyncio.create_task(Worker(node).run())
        started = await _first_start(paydue)
        node.stop.set()
        await working

    assert started < datetime.now(UTC) + timedelta(minutes=1)


async def _first_start(paydue: Paydue) -> datetime:
    """Returns once a job has been started: by when its worker says that it was."""
    wanted = select(JOBS.c.started_at).where(JOBS.c.started_at.is_not(None))
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with paydue.database.snapshot() as tx:
                found = (await tx.scalars(wanted)).first()
            if found is not None:
                return found
            await asyncio.sleep(0.02)


# --- one charge at a time per customer -------------------------------------------------------


class Overlaps:
    """Stands before Stripe and counts the confirms of one customer that are under way at once."""

    def __init__(self, stripe: Sandbox) -> None:
        self.most = 0
        self._stripe = stripe
        self._now: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if not scope["path"].endswith("/confirm"):
            await self._stripe.app(scope, receive, send)
            return
        intent = self._stripe.state.find("payment_intents", scope["path"].split("/")[3])
        customer = str(intent["customer"])
        self._now[customer] += 1
        self.most = max(self.most, self._now[customer])
        await self._stripe.app(scope, receive, send)
        self._now[customer] -= 1


@pytest.fixture
async def overlaps(sandbox: Sandbox, stripe_url: str) -> AsyncIterator[tuple[Overlaps, str]]:
    counted = Overlaps(sandbox)
    async with asgi_server.serve(counted, 0, "127.0.0.1") as url:
        yield counted, url


async def test_a_customers_invoices_on_several_pages_are_charged_one_by_one(
    paydue: Paydue, database_url: str, overlaps: tuple[Overlaps, str]
) -> None:
    counted, url = overlaps
    client = await paydue.a_client()
    days = [today() - timedelta(days=ago) for ago in (3, 1, 0)]
    invoices = [await paydue.an_invoice(client=client, due=each) for each in days]
    await _fill_pages(paydue, due=today() - timedelta(days=2))
    paydue.sandbox.set_latency(0.2, CONFIRM)

    async with Paydue.running(settings_for(database_url, url), paydue.sandbox) as node:
        report = await node.autopay(today())

    assert sorted(one["invoice_id"] for one in report["charged"]) == invoices
    assert counted.most == 1


async def _fill_pages(paydue: Paydue, *, due: Any) -> None:
    """A page of invoices that are passed over between the first and the others."""
    nobody = await paydue.a_client(stripe_customer_id=None)
    model = await paydue.an_invoice(client=nobody, due=due)
    row = dict((await paydue.invoice(model))._mapping)
    del row["id"]
    async with paydue.database.transaction() as tx:
        await tx.execute(insert(INVOICES), [row] * PAGE)


async def test_a_customers_attempts_are_gone_on_with_one_by_one(
    paydue: Paydue, database_url: str, overlaps: tuple[Overlaps, str]
) -> None:
    counted, url = overlaps
    client = await paydue.a_client()
    invoices = [await paydue.an_invoice(client=client) for _ in range(3)]
    paydue.sandbox.fault(CONFIRM, kind="drop", when="before", times=50)
    paydue.sandbox.fault(RETRIEVE, kind="status", status=503, times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    paydue.sandbox.set_latency(0.2, CONFIRM)

    async with Paydue.running(settings_for(database_url, url), paydue.sandbox) as node:
        report = await node.autopay()

    assert sorted(one["invoice_id"] for one in report["charged"]) == invoices
    assert counted.most == 1
