"""A primary dies under load and its standby is promoted: nothing acknowledged is lost."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.storage.engines import Database
from app.storage.schema import upgrade
from tests.harness import NO_STRIPE
from tests.place import books
from tests.place.programs import Load, server
from tests.postgres import Postgres, Standby, running

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

PER_SECOND = 50


@pytest.fixture
def primary(postgres_server: object) -> Iterator[Postgres]:
    """A server that keeps what it has committed; without PostgreSQL here the test is skipped."""
    with running("fsync=on", "synchronous_commit=on", "wal_level=replica") as server_:
        yield server_


async def test_a_failover_to_a_synchronous_standby_loses_nothing_acknowledged(
    primary: Postgres, tmp_path: Path
) -> None:
    url = primary.create("paydue")
    database = Database(url)
    await upgrade(database)
    await database.close()
    invoices = await books.write(url, None, 20)
    standby = Standby(primary)
    try:
        standby.start()
        await administer(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        await administer(primary, "SELECT pg_reload_conf()")
        both = (
            f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/paydue"
            "?target_session_attrs=read-write"
        )

        where = {"database_url": both, "stripe_url": NO_STRIPE, "folder": tmp_path}
        async with server(**where) as serving:
            load = Load(serving.url)
            async with asyncio.TaskGroup() as group:
                group.create_task(load.at(PER_SECOND, 8, invoices))
                failing = group.create_task(fail_over(primary, standby, load))

        before, after = (
            {one.event_id for one in part if one.status == 200}
            for part in (load.sent[: failing.result()], load.sent[failing.result() :])
        )
        stored = await books.event_ids(standby.url("paydue"))
        assert before, "events were acknowledged before the failover"
        assert after, "and after it, by the same process"
        assert {one.event_id for one in load.answered(200)} <= stored
        assert load.statuses() <= {200, 503}
        assert await books.agree(standby.url("paydue"))
    finally:
        standby.remove()


async def fail_over(primary: Postgres, standby: Standby, load: Load) -> int:
    """Two seconds in, the primary dies as by a power cut, and the standby takes its place.

    Answers how many deliveries had been answered when it was dead.
    """
    await asyncio.sleep(2)
    await asyncio.to_thread(primary.stop, signal.SIGQUIT)
    answered = len(load.sent)
    await asyncio.to_thread(standby.promote)
    return answered


async def administer(server_: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(server_.url("paydue"))
    await connection.execute(statement)
    await connection.close()
