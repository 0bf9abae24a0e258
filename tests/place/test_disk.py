"""A full or read-only disk: a clear error, 5xx to Stripe, nothing half-written, then on it goes."""

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.server import Sandbox
from tests.patience import wait_limit
from tests.place import books
from tests.place.programs import Load, program, server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

NO_STRIPE = "http://127.0.0.1:9"


@pytest.fixture
def read_only_url(sqlite_template: Path, small_disk: Path) -> str:
    file = shutil.copy(sqlite_template, small_disk / "paydue.db")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    return f"sqlite:///{file}"


async def test_a_full_disk_refuses_events_whole_until_there_is_room(
    sqlite_template: Path, small_disk: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{shutil.copy(sqlite_template, small_disk / 'paydue.db')}"
    await books.write(url, None, 3)

    async with server(database_url=url, stripe_url=NO_STRIPE, folder=tmp_path) as up:
        load = Load(up.url, padding=8000)
        first = await load.one(1)
        filler = _fill(small_disk)
        for invoice in (1, 2, 3) * 10:
            await load.one(invoice)
        refused = load.answered(503)
        agreed_while_full = await books.agree(url)
        filler.unlink()
        second = await load.one(2)
        log = up.log()

    assert first.status == 200
    assert len(refused) > 5
    assert all(one.retry_after for one in refused)
    assert "database or disk is full" in log
    assert agreed_while_full
    assert second.status == 200
    assert load.statuses() == {200, 503}
    taken = load.answered(200)
    assert await books.event_ids(url) == {one.event_id for one in taken}
    assert await books.intents_paid(url) == {one.intent_id for one in taken}
    assert await books.agree(url)


async def test_a_run_goes_on_once_a_full_disk_has_room(
    sqlite_template: Path, small_disk: Path, sandbox: Sandbox, stripe_url: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{shutil.copy(sqlite_template, small_disk / 'paydue.db')}"
    await books.write(url, sandbox, 20)
    sandbox.set_latency(0.1)
    where: dict[str, Any] = {"database_url": url, "stripe_url": stripe_url, "folder": tmp_path}

    async with program("autopay", "run", PAYDUE_STRIPE_CONCURRENCY="2", **where) as run:
        async with asyncio.timeout(wait_limit(60)):
            while not sandbox.ledger.charges():  # noqa: ASYNC110  the sandbox tells nobody
                await asyncio.sleep(0.02)
            filler = _fill(small_disk)
            while "waiting for the database" not in run.log():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        filler.unlink()
        code = await run.end()

    assert (code, "Traceback" in run.log()) == (0, False)
    assert len(sandbox.ledger.charges()) == 20
    assert sandbox.ledger.double_charges() == {}
    assert await books.due(url) == []
    assert await books.agree(url)


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("worker",), ("autopay", "run")])
async def test_a_read_only_disk_is_named_in_one_line(
    read_only_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    where = {"database_url": read_only_url, "stripe_url": NO_STRIPE, "folder": tmp_path}

    async with program(*command, **where) as tried:
        code = await tried.end()

    assert code != 0
    assert "Traceback" not in tried.log()
    assert any(word in tried.log().lower() for word in ("read-only", "readonly"))


def _fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler
