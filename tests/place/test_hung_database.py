"""A database that hangs costs a 503 within five seconds and no memory, and is forgiven at once."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import wait_limit
from tests.place import books
from tests.place.programs import ANSWERED_WITHIN_S, Load, server
from tests.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

BODY = 16 * 1024
# 2000 bodies of 16 KiB are 32 MiB, and twice that while they are parsed.
GROWTH_MAX_MB = 150
WAVES, AT_ONCE = 4, 500


async def test_a_hung_database_is_answered_for_in_time_and_in_bounds(
    own_postgres: Postgres, own_url: str, tmp_path: Path
) -> None:
    await books.write(own_url, None, 1)

    async with server(database_url=own_url, stripe_url="http://127.0.0.1:9", folder=tmp_path) as up:
        load = Load(up.url, padding=BODY)
        await load.at_once(50, 1)
        memory = up.memory_mb()
        with _hung(own_postgres):
            for _ in range(WAVES):
                await load.at_once(AT_ONCE, 1)
            growth = up.memory_mb() - memory
            refused = len(load.answered(503))
        recovered = await _recovered(load)

    assert refused == WAVES * AT_ONCE, "all of them met a hung database"
    assert all(one.retry_after for one in load.answered(503))
    assert max(one.seconds for one in load.answered(503)) < ANSWERED_WITHIN_S
    assert growth < GROWTH_MAX_MB
    assert recovered < wait_limit(10), "it works again by itself"
    assert {one.event_id for one in load.answered(200)} <= await books.event_ids(own_url)
    assert await books.agree(own_url)


@contextlib.contextmanager
def _hung(server: Postgres) -> Iterator[None]:
    """All of PostgreSQL's processes stand still, as on a host whose disk does not answer."""
    processes = _family(server._postmaster())
    assert len(processes) > 1
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        # runuser, which starts PostgreSQL for root, stops with its child but does not wake with it.
        for pid in (*processes, server._process.pid if server._process else processes[0]):
            os.kill(pid, signal.SIGCONT)


def _family(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *map(int, children)]


async def _recovered(load: Load) -> float:
    """Seconds until an event is taken again."""
    started = time.monotonic()
    while time.monotonic() - started < wait_limit(30):
        if (await load.one(1)).status == 200:
            break
        await asyncio.sleep(0.2)
    return time.monotonic() - started
