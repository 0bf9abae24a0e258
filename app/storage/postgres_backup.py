"""Backups of PostgreSQL by its own programs, pg_dump and pg_restore."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL

from app.errors import ConfigurationError, DamagedDatabase, Refused
from app.storage.engines import Database
from app.storage.sqlite_driver import create_private

# Options of the URL, and the variables by which PostgreSQL's own programs are told the same.
_VARIABLES: Mapping[str, str] = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "passfile": "PGPASSFILE",
}


async def dump(database: Database, to: Path) -> None:
    """Write a compressed dump of one moment, into a private file; nobody waits for it."""
    create_private(to)
    await _run(database.url, "pg_dump", "--format=custom", "--no-owner", f"--file={to}")
    await verify(database.url, to)


async def verify(url: URL, file: Path) -> None:
    """Raises DamagedDatabase unless the file is a dump that pg_restore can read to its end."""
    try:
        await _run(url, "pg_restore", f"--file={os.devnull}", str(file))
    except Refused as error:
        raise DamagedDatabase(f"{file} is no whole dump: {error.message}") from None


async def restore(database: Database, source: Path) -> None:
    """Fill an empty database that nobody is connected to; all of it, or nothing."""
    await expect_empty(database)
    await _run(
        database.url, "pg_restore", "--no-owner", "--exit-on-error", "--single-transaction",
        f"--dbname={database.url.database}", str(source),
    )  # fmt: skip


async def expect_empty(database: Database) -> None:
    async with database.snapshot() as tx:
        tables = await tx.scalar(
            text("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()")
        )
        # Ours are in this process; another's would begin to work on what is half there.
        others = await tx.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        )
    if tables:
        raise Refused(
            "the database has tables; make a new one with createdb, let PAYDUE_DATABASE_URL name "
            "it, and restore into that"
        )
    if others:
        raise Refused(
            "somebody is connected to the database; stop every `paydue serve` and `paydue worker`"
        )


async def _run(url: URL, program: str, *arguments: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments,
            env={**os.environ, **libpq_environment(url)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise ConfigurationError(
            f"{program} is not installed; Debian has it in the package postgresql-client"
        ) from None
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        raise
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or [f"{program} failed"]
        raise Refused(lines[0])


def libpq_environment(url: URL) -> dict[str, str]:
    """The connection for PostgreSQL's programs. No list of processes shows it, password and all."""
    found = {
        "PGHOST": url.host,
        "PGPORT": str(url.port) if url.port else None,
        "PGUSER": url.username,
        "PGPASSWORD": str(url.password) if url.password else None,
        "PGDATABASE": url.database,
        **{variable: url.query.get(option) for option, variable in _VARIABLES.items()},
    }
    hosts = url.query.get("host")
    if hosts:
        named = [one.rpartition(":") for one in ([hosts] if isinstance(hosts, str) else hosts)]
        found["PGHOST"] = ",".join(host or port for host, _, port in named)
        found["PGPORT"] = ",".join(port if host else "5432" for host, _, port in named)
    return {name: str(value) for name, value in found.items() if value}
