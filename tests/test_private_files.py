"""The files of a database are its owner's alone, whatever the umask of whoever starts Paydue."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.cli import main
from app.storage import schema
from app.storage.engines import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
def generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


@pytest.mark.usefixtures("generous_umask")
async def test_database_wal_and_lock_are_closed_to_others(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'paydue.db'}")

    await schema.upgrade(database)
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE fact SET value = value"))

    modes = modes_in(tmp_path)
    await database.close()
    assert {
        "paydue.db",
        "paydue.db-wal",
        "paydue.db-shm",
        "paydue.db-lock",
        "paydue.db-queue",
    } == modes.keys()
    assert set(modes.values()) == {0o600}


@pytest.mark.usefixtures("generous_umask")
def test_every_command_makes_files_that_are_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["paydue", "--version"])

    with pytest.raises(SystemExit):
        main()

    (tmp_path / "export.csv").touch()
    assert modes_in(tmp_path) == {"export.csv": 0o600}
