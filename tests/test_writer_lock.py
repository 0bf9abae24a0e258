"""The writers of several processes on one SQLite file, each of which has a lock of its own."""

import asyncio
from pathlib import Path

import pytest

from app.errors import DatabaseUnavailable
from app.storage.sqlite_driver import WriterLock
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio

PATIENCE_S = wait_limit(20)


async def test_who_waits_is_next_though_another_process_writes_again_and_again(
    tmp_path: Path,
) -> None:
    ours, theirs = WriterLock(tmp_path / "paydue.db"), WriterLock(tmp_path / "paydue.db")
    written: list[str] = []

    async def write(lock: WriterLock, name: str) -> None:
        async with lock.hold(PATIENCE_S):
            written.append(name)

    async with asyncio.TaskGroup() as group:
        async with ours.hold(PATIENCE_S):
            group.create_task(write(theirs, "theirs"))
            await asyncio.sleep(0)  # they have taken the place in the queue, at their first step
            await asyncio.sleep(0)
        for _ in range(3):
            group.create_task(write(ours, "ours"))

    assert written == ["theirs", "ours", "ours", "ours"]
    ours.close()
    theirs.close()


async def test_the_place_in_the_queue_is_given_back_by_who_gives_up(tmp_path: Path) -> None:
    ours, theirs = WriterLock(tmp_path / "paydue.db"), WriterLock(tmp_path / "paydue.db")

    async with ours.hold(PATIENCE_S):
        with pytest.raises(DatabaseUnavailable, match="another process"):
            async with theirs.hold(0.01):
                pass
    async with ours.hold(PATIENCE_S):
        pass

    ours.close()
    theirs.close()
