"""Databases of earlier versions, with data in them, go up to this version and back again."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, MetaData, select

from app.ledger import audit_chain, journal_check
from app.sandbox.server import Sandbox
from app.storage import schema
from app.storage.engines import Database
from tests.conftest import dropped
from tests.harness import Paydue, event, settings_for
from tests.ledger_acts import LedgerActs
from tests.released import dumps

pytestmark = pytest.mark.anyio

KEPT = sorted(dumps.DATA.glob("*.gz"))
_numbers = itertools.count(1)
Rows = dict[str, list[str]]


@pytest.fixture(params=[pytest.param(one, id=one.name.removesuffix(".gz")) for one in KEPT])
def kept(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def kept_url(kept: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database as that version left it."""
    if "sqlite" in kept.name:
        url = f"sqlite:///{tmp_path / 'kept.db'}"
        dumps.load(kept, url)
        yield url
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create(f"kept_{tmp_path.name[-20:].lower()}_{next(_numbers)}")
    dumps.load(kept, url)
    yield url
    asyncio.run(dropped(server, url))


def test_both_engines_are_kept_of_each_revision() -> None:
    engines: dict[str, set[str]] = {}
    for one in KEPT:
        revision, engine, _ = one.name.split(".")
        engines.setdefault(revision, set()).add(engine)

    assert len(engines) >= 2
    assert all(found == {"sqlite", "postgres"} for found in engines.values())


async def test_a_kept_database_goes_up_and_back_with_every_row_of_it(
    kept: Path, kept_url: str
) -> None:
    database = Database(kept_url)
    before = await _rows(database)
    at = await schema.revision(database)
    assert at == kept.name.split(".")[0]

    await schema.upgrade(database)
    await schema.expect_usable(database)
    faults = await _faults(database)
    above = await _rows(database)
    await schema.downgrade(database, at)
    after = await _rows(database)
    await database.close()

    assert faults == []
    assert {table: len(above[table]) for table in before} == {
        table: len(rows) for table, rows in before.items()
    }
    assert sum(map(len, before.values())) > 1000
    assert after == before


async def test_a_kept_database_is_worked_on_after_its_upgrade(
    kept: Path, kept_url: str, sandbox: Sandbox, stripe_url: str
) -> None:
    database = Database(kept_url)
    await schema.upgrade(database)
    await database.close()

    async with Paydue.running(settings_for(kept_url, stripe_url), sandbox) as paydue:
        client = await paydue.a_client()
        invoice = await LedgerActs(paydue.database).invoice(120, client_id=client)
        paid = event("payment_intent.succeeded", await paydue.own_intent(invoice))
        statuses = await paydue.deliver(paid)
        due = (await paydue.invoice(invoice)).amountdue
        faults = await _faults(paydue.database)
        await schema.downgrade(paydue.database, kept.name.split(".")[0])
        await schema.upgrade(paydue.database)
        again = (await paydue.invoice(invoice)).amountdue

    assert (statuses, due, again) == ([200], 0, 0)
    assert faults == []


async def _faults(database: Database) -> list[str]:
    """Sums of the books that differ, and changes of the audit that were edited."""
    async with database.snapshot() as tx:
        books = [str(one) for one in await journal_check.list_differences(tx)]
        return [*books, *(await audit_chain.verify(tx, None)).faults]


async def _rows(database: Database) -> Rows:
    """Every row of every table, as the database itself describes it."""

    def read(connection: Connection) -> Rows:
        found = MetaData()
        found.reflect(connection)
        return {
            name: sorted(
                repr(tuple(row))
                for row in connection.execute(select(table))
                if schema.OLDEST_CODE not in row
            )
            for name, table in found.tables.items()
            if "search" not in name and name != "alembic_version"
        }

    async with database.snapshot() as tx:
        return await tx.run_sync(read)
