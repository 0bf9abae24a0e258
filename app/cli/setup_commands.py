"""The commands that set Paydue up: access, import, doctor."""

import contextlib
import getpass
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import click

from app.cli import health_checks
from app.cli.command_group import FAILED, run, settings_and_logs
from app.cli.import_csv import CsvKind, CsvResult, import_csv
from app.cli.import_file import ImportResult, import_records
from app.cli.terminal import console, moment, say, say_json, table
from app.errors import InvalidField
from app.halo.access.api_credentials import (
    SCOPES,
    CredentialSummary,
    create_credential,
    list_credentials,
    revoke_credential,
)
from app.halo.access.authenticator import REMEMBERED
from app.node import open_database, open_node
from app.security_log import SecurityEvent, log_security_event
from app.settings import Settings
from app.storage import schema
from app.storage.engines import Database


@click.group()
def access() -> None:
    """Give programs access to the API."""


@access.command("add")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(sorted(SCOPES)),
    help="What it may do; may be given several times. `all` opens everything.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def access_add(name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make credentials for the program NAME. The secret is shown once and kept only as a hash."""
    settings = settings_and_logs()

    async def work() -> tuple[str, str]:
        async with open_upgraded(settings) as database, database.transaction() as tx:
            return await create_credential(tx, name, scopes, datetime.now(UTC))

    client_id, client_secret = run(work())
    log_security_event(
        SecurityEvent.ACCESS_ADDED, client_id=client_id, name=name, scope=" ".join(scopes),
        by=operator(),
    )  # fmt: skip
    if as_json:
        say_json({"client_id": client_id, "client_secret": client_secret})
        return
    say(f"client_id      {client_id}\nclient_secret  {client_secret}")
    say("Keep the secret now: it cannot be shown again.", err=True)


@access.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def access_list(as_json: bool) -> None:
    """Show who has access, what it opens, and what was revoked. Secrets are kept as hashes only."""
    settings = settings_and_logs()

    async def work() -> list[CredentialSummary]:
        async with open_upgraded(settings) as database, database.snapshot() as tx:
            return await list_credentials(tx)

    found = run(work())
    if as_json:
        say_json(found)
        return
    rows = (
        (one.name, one.client_id, one.scopes, moment(one.created_at), moment(one.revoked_at))
        for one in found
    )
    columns = ("name", "client_id", "scopes", "created", "revoked")
    console().print(table(f"access ({len(found)})", columns, rows))


@access.command("revoke")
@click.argument("who", metavar="NAME|CLIENT_ID")
def access_revoke(who: str) -> None:
    """Take access back, by client_id or by name (all of that name), with every token it bought."""
    settings = settings_and_logs()

    async def work() -> int:
        async with open_upgraded(settings) as database, database.transaction() as tx:
            return await revoke_credential(tx, who, datetime.now(UTC))

    revoked = run(work())
    log_security_event(SecurityEvent.ACCESS_REVOKED, name=who, count=revoked, by=operator())
    say(f"revoked {revoked}; running nodes forget their tokens within {REMEMBERED.seconds} s")


@click.command("import")
@click.argument("kind_and_file", nargs=-1, required=True, metavar="[KIND] FILE")
@click.option("--dry-run", is_flag=True, help="Say what the import would do; change nothing.")
@click.option("--autopay", is_flag=True, help="Of a CSV: let autopay charge what is imported.")
def import_file(kind_and_file: tuple[str, ...], *, dry_run: bool, autopay: bool) -> None:
    """Import clients, their invoices and the catalogue from a JSON FILE; all of it, or nothing.

    With a KIND, FILE is a CSV of clients, invoices, templates or payments, whose first row names
    columns as docs/billing.md lists them, or a JSON array of objects of the same names. All rows
    are checked before any is written, errors are named by row and column, and an import that was
    stopped goes on when it is started again.

    The shape is that of fixtures/demo.json: {"clients": [{"name": ..., "invoices": [...]}]}, with
    HaloPSA's field names, `currency` as an ISO code and `due_in_days` counted from today. Lists of
    Currency, Tax, TaxRule, CostCentres, BudgetType, lookup, Site, ChargeRate and Expense may stand
    beside it, as the API takes them; a record with an id changes the one that has it.

    Any other record is imported once, however often its file is: it is known again by
    thirdpartyinvoicenumber, thirdpartyid, invoicenumber or a client's stripe_customer_id, and
    without one of these by its content.
    """
    kind, file = _kind_and_file(kind_and_file)
    settings = settings_and_logs()
    raw = file.read_bytes()
    if kind is not None:
        told = run(_import_csv(settings, kind, raw, dry_run=dry_run, autopay=autopay))
        _say_csv(told, kind, dry_run=dry_run)
        return

    async def work() -> ImportResult:
        async with open_node(settings) as node:
            return await import_records(node.database, settings, raw, dry_run=dry_run)

    result = run(work())
    if dry_run:
        say("Dry run: nothing was changed.")
    written, known = result.written, _counted(result.known)
    said = [
        f"imported {written.pop('clients', 0)} clients and {written.pop('invoices', 0)} invoices"
    ]
    say(", ".join(said + _counted(written)))
    if known:
        say(f"already imported: {', '.join(known)}")


# An import of many records says after so many that it goes on; people read so many errors.
_TOLD_EVERY, _ERRORS_SHOWN = 1_000, 50


def _kind_and_file(given: tuple[str, ...]) -> tuple[CsvKind | None, Path]:
    kinds = [str(one) for one in CsvKind]
    if len(given) > 2 or (len(given) == 2 and given[0] not in kinds):
        raise click.UsageError(f"give one FILE, and before it one of {', '.join(kinds)} or nothing")
    file = click.Path(exists=True, dir_okay=False, path_type=Path).convert(given[-1], None, None)
    return (CsvKind(given[0]) if len(given) == 2 else None), Path(file)


async def _import_csv(
    settings: Settings, kind: CsvKind, raw: bytes, *, dry_run: bool, autopay: bool
) -> CsvResult:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidField("file", "is no text in UTF-8") from None

    def tell(done: int, of: int) -> None:
        if done % _TOLD_EVERY == 0:
            say(f"paydue: {done} of {of}", err=True)

    async with open_node(settings) as node:
        return await import_csv(
            node.database, settings, kind, text, dry_run=dry_run, autopay=autopay, tell=tell
        )


def _say_csv(result: CsvResult, kind: CsvKind, *, dry_run: bool) -> None:
    for one in result.errors[:_ERRORS_SHOWN]:
        say(f"paydue: {one}", err=True)
    if len(result.errors) > _ERRORS_SHOWN:
        say(f"paydue: … and {len(result.errors) - _ERRORS_SHOWN} more", err=True)
    if dry_run:
        say("Dry run: nothing was changed.")
    say(f"imported {result.written} {kind}; {result.known} were imported before")
    if result.flags_left_out:
        say(f"{result.flags_left_out} of the file are flagged for autopay; --autopay keeps flags")
    if result.errors:
        sys.exit(FAILED)


def _counted(counts: Counter[str]) -> list[str]:
    return [f"{count} {name}" for name, count in counts.items() if count]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of the checks.")
def doctor(as_json: bool) -> None:
    """Check settings, key, clock, database, worker and events, and say how to mend each.

    Exit code 1 when something is bad; a note is worth knowing and changes no exit code.
    """
    found = run(health_checks.all_checks())
    if as_json:
        say_json([one.as_dict() for one in found])
        sys.exit(FAILED if any(one.is_bad for one in found) else 0)
    rows = ((one.mark, one.name, one.said, one.mend) for one in found)
    console().print(table("doctor", ("", "check", "found", "how to mend"), rows))
    if any(one.is_bad for one in found):
        sys.exit(FAILED)


def operator() -> str:
    """The user of this machine who gives the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


@contextlib.asynccontextmanager
async def open_upgraded(settings: Settings) -> AsyncIterator[Database]:
    """The database, with its schema up to date where the settings allow it."""
    async with open_database(settings) as database:
        if settings.upgrade_on_start:
            await schema.upgrade(database)
        yield database
