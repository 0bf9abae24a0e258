"""The commands about the books: the journal for a bookkeeper, and the proof that all agrees."""

import sys
from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta

import click

from app.cli.command_group import FAILED, run, settings_and_logs
from app.cli.csv_output import print_csv
from app.cli.terminal import amount, console, say, say_json, table
from app.ledger import journal_check, journal_lines
from app.ledger.journal_check import BookDifference
from app.ledger.journal_lines import JournalRow
from app.node import open_current_database
from app.rules import calendar, money
from app.rules.spreadsheet import Cell, amount_cell

_COLUMNS = (
    "entry", "at", "kind", "source", "who", "account", "client_id", "client", "invoice_id",
    "invoicenumber", "currency", "debit", "credit",
)  # fmt: skip
# Lines that are written at once.
_CHUNK = 500


@click.group()
def journal() -> None:
    """Hand the journal in double entry to a bookkeeper."""


@journal.command("export")
@click.option(
    "--from", "first", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="DAY",
    help="The first day, as YYYY-MM-DD in PAYDUE_TIMEZONE.",
)  # fmt: skip
@click.option(
    "--to", "last", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="DAY",
    help="The last day, which is included.",
)  # fmt: skip
@click.option("--format", "_", type=click.Choice(["csv"]), default="csv", show_default=True)
def journal_export(first: datetime, last: datetime, _: str) -> None:
    """Print the lines that were written from DAY to DAY; those of an entry add up to zero.

    An entry's day is the day it was written, so a day that is over never changes.
    """
    settings = settings_and_logs()
    if last < first:
        raise click.UsageError("--to is before --from")
    since = _midnight(first.date(), settings.timezone)
    until = _midnight(last.date() + timedelta(days=1), settings.timezone)

    async def work() -> None:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            await _write_csv(journal_lines.iterate_journal(tx, since, until))

    run(work())


def _midnight(day: date, timezone: str) -> datetime:
    return datetime.combine(day, time(), tzinfo=calendar.zone(timezone))


async def _write_csv(rows: AsyncIterator[JournalRow]) -> None:
    print_csv([_COLUMNS])
    chunk: list[list[Cell]] = []
    async for row in rows:
        chunk.append(_cells(row))
        if len(chunk) == _CHUNK:
            print_csv(chunk)
            chunk.clear()
    print_csv(chunk)


def _cells(row: JournalRow) -> list[Cell]:
    shown = amount_cell(abs(row.amount), row.currency_iso)
    return [
        row.entry_id,
        row.at.isoformat(),
        row.kind,
        row.source,
        row.who,
        row.account,
        row.client_id,
        row.client_name,
        row.invoice_id,
        row.invoicenumber,
        row.currency_iso,
        shown if row.amount > 0 else None,
        shown if row.amount < 0 else None,
    ]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of the differences.")
def check(as_json: bool) -> None:
    """Prove that the books agree: the journal, invoices, payments, credit notes and payouts.

    Exit code 1 and the differences, when two sums that should be equal are not.
    """
    settings = settings_and_logs()

    async def work() -> list[BookDifference]:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            own = await journal_check.list_differences(tx)
            return own + await journal_check.list_payout_differences(tx)

    found = run(work())
    if as_json:
        say_json([_as_dict(one) for one in found])
    elif found:
        console().print(table(f"differences ({len(found)})", _DIFFERENCE_COLUMNS, map(_row, found)))
    else:
        say("The books agree.")
    if found:
        sys.exit(FAILED)


def _as_dict(one: BookDifference) -> dict[str, str | None]:
    sums = {"expected": one.expected, "found": one.found}
    texts = {name: money.text(each, one.currency) for name, each in sums.items()}
    return {"check": one.check, "of": one.of, "currency": one.currency, **texts}


_DIFFERENCE_COLUMNS = ("check", "of", ">expected", ">found")


def _row(one: BookDifference) -> tuple[object, ...]:
    sums = (one.expected, one.found)
    return (one.check, one.of, *(amount(each, one.currency) for each in sums))
