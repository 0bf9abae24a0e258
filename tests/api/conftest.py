"""The API over real HTTP, with a clock that tests move."""

from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import pytest
from sqlalchemy import make_url

from app.halo.access.api_credentials import create_credential
from app.main import create_app
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.engines import Database
from tests.api.client import Api
from tests.clock import NOW, Clock


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """As everywhere, but in a hurry: these tests are many and pull no plugs."""
    if not database_url.startswith("sqlite"):
        await _administer(database_url, "ALTER DATABASE {} SET synchronous_commit = off")
    opened = Database(database_url)
    yield opened
    await opened.close()


async def _administer(url: str, statement: str) -> None:
    at = make_url(url)
    admin = await asyncpg.connect(at.set(database="postgres").render_as_string(False))
    await admin.execute(statement.format(at.database))
    await admin.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def api(database: Database, clock: Clock) -> AsyncIterator[Api]:
    settings = Settings(_env_file=None, PAYDUE_RATE_LIMIT=0)  # the clock stands still
    async with serve_in_loop(create_app(settings, database, clock=clock)) as base:
        async with database.transaction() as tx:
            credentials = await create_credential(tx, "tests", ["all"], NOW)
        async with aiohttp.ClientSession(base) as session:
            client = Api(session, database)
            await client.sign_in(*credentials)
            yield client
