"""PostgreSQL's disk is full: events are refused whole with 503, none is lost, then on it goes."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from app.storage import schema
from app.storage.engines import Database
from tests.patience import wait_limit
from tests.place import books
from tests.place.programs import Load, server
from tests.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

NO_STRIPE = "http://127.0.0.1:9"
CROWD, CROWDS = 50, 6


@pytest.mark.parametrize("what", ["a table", "the log"])
async def test_a_full_disk_of_postgres_refuses_events_until_there_is_room(
    postgres_on_a_disk: tuple[Postgres, Path], tmp_path: Path, what: str
) -> None:
    """A table that cannot grow fails a statement; a log that cannot ends the whole server."""
    postgres, disk = postgres_on_a_disk
    url = await _migrated(postgres)
    invoices = await books.write(url, None, 3)

    async with server(database_url=url, stripe_url=NO_STRIPE, folder=tmp_path) as up:
        load = Load(up.url, padding=8000)
        first = await load.one(invoices[0])
        filler = _fill(disk)
        if what == "the log":
            await _need_a_new_file_of_the_log(url)
        for _ in range(CROWDS):
            await load.at_once(CROWD, invoices[1])
        refused = load.answered(503)
        filler.unlink()
        again = await _answered_again(load, invoices[2], postgres)
        log = up.log()

    assert first.status == 200
    assert refused
    assert all(one.retry_after for one in refused)
    assert again
    assert load.statuses() == {200, 503}
    assert "Traceback" not in log
    taken = load.answered(200)
    assert {one.event_id for one in taken} <= await books.event_ids(url)
    assert {one.intent_id for one in taken} <= await books.intents_paid(url)
    assert await books.agree(url)


async def _migrated(postgres: Postgres) -> str:
    url = await asyncio.to_thread(postgres.create, "place")
    database = Database(url)
    await schema.upgrade(database)
    await database.close()
    return url


async def _need_a_new_file_of_the_log(url: str) -> None:
    """The file that is begun ends here, so that whatever is committed next needs another."""
    try:
        connection = await asyncpg.connect(url)
        await connection.execute("SELECT pg_switch_wal()")
        await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        pass  # the server has ended at once


async def _answered_again(load: Load, invoice: int, postgres: Postgres) -> bool:
    """By itself, once the server is there: one that has ended is started, as systemd would."""
    for _ in range(int(wait_limit(20))):
        if postgres.has_ended():
            await asyncio.to_thread(postgres.start)
        if (await load.one(invoice)).status == 200:
            return True
        await asyncio.sleep(0.5)
    return False


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler
