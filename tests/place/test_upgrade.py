"""A newer version is rolled out and taken back under load and in the middle of an autopay run."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import update

from app.sandbox.server import Sandbox
from app.storage import schema
from app.storage.engines import Database
from tests.gate import Gate
from tests.harness import INVOICES, NO_STRIPE
from tests.patience import wait_limit
from tests.place import books
from tests.place.newer import REVISION, newer_version
from tests.place.programs import Load, Program, program, server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

BATCH, PAUSE_S = 5, 0.2
BY_WEBHOOK, CHARGED = 20, 12
# A confirm waits for a whole migration here; this is the longest that a setting allows.
STRIPE_TIMEOUT_S = "40"


@pytest.fixture
def expanding(tmp_path: Path) -> Path:
    return newer_version(tmp_path, before=schema.head(), expands_only=True)


class SteadyLoad:
    """Deliveries without a pause, to whichever server is the one in service."""

    def __init__(self, load: Load, invoices: list[int]) -> None:
        self.load, self._invoices = load, invoices
        self._stop = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._stop.set()
            await task

    async def _run(self) -> None:
        for invoice in itertools.cycle(self._invoices):
            if self._stop.is_set():
                return
            await self.load.at_once(BATCH, invoice)
            await asyncio.sleep(PAUSE_S)

    async def moves(self, to: Program, ending: Program) -> None:
        """Deliver to another server from now on, and end the one before."""
        self.load.url = to.url
        await ending.terminated()
        await self.goes_on()

    async def goes_on(self) -> None:
        """Return once some more deliveries have been answered."""
        wanted = len(self.load.sent) + 3 * BATCH
        async with asyncio.timeout(wait_limit(60)):
            while len(self.load.sent) < wanted:  # noqa: ASYNC110  a load has no event
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def in_mid_run(gate: Gate, **where: Any) -> AsyncIterator[None]:
    """An autopay run whose first confirms wait at Stripe meanwhile.

    On a slow machine they time out. Then the run leaves those attempts open, and the next one asks.
    """
    held = gate.hold("POST", "/confirm")
    through_the_gate = {**where, "stripe_url": gate.url}
    async with program(
        "autopay", "run", **through_the_gate, PAYDUE_STRIPE_TIMEOUT=STRIPE_TIMEOUT_S
    ) as run:
        await held.came()
        yield
        held.let_go()
        await run.end()
        assert "Traceback" not in run.log()


async def ready(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as answer:
        return answer.status, await answer.json()


async def done(*command: str, **where: Any) -> Program:
    async with program(*command, **where) as ran:
        assert await ran.end() == 0, ran.log()
        return ran


async def flag(url: str, invoices: list[int], *, is_charged: bool) -> None:
    database = Database(url)
    async with database.transaction() as tx:
        mine = INVOICES.c.id.in_(invoices)
        await tx.execute(update(INVOICES).where(mine).values(take_auto_payment=is_charged))
    await database.close()


async def test_a_version_is_rolled_out_and_back_under_load_and_in_mid_run(
    database_url: str, sandbox: Sandbox, stripe_url: str, gate: Gate, tmp_path: Path,
    expanding: Path,
) -> None:  # fmt: skip
    invoices = await books.write(database_url, sandbox, BY_WEBHOOK + 2 * CHARGED)
    by_webhook, charged, later = (
        invoices[:BY_WEBHOOK], invoices[BY_WEBHOOK:], invoices[-CHARGED:]
    )  # fmt: skip
    await flag(database_url, by_webhook + later, is_charged=False)
    old = {"database_url": database_url, "stripe_url": stripe_url, "folder": tmp_path}
    new = {**old, "PYTHONPATH": str(expanding)}
    seen: list[tuple[int, dict[str, Any]]] = []

    async with server(**old) as before:
        steady = SteadyLoad(Load(before.url), by_webhook)
        async with steady.running():
            async with in_mid_run(gate, **old):
                await done("db", "upgrade", **new)
                seen.append(await ready(before.url))
                await steady.goes_on()
            async with server(**new) as after:
                await steady.moves(after, before)
                # The way back: the old version starts on the newer schema.
                async with server(**old) as again:
                    seen.append(await ready(again.url))
                    await steady.moves(again, after)
                    await flag(database_url, later, is_charged=True)
                    async with in_mid_run(gate, **old):
                        await done("db", "downgrade", schema.head(), **new)
                        seen.append(await ready(again.url))
                        await steady.goes_on()
                    log = again.log()
    await books.let_leases_expire(database_url)
    await done("autopay", "run", **old)

    newer, older = ((200, {"status": "ok", "schema": at}) for at in (REVISION, schema.head()))
    assert seen == [newer, newer, older]
    assert "which a newer version of Paydue has made" in log
    await nothing_is_lost_or_doubled(database_url, sandbox, steady.load, charged)


async def nothing_is_lost_or_doubled(
    url: str, sandbox: Sandbox, load: Load, charged: list[int]
) -> None:
    # A server that ends may cut a connection that it has not read from; Stripe delivers again.
    assert load.statuses() <= {200, None}
    assert {one.event_id for one in load.answered(200)} <= await books.event_ids(url)
    assert len(sandbox.ledger.charges()) == len(charged)
    assert sandbox.ledger.double_charges() == {}
    assert not set(await books.due(url)) & set(charged)
    assert await books.agree(url)


async def test_what_the_old_version_cannot_live_with_stops_it_in_words(
    database_url: str, tmp_path: Path
) -> None:
    new = newer_version(tmp_path, before=schema.head(), expands_only=False)
    where = {"database_url": database_url, "stripe_url": NO_STRIPE, "folder": tmp_path}

    async with server(**where) as serving, program("worker", **where) as working:
        await until_said(working, "worker ready")
        await done("db", "upgrade", **where, PYTHONPATH=str(new))
        status, answer = await ready(serving.url)
        await until_said(working, "which a newer version of Paydue has made")
        async with program("serve", "--port", "0", **where) as started:
            code = await started.end()
        async with program("db", "downgrade", schema.head(), **where) as refused:
            refusal = await refused.end()
        await done("db", "downgrade", schema.head(), **where, PYTHONPATH=str(new))
        again, _ = await ready(serving.url)

    words = f"at schema {REVISION}, which a newer version of Paydue has made"
    assert (status, again) == (503, 200)
    assert words in str(answer)
    assert (code != 0, refusal) == (True, 2)
    assert words in started.log()
    assert words in refused.log()
    assert "Traceback" not in serving.log() + working.log() + started.log() + refused.log()


async def until_said(running: Program, words: str) -> None:
    async with asyncio.timeout(wait_limit(60)):
        while words not in running.log():  # noqa: ASYNC110  a log has no event
            await asyncio.sleep(0.05)
