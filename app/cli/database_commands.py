"""The commands on the database: make it, upgrade it, check it, back it up, restore it."""

import sys
from pathlib import Path

import click

from app.cli import database_backup
from app.cli.command_group import FAILED, run, settings_and_logs
from app.cli.database_backup import RestoreReport
from app.cli.terminal import console, say, say_json, table
from app.errors import ConfigurationError, Refused
from app.node import open_database
from app.storage import schema
from app.storage.engines import shown_url


@click.group()
def db() -> None:
    """Make the database, bring its schema up to date, back it up and restore it."""


@db.command("init")
def db_init() -> None:
    """Make the database, empty and with this version's schema. One that is there stays as it is."""
    settings = settings_and_logs()

    async def work() -> tuple[str, str | None]:
        async with open_database(settings, create=True) as database:
            before = await schema.revision(database)
            await schema.upgrade(database)
            return shown_url(database.url), before

    where, before = run(work())
    made = "was there already" if before else "is made"
    say(f"the database {where} {made}; schema {schema.head()}")


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema up to this version. Safe to run at any time, from several nodes at once."""
    settings = settings_and_logs()

    async def work() -> tuple[str | None, str | None]:
        async with open_database(settings) as database:
            before = await schema.revision(database)
            await schema.upgrade(database)
            return before, await schema.revision(database)

    before, after = run(work())
    say(f"schema {after}" if before == after else f"schema {before or 'empty'} -> {after}")


@db.command("check")
def db_check() -> None:
    """Say whether this version can work with the schema. Exit code 1 when it cannot."""
    settings = settings_and_logs()

    async def work() -> schema.SchemaState:
        async with open_database(settings) as database:
            return await schema.state(database)

    found = run(work())
    if found.is_usable:
        say(found.words() if found.is_newer else f"schema {found.at} is up to date")
        return
    if found.is_newer:
        raise ConfigurationError(found.words())
    say(f"schema {found.at or 'empty'}, this version needs {schema.head()}", err=True)
    say("mend it with: paydue db upgrade", err=True)
    sys.exit(FAILED)


@db.command("downgrade")
@click.argument("revision")
def db_downgrade(revision: str) -> None:
    """Take the schema back to REVISION, for an older version of Paydue that is to run again.

    Run the newer version's command, after you have stopped every other process of the newer version
    and made a backup: what only the newer schema can hold is lost. The older version names the
    revision it knows, and says whether it can work with the newer schema as it is.
    """
    settings = settings_and_logs()
    if not schema.is_known(revision):
        raise ConfigurationError(f"no revision {revision!r}; the newest is {schema.head()}")

    async def work() -> tuple[str, str | None]:
        async with open_database(settings) as database:
            before = await schema.expect_known(database)
            await schema.downgrade(database, revision)
            return before, await schema.revision(database)

    before, after = run(work())
    say(f"schema {before} -> {after}")


@db.command("backup")
@click.argument("to", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def db_backup(to: Path, as_json: bool) -> None:
    """Write a backup to the new file TO, or into the folder TO under a name with the time.

    Serve and worker go on meanwhile. The copy is of one moment and is verified: pages, indexes,
    references, books. For PostgreSQL it is a dump by pg_dump. Exit code 1 where it cannot be
    written, or where the books in it do not agree.
    """
    settings = settings_and_logs()
    found = run(database_backup.back_up(settings, to))
    if as_json:
        say_json(found)
    else:
        say(f"{found.file}: {found.bytes:,} bytes, schema {found.schema}, verified")
    if found.differences:
        say(f"paydue: {found.differences} sums of the books differ; see: paydue check", err=True)
        sys.exit(FAILED)


@db.command("restore")
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Move a SQLite database that is there aside.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def db_restore(source: Path, *, replace: bool, as_json: bool) -> None:
    """Put the backup FROM in place, and read from Stripe what came after it.

    The backup is verified first, and a database that any process has open is never replaced. For
    PostgreSQL the database has to be new and empty. Until Stripe has been read to its end nothing
    is charged, and autopay stays paused until a person has entered again what was paid in other
    ways since, so nobody pays twice. Exit code 1 where something else is left for a person.
    """
    settings = settings_and_logs()
    if not source.is_file():
        raise Refused(f"there is no backup {source}")
    report = run(database_backup.restore(settings, source, replace=replace))
    if as_json:
        say_json(report.as_dict())
    else:
        _show_restored(report)
    if report.needs_a_person:
        sys.exit(FAILED)


def _show_restored(report: RestoreReport) -> None:
    say(f"restored {report.database}, schema {report.schema}")
    if report.aside:
        say(f"what was there before is kept as {report.aside}")
    if report.differences:
        say(f"{report.differences} sums of the books differ; see: paydue check")
    if report.brought_back is None:
        say(f"Stripe was not read to its end: {report.not_read}")
        say("Nothing is charged until it is: mend that, then run: paydue reconcile")
    else:
        counts = ", ".join(
            f"{count} {name.replace('_', ' ')}"
            for name, count in report.brought_back.items()
            if isinstance(count, int) and count
        )
        say(f"brought back from Stripe: {counts or 'nothing was missing'}")
    say("Autopay is paused: Stripe does not know what was typed by hand since the backup, as bank")
    say("transfers are. Enter it again, and then let autopay go on:")
    say(f"paydue pauses end {report.pause_id} --by NAME")
    for currency, total in report.unapplied.items():
        say(f"{total} {currency.upper()} is applied to no invoice; see: paydue status")
    if report.waiting:
        columns = ("id", "intent_id", "type", "error")
        rows = ([one[name] for name in columns] for one in report.waiting)
        title = f"waiting for what came after the backup ({len(report.waiting)})"
        console().print(table(title, columns, rows))
        say("Enter the clients and invoices again that are missing, then: paydue events replay")
