"""A statement that fails raises one of our own exceptions, whoever sent it and on either engine."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import bindparam, func, insert, select, text

from app.storage import schema
from app.storage.bulk_writes import BulkInsert
from app.storage.column_types import table_of
from app.storage.driver_errors import DuplicateKey, LostRace, StatementRefused
from app.storage.engines import Database
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.clients import Client
from app.storage.tables.cluster import CustomerLease
from app.storage.tables.invoices import Invoice
from tests.harness import watched

pytestmark = pytest.mark.anyio

LEASES = table_of(CustomerLease)
INVOICES = table_of(Invoice)
LEASE = {"customer_id": "cus_1", "token": "a run", "until": datetime(2026, 1, 1, tzinfo=UTC)}


class _Id(NamedTuple):
    id: int


FIND = PreparedStatement(select(INVOICES.c.id).where(INVOICES.c.id == bindparam("id")), _Id)
FIND_ANY = PreparedStatement(select(INVOICES.c.id).where(any_of(INVOICES.c.id, "ids")), _Id)
INSERT = BulkInsert(LEASES, list(LEASE))


@pytest.mark.parametrize("value", [2**63, -(2**80)])
async def test_a_value_that_the_driver_refuses_is_a_refused_statement_and_spoils_no_connection(
    database: Database, value: int
) -> None:
    for _ in range(12):  # more often than a pool has connections
        with pytest.raises(StatementRefused):
            async with database.transaction() as tx:
                await FIND.all(tx, id=value)

    async with database.transaction() as tx:
        assert await FIND.all(tx, id=1) == []


async def test_a_key_that_exists_is_one_exception_for_both_ways_to_send_a_statement(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        await tx.execute(insert(LEASES), [LEASE])

    with pytest.raises(DuplicateKey):
        async with database.transaction() as tx:
            await tx.execute(insert(LEASES), [LEASE])
    with pytest.raises(LostRace):  # whoever inserts in bulk has looked before
        async with database.transaction() as tx:
            await INSERT.run(tx, [LEASE])


async def test_listeners_of_sqlalchemy_see_prepared_statements(database: Database) -> None:
    seen: list[str] = []

    with watched(database, lambda statement, _: seen.append(statement)):
        async with database.transaction() as tx:
            await FIND_ANY.all(tx, ids=[1, 2])
            await INSERT.run(tx, [LEASE])

    assert [text for text in seen if "FROM invoice" in text and "SELECT" in text] != []
    assert [text for text in seen if text.startswith("INSERT INTO customer_turn")] != []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("is_prepared", [True, False])
async def test_what_is_committed_on_a_connection_that_was_left_in_a_transaction_is_durable(
    database: Database, is_prepared: bool
) -> None:
    """The state of a task that was cancelled between BEGIN and SQLAlchemy's note of it."""
    async with database.transaction() as tx:
        left = (await tx.get_raw_connection()).driver_connection
        assert left is not None
    transaction = left.transaction()
    await transaction.start()

    async with database.transaction() as tx:
        if is_prepared:
            await INSERT.run(tx, [LEASE])
        else:
            await tx.execute(insert(LEASES), [LEASE])

    other = Database(database.url.render_as_string(hide_password=False))
    async with other.snapshot() as tx:
        kept = list(await tx.scalars(select(LEASES.c.customer_id)))
    await other.close()
    assert kept == ["cus_1"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_value_that_is_refused_is_named_in_no_message(database: Database) -> None:
    for value, statement in (
        (2**80, "SELECT CAST(:value AS BIGINT)"),
        ("12 Private Road", "SELECT CAST(CAST(:value AS TEXT) AS BIGINT)"),
    ):
        with pytest.raises(StatementRefused) as refused:
            async with database.snapshot() as tx:
                await tx.execute(text(statement), {"value": value})

        assert str(value) not in str(refused.value)
        assert str(refused.value)


async def test_a_database_that_opens_takes_no_lock_from_another_of_its_process(
    tmp_path: Path,
) -> None:
    """SQLite's locks belong to the process: who closes the file himself gives all of them up.

    A process that meets no lock then clears the log away that the others still read.
    """
    url = f"sqlite:///{tmp_path}/paydue.db"
    ours, neighbour = Database(url), Database(url)
    await schema.upgrade(ours)
    assert await _clients(ours) == await _clients(neighbour) == 0

    for number in (1, 2):
        await asyncio.to_thread(_insert_client_elsewhere, tmp_path / "paydue.db", number)

        assert await _clients(ours) == await _clients(neighbour) == number
    await neighbour.close()
    await ours.close()


async def _clients(database: Database) -> int | None:
    async with database.snapshot() as tx:
        return await tx.scalar(select(func.count()).select_from(table_of(Client)))


def _insert_client_elsewhere(file: Path, number: int) -> None:
    insertion = f"INSERT INTO client (id, name, inactive) VALUES ({number}, 'A', 0)"
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute(sys.argv[2]); c.commit(); c.close()"
    )
    subprocess.run([sys.executable, "-c", program, file, insertion], check=True)
