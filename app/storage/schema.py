"""Brings the schema up to date and says whether it is: Alembic, on either engine."""

import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from app.errors import ConfigurationError
from app.storage.column_types import Row
from app.storage.engines import Database, Tx
from app.storage.tables import (  # noqa: F401  every table is known to the metadata once imported
    audit_seals,
    autopay_policies,
    catalogue,
    charge_attempts,
    clients,
    cluster,
    console_people,
    credentials,
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


async def expect_current(database: Database) -> None:
    """Raises ConfigurationError, with the mend, when the schema is not this version's."""
    at = await revision(database)
    if at is not None and not is_known(at):
        raise ConfigurationError(newer(at))
    if at != head():
        said = "is empty" if at is None else f"is at schema {at}, this version needs {head()}"
        raise ConfigurationError(f"the database {said}; run: paydue db upgrade")


async def expect_known(database: Database) -> str:
    """The revision, or ConfigurationError when the schema is none, or newer than this version's."""
    at = await revision(database)
    if at is None:
        raise ConfigurationError("this is no database of Paydue's; make one with: paydue db init")
    if not is_known(at):
        raise ConfigurationError(newer(at))
    return at


def is_known(at: str) -> bool:
    """Whether this version of Paydue has the migration of that revision."""
    return at in _known_revisions()


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
    """Bring the schema to a revision; nodes that start at once take turns."""
    at = await revision(database)
    if at is not None and not is_known(at):
        raise ConfigurationError(newer(at))
    async with turn_to_migrate(database) as tx:
        await tx.run_sync(_upgrade, to)


async def downgrade(database: Database, to: str) -> None:
    async with turn_to_migrate(database) as tx:
        await tx.run_sync(lambda connection: command.downgrade(_config(connection), to))


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
    if _revision(connection) != head() or to != "head":
        command.upgrade(_config(connection), to)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
