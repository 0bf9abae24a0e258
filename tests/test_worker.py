"""Workers share what is scheduled: each job under a lease, none twice at a time, none forgotten."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select, update

from app import worker as worker_module
from app.payments.reconciliation.cursor import CURSOR
from app.payments.status import JobStatus, list_jobs
from app.storage.column_types import table_of
from app.storage.tables.cluster import InstallationValue, Job
from app.worker import AFTER_FAILURE, LEASE, ScheduledJob, Worker
from tests.harness import EVENTS, Paydue, event, intent
from tests.patience import wait_limit
from tests.test_dead_letters import a_refund

pytestmark = pytest.mark.anyio

JOBS = table_of(Job)
FACTS = table_of(InstallationValue)
CREATE = "POST /v1/payment_intents"
PATIENCE_S = wait_limit(12)


@asynccontextmanager
async def working(paydue: Paydue, *, count: int = 1, **settings: Any) -> AsyncIterator[None]:
    """Workers on one database, told to stop at the end and gone soon after."""
    told = paydue.node.settings.model_copy(update=settings)
    node = replace(paydue.node, settings=told, stop=asyncio.Event())
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(Worker(node).run())
        try:
            yield
        finally:
            node.stop.set()


async def until(found: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not (answer := await found()):  # noqa: ASYNC110  rows have no event
            await asyncio.sleep(0.05)
    return answer


async def jobs(paydue: Paydue) -> dict[str, Any]:
    async with paydue.database.snapshot() as tx:
        return {row.name: row for row in await tx.execute(select(JOBS))}


async def finished(paydue: Paydue, name: str) -> Any:
    async def look() -> Any:
        row = (await jobs(paydue)).get(name)
        return row if row is not None and row.result is not None else None

    return await until(look)


async def a_job(paydue: Paydue, name: str, **values: Any) -> None:
    row = {"name": name, "next_run_at": datetime.now(UTC), **values}
    async with paydue.database.transaction() as tx:
        await tx.execute(insert(JOBS).values(row))


async def test_each_job_is_run_and_says_what_it_did(paydue: Paydue) -> None:
    for name in ("events", "attempts", "reconcile"):
        await a_job(paydue, name)

    async with working(paydue):
        found = {name: await finished(paydue, name) for name in ("events", "attempts", "reconcile")}

    assert found["events"].result == "0 applied, 0 parked, 0 dead"
    assert found["attempts"].result == "0 resumed"
    assert found["reconcile"].result == "0 events, 0 intents new"
    for row in found.values():
        assert (row.lease_token, row.lease_until) == (None, None)
        assert row.next_run_at > row.finished_at >= row.started_at


async def test_autopay_is_next_due_at_its_local_time(paydue: Paydue) -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    at = (datetime.now(tokyo) + timedelta(hours=2)).time().replace(microsecond=0)

    async with working(paydue, timezone="Asia/Tokyo", autopay_at=at):
        await finished(paydue, "events")

    row = (await jobs(paydue))["autopay"]
    assert row.next_run_at.astimezone(tokyo).time() == at
    assert timedelta(0) < row.next_run_at - datetime.now(UTC) < timedelta(hours=2, minutes=1)
    assert row.started_at is None


async def test_autopay_that_is_due_charges_once_with_two_workers(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    await a_job(paydue, "autopay")

    async with working(paydue, count=2):
        row = await finished(paydue, "autopay")

    assert row.result == "1 charged"
    assert row.next_run_at > datetime.now(UTC)
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}
    assert len(await paydue.attempts(invoice)) == 1


async def test_a_due_job_is_taken_by_one_of_ten(paydue: Paydue) -> None:
    await a_job(paydue, "once")

    taken = await asyncio.gather(*(Worker(paydue.node)._acquire_lease("once") for _ in range(10)))

    (token,) = [one for one in taken if one]
    row = (await jobs(paydue))["once"]
    assert row.lease_token == token
    assert row.lease_until - row.started_at == LEASE


@pytest.mark.parametrize(("ends", "is_taken"), [(-1, True), (30, False)])
async def test_a_dead_workers_lease_is_taken_over_after_it_ended(
    paydue: Paydue, ends: int, is_taken: bool
) -> None:
    until_ = datetime.now(UTC) + timedelta(seconds=ends)
    await a_job(paydue, "left", lease_token="dead", lease_until=until_)

    token = await Worker(paydue.node)._acquire_lease("left")

    assert bool(token) == is_taken
    assert (await jobs(paydue))["left"].lease_token == (token or "dead")


async def test_a_late_holder_does_not_end_its_successors_lease(paydue: Paydue) -> None:
    await a_job(paydue, "late")
    worker = Worker(paydue.node)
    first = await worker._acquire_lease("late")
    async with paydue.database.transaction() as tx:
        await tx.execute(update(JOBS).values(lease_until=datetime.now(UTC)))
    second = await worker._acquire_lease("late")
    now = datetime.now(UTC)

    await worker._release_lease("late", str(first), now, now + timedelta(days=1), "late")

    row = (await jobs(paydue))["late"]
    assert (row.lease_token, row.result) == (second, None)


async def test_a_heartbeat_keeps_the_lease(paydue: Paydue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "HEARTBEAT_S", 0.1)
    await a_job(paydue, "long")
    worker = Worker(paydue.node)
    token = await worker._acquire_lease("long")
    before = (await jobs(paydue))["long"].lease_until

    async def long() -> str:
        await asyncio.sleep(0.6)
        assert (await jobs(paydue))["long"].lease_until > before
        return "kept"

    job = ScheduledJob(long, lambda now: now + timedelta(days=1))
    await worker._run_under_lease("long", job, str(token))

    assert (await jobs(paydue))["long"].result == "kept"


async def test_who_is_at_a_job_is_shown_until_it_ends(paydue: Paydue) -> None:
    await a_job(paydue, "shown")
    worker = replace(Worker(paydue.node), name="host-1, process 7")

    token = await worker._acquire_lease("shown")
    at_work = await status_of_job(paydue, "shown")
    now = datetime.now(UTC)
    await worker._release_lease("shown", str(token), now, now, "done")

    ended = await status_of_job(paydue, "shown")
    assert (at_work.holder, at_work.succeeded_at) == ("host-1, process 7", None)
    assert (ended.holder, ended.succeeded_at) == (None, now)


async def test_neither_a_failure_nor_a_stop_is_a_success(paydue: Paydue) -> None:
    await a_job(paydue, "late")
    before = datetime.now(UTC) - timedelta(days=2)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(JOBS).values(succeeded_at=before))
    stopping = Worker(replace(paydue.node, stop=asyncio.Event()))
    now = datetime.now(UTC)

    token = await stopping._acquire_lease("late")
    await stopping._release_lease("late", str(token), now, now, "failed", failed=True)
    after_failure = await status_of_job(paydue, "late")
    stopping.node.stop.set()
    token = await stopping._acquire_lease("late")
    await stopping._release_lease("late", str(token), now, now, "half of it")

    assert after_failure.succeeded_at == before
    assert (await status_of_job(paydue, "late")).succeeded_at == before


async def status_of_job(paydue: Paydue, name: str) -> JobStatus:
    async with paydue.database.snapshot() as tx:
        (found,) = [one for one in await list_jobs(tx, datetime.now(UTC)) if one.name == name]
    return found


async def test_a_failed_job_is_due_again_soon_and_the_others_go_on(paydue: Paydue) -> None:
    paydue.sandbox.fault("GET /v1/events", kind="status", status=503, times=50)
    for name in ("attempts", "reconcile"):
        await a_job(paydue, name)

    async with working(paydue, reconcile_every=86400.0):
        failed = await finished(paydue, "reconcile")
        other = await finished(paydue, "attempts")

    assert failed.result.startswith("not finished: ")
    assert failed.next_run_at - failed.finished_at == AFTER_FAILURE
    assert other.result == "0 resumed"


async def test_a_key_that_stripe_refuses_ends_a_job_until_it_is_put_right(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    await a_job(paydue, "autopay")
    paydue.sandbox.fault(CREATE, kind="unauthorized", times=1)

    async with working(paydue):
        refused = await finished(paydue, "autopay")
        await until(lambda: _is_due_again(paydue, "autopay", refused))
        other = await finished(paydue, "events")

    assert refused.result.startswith("Stripe refuses the key: Invalid API Key provided")
    assert (refused.lease_token, refused.lease_until) == (None, None)
    assert refused.next_run_at - refused.finished_at == AFTER_FAILURE
    assert other.result == "0 applied, 0 parked, 0 dead"
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}


async def _is_due_again(paydue: Paydue, name: str, failed: Any) -> bool:
    """Lets the job be due now, and answers whether it has been run since it failed."""
    row = (await jobs(paydue))[name]
    if row.finished_at != failed.finished_at:
        return True
    async with paydue.database.transaction() as tx:
        due = JOBS.c.next_run_at > datetime.now(UTC)
        await tx.execute(
            update(JOBS).where(JOBS.c.name == name, due).values(next_run_at=datetime.now(UTC))
        )
    return False


async def test_a_job_that_crashes_says_why_and_is_due_again_while_the_others_go_on(
    paydue: Paydue,
) -> None:
    async with paydue.database.transaction() as tx:
        await tx.execute(insert(FACTS).values(name=CURSOR, value="the day before yesterday"))
    for name in ("attempts", "reconcile"):
        await a_job(paydue, name)

    async with working(paydue, reconcile_every=86400.0):
        crashed = await finished(paydue, "reconcile")
        other = await finished(paydue, "attempts")

    assert crashed.result.startswith("failed: ValueError(")
    assert "the day before yesterday" in crashed.result
    assert (crashed.lease_token, crashed.lease_until) == (None, None)
    assert crashed.next_run_at - crashed.finished_at == AFTER_FAILURE
    assert other.result == "0 resumed"


async def test_parked_events_are_applied_when_their_time_has_come(paydue: Paydue) -> None:
    refund = {"id": "re_1", "object": "refund", "payment_intent": "pi_parked", "amount": 2000,
              "currency": "usd", "status": "succeeded", "charge": None}  # fmt: skip
    await paydue.deliver(event("refund.created", refund))
    invoice = await paydue.an_invoice("120.00")
    paid = intent(invoice, id="pi_parked")
    await paydue.deliver(event("payment_intent.succeeded", paid))
    async with paydue.database.transaction() as tx:
        await tx.execute(
            update(EVENTS).where(EVENTS.c.state == "parked").values(next_try_at=datetime.now(UTC))
        )

    async with working(paydue):
        await until(lambda: _all_applied(paydue))

    assert (await paydue.invoice(invoice)).amountpaid == 100


async def test_a_parked_refund_makes_the_worker_ask_stripe_for_its_payment(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    await paydue.deliver(await a_refund(paydue, stripe_url, invoice))
    async with paydue.database.transaction() as tx:
        await tx.execute(
            update(EVENTS).where(EVENTS.c.state == "parked").values(next_try_at=datetime.now(UTC))
        )
    await a_job(paydue, "events")

    async with working(paydue):
        await finished(paydue, "events")

    assert await _all_applied(paydue)
    assert (await paydue.invoice(invoice)).amountdue == 20


async def _all_applied(paydue: Paydue) -> bool:
    return {row.state for row in await paydue.events()} == {"applied"}


async def test_a_stopped_worker_gives_its_leases_back_due_at_once(paydue: Paydue) -> None:
    await paydue.an_invoice()
    await a_job(paydue, "autopay")
    paydue.sandbox.set_latency(0.3)

    async with asyncio.timeout(PATIENCE_S), working(paydue):
        await until(lambda: _is_leased(paydue, "autopay"))

    row = (await jobs(paydue))["autopay"]
    assert (row.lease_token, row.lease_until) == (None, None)
    # The database's clock and ours need not agree to the millisecond.
    assert row.next_run_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert all(one.lease_token is None for one in (await jobs(paydue)).values())


async def _is_leased(paydue: Paydue, name: str) -> bool:
    row = (await jobs(paydue)).get(name)
    return row is not None and row.lease_token is not None
