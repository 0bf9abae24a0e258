"""A PostgreSQL to stop and start, a small disk, and books to look into from outside."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.storage import schema
from app.storage.engines import Database
from tests import postgres
from tests.postgres import Postgres

SMALL_DISK = "16m"
POSTGRES_DISK = "256m"


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server of the test's own; the shared one must not be stopped."""
    if postgres.binaries() is None:
        assert "CI" not in os.environ, "CI has PostgreSQL, and none was found"
        pytest.skip("no PostgreSQL binaries on this machine")
    with postgres.running() as server:
        yield server


@pytest.fixture
def own_url(own_postgres: Postgres) -> str:
    url = own_postgres.create("place")

    async def migrate() -> None:
        database = Database(url)
        await schema.upgrade(database)
        await database.close()

    asyncio.run(migrate())
    return url


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'paydue.db')}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own that can be filled and made read-only."""
    with _disk(tmp_path / "disk", SMALL_DISK) as folder:
        yield folder


@pytest.fixture
def postgres_on_a_disk(tmp_path: Path) -> Iterator[tuple[Postgres, Path]]:
    """A PostgreSQL whose data and log lie on a disk that can be filled, and that disk."""
    programs = postgres.binaries()
    if programs is None:
        assert "CI" not in os.environ, "CI has PostgreSQL, and none was found"
        pytest.skip("no PostgreSQL binaries on this machine")
    with _disk(Path(tempfile.mkdtemp(prefix="paydue-disk-")), POSTGRES_DISK) as folder:
        folder.chmod(0o755)
        found = Postgres(programs, folder=folder)
        try:
            found.start()
            yield found, folder
        finally:
            found.remove()


@contextlib.contextmanager
def _disk(folder: Path, size: str) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()
