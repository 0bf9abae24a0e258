"""`serve` and `worker` share one SQLite file under load: nobody is told that it is locked."""

import asyncio
import time
from pathlib import Path

import pytest

from app.sandbox.server import Sandbox
from tests.harness import SECRET
from tests.patience import wait_limit
from tests.place import books
from tests.place.programs import Load, program, server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

INVOICES = 60


async def test_a_server_and_a_worker_share_one_file_without_locking_each_other_out(
    sqlite_url: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path
) -> None:
    invoices = await books.write(sqlite_url, sandbox, INVOICES)
    strangers = await _more_invoices(invoices)
    await books.begin_autopay_at_once(sqlite_url)
    where = {"database_url": sqlite_url, "stripe_url": stripe_url, "folder": tmp_path}

    async with server(**where) as serving:
        sandbox.add_endpoint(f"{serving.url}/stripe/webhook", secrets=[SECRET])
        load = Load(serving.url)
        async with program("worker", **where, PAYDUE_RECONCILE_EVERY="1") as working:
            await load.at(100, 5, strangers)
            await _charged(sandbox, working.log)
            async with asyncio.timeout(wait_limit(30)):
                await sandbox.drained()
            ended = await working.terminated()
        logs = serving.log() + working.log()

    assert ended[0] == 0
    assert load.statuses() == {200}
    assert {one.status for one in sandbox.deliveries} == {200}
    assert "locked" not in logs
    assert "Traceback" not in logs
    assert len(sandbox.ledger.charges()) == INVOICES
    assert sandbox.ledger.double_charges() == {}
    assert await books.due(sqlite_url) == []
    assert await books.agree(sqlite_url)


async def _more_invoices(invoices: list[int]) -> list[int]:
    """Ids nobody has yet: the load is stored and parked, and the worker tries it again."""
    return [one + 10_000 for one in invoices]


async def _charged(sandbox: Sandbox, log: object) -> None:
    deadline = time.monotonic() + wait_limit(30)
    while len(sandbox.ledger.charges()) < INVOICES:
        assert time.monotonic() < deadline, log
        await asyncio.sleep(0.05)
