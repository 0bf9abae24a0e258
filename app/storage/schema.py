"""Brings the schema up to date and says whether it is: Alembic, on either engine.

A migration that only adds says so by `expands_only = True`. Nodes of the version before it go on at
its schema, so that a new version can be rolled out, and taken back, while they serve. The database
names the oldest revision whose code can work with it, since an old node has no newer migrations.
"""

import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, delete, insert, select, text

from app.errors import ConfigurationError
from app.storage.column_types import Row, table_of
from app.storage.engines import Database, Tx
from app.storage.tables import (  # noqa: F401  every table is known to the metadata once imported
    alert_episodes,
    audit_seals,
    autopay_policies,
    catalogue,
    charge_attempts,
    clients,
    cluster,
    console_people,
    credentials,
    customer_links,
    expenses,
    imported_records,
    invoice_payments,
    invoice_proratas,
    invoices,
    journal_entries,
    lookups,
    outbox_messages,
    presence,
    stripe_events,
    stripe_payments,
    stripe_payouts,
    stripe_refund_requests,
    stripe_reversals,
    taxes,
)
from app.storage.tables.cluster import InstallationValue

METADATA = Row.metadata
VALUES = table_of(InstallationValue)
# The value that names the oldest revision whose code can work with the schema; absent where that is
# the schema's own.
OLDEST_CODE = "schema_oldest_code"
_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_ADVISORY_LOCK = 7_293_483  # "paydue" on a telephone's keys: nodes that start together take turns


def head() -> str:
    """The newest revision this version of Paydue knows."""
    return _known_revisions()[0]


async def revision(database: Database) -> str | None:
    """The revision the database is at, None for an empty one."""
    async with database.snapshot() as tx:
        return await revision_in(tx)


async def revision_in(tx: Tx) -> str | None:
    return await tx.run_sync(_revision)


async def engine_version(tx: Tx) -> tuple[str, str]:
    """`SQLite` and `3.46.1`, or `PostgreSQL` and what its server says."""
    if tx.dialect.name == "sqlite":
        return "SQLite", str(await tx.scalar(text("SELECT sqlite_version()")))
    return "PostgreSQL", str(await tx.scalar(text("SHOW server_version")))


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The revision that the database is at, None for an empty one, and whether it is usable here.

    It is where it is this version's, or where a newer version has only added to it.
    """

    at: str | None
    is_usable: bool

    @property
    def is_newer(self) -> bool:
        return self.at is not None and not is_known(self.at)

    def words(self) -> str:
        """A sentence for people: which schema there is, and what to do where it is not usable."""
        if self.at is None:
            return "the database is empty; run: paydue db upgrade"
        if self.is_newer and self.is_usable:
            return (
                f"the database is at schema {self.at}, which a newer version of Paydue has made; "
                f"this version knows {head()} and can work with it"
            )
        if self.is_newer:
            return newer(self.at)
        if not self.is_usable:
            return (
                f"the database is at schema {self.at}, this version needs {head()}; "
                "run: paydue db upgrade"
            )
        return f"the database is at schema {self.at}"


async def state(database: Database) -> SchemaState:
    async with database.snapshot() as tx:
        return await state_in(tx)


async def state_in(tx: Tx) -> SchemaState:
    at = await revision_in(tx)
    if at is None or is_known(at):
        return SchemaState(at, is_usable=at == head())
    oldest = await tx.scalar(select(VALUES.c.value).where(VALUES.c.name == OLDEST_CODE))
    return SchemaState(at, is_usable=oldest is not None and is_known(oldest))


async def expect_usable(database: Database) -> SchemaState:
    """Raises ConfigurationError, with the mend, when this version cannot work with the schema."""
    found = await state(database)
    if not found.is_usable:
        raise ConfigurationError(found.words())
    return found


async def expect_known(database: Database) -> str:
    """The revision, or ConfigurationError when the schema is none, or newer than this version's."""
    at = await revision(database)
    if at is None:
        raise ConfigurationError("this is no database of Paydue's; make one with: paydue db init")
    if not is_known(at):
        raise ConfigurationError(newer(at))
    return at


async def expect_readable(database: Database) -> str:
    """The revision, or ConfigurationError when it is neither known nor one that only added."""
    found = await state(database)
    if found.at is not None and found.is_usable:
        return found.at
    return await expect_known(database)


def is_known(at: str) -> bool:
    """Whether this version of Paydue has the migration of that revision."""
    return at in _known_revisions()


def expands(script: Script) -> bool:
    """Whether that migration says that it only adds, so that code of before goes on."""
    return bool(getattr(script.module, "expands_only", False))


def oldest_code(at: str) -> str:
    """The oldest revision whose code can work with the schema of a known one."""
    scripts = ScriptDirectory.from_config(_config())
    script = scripts.get_revision(at)
    while expands(script):
        assert isinstance(script.down_revision, str), "the first migration adds to nothing"
        script = scripts.get_revision(script.down_revision)
    return str(script.revision)


@functools.cache
def _known_revisions() -> tuple[str, ...]:
    """From the newest to the oldest. Alembic loads every migration's module to find them."""
    found = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(one.revision for one in found)


def newer(at: str) -> str:
    """The mend for a database that a newer version of Paydue has upgraded."""
    return (
        f"the database is at schema {at}, which a newer version of Paydue has made; this version "
        f"knows {head()}. Run the newer version again, or let it go back: "
        f"paydue db downgrade {head()}"
    )


async def upgrade(database: Database, to: str = "head") -> None:
    """Bring the schema to a revision; nodes that start at once take turns.

    A newer schema that this version can work with stays as it is.
    """
    found = await state(database)
    if found.is_newer:
        if not found.is_usable:
            raise ConfigurationError(found.words())
        return
    async with turn_to_migrate(database) as tx:
        await tx.run_sync(_upgrade, to)


async def downgrade(database: Database, to: str) -> None:
    async with turn_to_migrate(database) as tx:
        await tx.run_sync(_downgrade, to)


@contextlib.asynccontextmanager
async def turn_to_migrate(database: Database) -> AsyncIterator[Tx]:
    """One node at a time, however long the one before needs."""
    async with database.migration() as tx:
        if not database.is_sqlite:
            await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        yield tx


async def installation(database: Database) -> str:
    """The name that keeps this database's idempotency keys apart from any other's."""
    async with database.snapshot() as tx:
        found = await tx.scalar(
            select(InstallationValue.value).where(InstallationValue.name == "installation")
        )
    assert found is not None, "the first migration names the installation"
    return found


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection, to: str) -> None:
    at = _revision(connection)
    if at is not None and not is_known(at):
        return  # a newer node had its turn first
    if at != head() or to != "head":
        command.upgrade(_config(connection), to)
        _name_oldest_code(connection)


def _downgrade(connection: Connection, to: str) -> None:
    command.downgrade(_config(connection), to)
    _name_oldest_code(connection)


def _name_oldest_code(connection: Connection) -> None:
    """In the migration's own transaction, so that no node reads the one without the other."""
    at = _revision(connection)
    if at is None:
        return
    oldest = oldest_code(at)
    connection.execute(delete(VALUES).where(VALUES.c.name == OLDEST_CODE))
    if oldest != at:
        connection.execute(insert(VALUES).values(name=OLDEST_CODE, value=oldest))


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
