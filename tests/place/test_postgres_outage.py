"""PostgreSQL goes away and comes back: Stripe is told to come again, and nothing is lost."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.errors import Unavailable
from app.sandbox.server import Sandbox
from app.storage.engines import Database
from tests.harness import Paydue, settings_for
from tests.place import books
from tests.place.programs import ANSWERED_WITHIN_S, Load, server
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
