"""The API over real HTTP, on both databases: a fresh migrated database for each test."""

import asyncio
import itertools
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import uvicorn

from app.api.auth import create_access
from app.data import schema
from app.data.database import Database
from app.main import create_app
from app.settings import Settings
from tests import postgres
from tests.api.client import Api

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "paydue.db"
    asyncio.run(_migrated(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL binaries on this machine")
    with postgres.running() as server:
        asyncio.run(_hurried(server))
        asyncio.run(_migrated(server.create("template_paydue")))
        yield server
        server.stop(signal.SIGQUIT)  # nothing in it is worth a checkpoint


async def _hurried(server: postgres.Postgres) -> None:
    """These tests pull no plugs, so nothing has to reach the disk."""
    await _administered(server, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")


async def _administered(server: postgres.Postgres, *statements: str) -> None:
    admin = await asyncpg.connect(server.url("postgres"))
    for statement in statements:
        await admin.execute(statement)
    await admin.close()


async def _migrated(url: str) -> None:
    database = Database(url)
    await schema.upgrade(database)
    await database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def template(request: pytest.FixtureRequest) -> Path | postgres.Postgres:
    found: Path | postgres.Postgres = request.getfixturevalue(
        "sqlite_template" if request.param == "sqlite" else "postgres_server"
    )
    return found


@pytest.fixture
async def database(template: Path | postgres.Postgres, tmp_path: Path) -> AsyncIterator[Database]:
    if isinstance(template, Path):
        async with _opened(f"sqlite:///{shutil.copy(template, tmp_path / 'paydue.db')}") as opened:
            yield opened
    else:
        async with _copied(template) as url, _opened(url) as opened:
            yield opened


@asynccontextmanager
async def _copied(server: postgres.Postgres) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    await _administered(server, f"CREATE DATABASE {name} TEMPLATE template_paydue")
    yield server.url(name)
    await _administered(server, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


class Clock:
    """The time of the service under test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def api(database: Database, clock: Clock) -> AsyncIterator[Api]:
    settings = Settings(_env_file=None)
    async with served(create_app(settings, database, clock=clock)) as base:
        async with database.transaction() as tx:
            credentials = await create_access(tx, "tests", ["all"], NOW)
        async with aiohttp.ClientSession(base) as session:
            client = Api(session, database)
            await client.sign_in(*credentials)
            yield client


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    port = postgres.free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_level="warning", access_log=False, lifespan="off")
    )
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event to wait for
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task
