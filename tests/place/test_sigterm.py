"""SIGTERM: what was accepted is answered, nothing new begins, leases go back, within 10 seconds."""

import asyncio
import time
from pathlib import Path

import pytest

from app.sandbox.server import Sandbox
from tests.patience import wait_limit
from tests.place import books
from tests.place.programs import STOPPED_WITHIN_S, Load, Program, program, server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

CONFIRM = "/v1/payment_intents/{id}/confirm"


async def test_a_stopped_server_answers_what_it_has_accepted(
    database_url: str, stripe_url: str, tmp_path: Path
) -> None:
    invoices = await books.write(database_url, None, 5)
    where = {"database_url": database_url, "stripe_url": stripe_url, "folder": tmp_path}

    async with server(**where) as serving:
        load = Load(serving.url)
        sending = asyncio.create_task(load.at(200, 2, invoices))
        while len(load.answered(200)) < 50:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        code, seconds = await serving.terminated()
        await sending

    assert (code, seconds < STOPPED_WITHIN_S) == (0, True)
    assert load.statuses() == {200, None}, "it was stopped under load, and refused what came later"
    kept = await books.event_ids(database_url)
    assert {one.event_id for one in load.answered(200)} <= kept
    assert await books.agree(database_url)


@pytest.mark.parametrize(("command", "code"), [(("worker",), 0), (("autopay", "run"), 1)])
async def test_a_stopped_run_begins_nothing_new_and_gives_its_leases_back(
    database_url: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path,
    command: tuple[str, ...], code: int,
) -> None:  # fmt: skip
    await books.write(database_url, sandbox, 12)
    await books.begin_autopay_at_once(database_url)
    sandbox.set_latency(0.7)
    where = {"database_url": database_url, "stripe_url": stripe_url, "folder": tmp_path}

    async with program(*command, **where, PAYDUE_STRIPE_CONCURRENCY="4") as running:
        await _in_the_middle(sandbox, running)
        ended = await running.terminated()

    assert ended[0] == code, running.log()
    assert ended[1] < STOPPED_WITHIN_S
    tried = await books.attempts(database_url)
    assert 0 < len(tried) < 12, "it began nothing new"
    assert [row.id for row in tried if row.lease_until is not None] == []
    sandbox.set_latency(0)
    async with program("autopay", "run", **where) as following:
        assert await following.end() == 0, following.log()
    assert await books.due(database_url) == []
    assert sandbox.ledger.double_charges() == {}
    assert len(sandbox.ledger.charges()) == 12


async def test_a_run_that_stripe_leaves_hanging_stops_all_the_same(
    database_url: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path
) -> None:
    await books.write(database_url, sandbox, 3)
    sandbox.fault("POST " + CONFIRM, kind="hang", when="after", seconds=60)
    where = {"database_url": database_url, "stripe_url": stripe_url, "folder": tmp_path}

    async with program("autopay", "run", **where, PAYDUE_STRIPE_TIMEOUT="40") as running:
        deadline = time.monotonic() + wait_limit(20)
        while not sandbox.ledger.charges():
            assert time.monotonic() < deadline, running.log()
            await asyncio.sleep(0.02)
        code, seconds = await running.terminated()

    assert (code, seconds < STOPPED_WITHIN_S) == (1, True), running.log()
    tried = await books.attempts(database_url)
    assert [row.id for row in tried if row.lease_until is not None] == []
    sandbox.clear_faults()
    async with program("autopay", "run", **where) as following:
        assert await following.end() == 0, following.log()
    assert await books.due(database_url) == []
    assert sandbox.ledger.double_charges() == {}


async def _in_the_middle(sandbox: Sandbox, running: Program) -> None:
    """Some charges are made, and more are under way."""
    deadline = time.monotonic() + wait_limit(20)
    while not sandbox.ledger.charges():
        assert time.monotonic() < deadline, running.log()
        await asyncio.sleep(0.02)
