"""PostgreSQL goes away and comes back: Stripe is told to come again, and nothing is lost."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.errors import DatabaseUnavailable, Unavailable
from app.payments.autopay import run_history
from app.sandbox.server import Sandbox
from app.storage import outages
from app.storage.engines import Database
from tests.harness import Paydue, settings_for
from tests.patience import wait_limit
from tests.place import books
from tests.place.programs import ANSWERED_WITHIN_S, Load, Program, program, server
from tests.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

OUTAGES = 5
DOWN_S, UP_S = 0.5, 1.0


async def test_outages_under_load_lose_no_event(
    own_postgres: Postgres, own_url: str, tmp_path: Path
) -> None:
    invoices = await books.write(own_url, None, 20)

    async with server(database_url=own_url, stripe_url="http://127.0.0.1:9", folder=tmp_path) as up:
        load = Load(up.url)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.at(200, OUTAGES * (DOWN_S + UP_S) + 1, invoices))
            group.create_task(_outages(own_postgres))
        afterwards = await _answered_again(load)

    assert afterwards
    refused = load.answered(503)
    assert len(refused) >= OUTAGES, "every outage was noticed"
    assert load.statuses() == {200, 503}
    assert all(one.retry_after for one in refused)
    assert max(one.seconds for one in load.sent) < ANSWERED_WITHIN_S
    kept = await books.event_ids(own_url)
    assert {one.event_id for one in load.answered(200)} <= kept
    assert {one.intent_id for one in load.answered(200)} <= await books.intents_paid(own_url)
    assert await books.agree(own_url)


async def test_outages_during_autopay_charge_nobody_twice(
    own_postgres: Postgres, own_url: str, sandbox: Sandbox, stripe_url: str
) -> None:
    await books.write(own_url, sandbox, 60)
    sandbox.set_latency(0.05)
    failures = 0

    settings = settings_for(own_url, stripe_url, PAYDUE_STRIPE_CONCURRENCY=4)
    async with Paydue.running(settings, sandbox) as paydue:
        _let_asyncpg_complain()
        breaking = asyncio.create_task(_outages(own_postgres))
        while not breaking.done():
            try:
                await paydue.autopay()
            except Unavailable:
                failures += 1
                await asyncio.sleep(0.3)
        await breaking
        await books.let_leases_expire(own_url)
        await paydue.autopay()

    assert failures > 0, "no outage struck a run"
    assert await books.due(own_url) == []
    assert [row.state for row in await books.attempts(own_url)] == ["succeeded"] * 60
    assert sandbox.ledger.double_charges() == {}
    assert len(sandbox.ledger.charges()) == 60
    assert await books.agree(own_url)


async def test_a_run_goes_on_after_an_outage_that_strikes_it(
    own_postgres: Postgres, own_url: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path
) -> None:
    await books.write(own_url, sandbox, 60)
    sandbox.set_latency(0.05)
    where: dict[str, Any] = {"database_url": own_url, "stripe_url": stripe_url, "folder": tmp_path}

    async with program("autopay", "run", PAYDUE_STRIPE_CONCURRENCY="4", **where) as run:
        async with asyncio.timeout(wait_limit(60)):
            while not sandbox.ledger.charges():  # noqa: ASYNC110  the sandbox tells nobody
                await asyncio.sleep(0.02)
        await asyncio.to_thread(own_postgres.stop)
        await _says(run, "waiting for the database")
        await asyncio.to_thread(own_postgres.start)
        code = await run.end()

    assert (code, "Traceback" in run.log()) == (0, False)
    assert await books.due(own_url) == []
    assert [row.state for row in await books.attempts(own_url)] == ["succeeded"] * 60
    assert sandbox.ledger.double_charges() == {}
    assert await _run_states(own_url) == ["finished", "failed"]


async def test_a_run_that_finds_no_database_waits_for_it(
    own_postgres: Postgres, own_url: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path
) -> None:
    await books.write(own_url, sandbox, 1)
    where: dict[str, Any] = {"database_url": own_url, "stripe_url": stripe_url, "folder": tmp_path}
    own_postgres.stop()

    async with program("autopay", "run", **where) as run:
        await _says(run, "the run begins again once it can")
        await asyncio.to_thread(own_postgres.start)
        code = await run.end()

    assert code == 0
    assert await books.due(own_url) == []


async def test_a_run_that_waits_for_its_database_ends_when_it_is_told_to(
    own_postgres: Postgres, own_url: str, stripe_url: str, tmp_path: Path
) -> None:
    where: dict[str, Any] = {"database_url": own_url, "stripe_url": stripe_url, "folder": tmp_path}
    own_postgres.stop()

    async with program("autopay", "run", **where) as run:
        await _says(run, "the run begins again once it can")
        code, _ = await run.terminated()

    assert code == 1
    assert "the database cannot be used now" in run.log()


async def test_patience_with_a_database_has_an_end() -> None:
    told: list[str] = []

    async def away() -> None:
        raise DatabaseUnavailable("away")

    with pytest.raises(DatabaseUnavailable):
        await outages.begin_again(
            away, asyncio.Event(), lambda error: told.append(error.message), patience_s=0.5
        )

    assert told == ["away"]


async def test_no_connection_from_before_an_outage_is_lent(
    own_postgres: Postgres, own_url: str
) -> None:
    database = Database(own_url)
    for opened in (database.transaction, database.snapshot):
        async with opened() as tx:
            await tx.execute(text("SELECT 1"))

    await asyncio.to_thread(own_postgres.stop)
    await asyncio.to_thread(own_postgres.start)

    for opened in (database.transaction, database.snapshot):
        async with opened() as tx:
            assert await tx.scalar(text("SELECT 1")) == 1
    await database.close()


def _let_asyncpg_complain() -> None:
    """asyncpg also reports a lost connection to the loop, for futures that nobody waits for."""
    loop = asyncio.get_running_loop()
    told = loop.get_exception_handler()

    def handler(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if told and not isinstance(context.get("exception"), ConnectionError):
            told(loop, context)

    loop.set_exception_handler(handler)


async def _says(run: Program, words: str) -> None:
    async with asyncio.timeout(wait_limit(60)):
        while words not in run.log():
            assert run.process.returncode is None, run.log()
            await asyncio.sleep(0.05)


async def _run_states(url: str) -> list[str]:
    database = Database(url)
    async with database.snapshot() as tx:
        found = [one.state for one in await run_history.list_runs(tx)]
    await database.close()
    return found


async def _outages(server: Postgres) -> None:
    for _ in range(OUTAGES):
        await asyncio.sleep(UP_S)
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(server.start)


async def _answered_again(load: Load) -> bool:
    """By itself, soon after the last outage."""
    for _ in range(20):
        if (await load.one(1)).status == 200:
            return True
        await asyncio.sleep(0.2)
    return False
