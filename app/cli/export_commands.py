"""The commands `paydue export`: to QuickBooks and Xero, and as `paydue import` reads it again."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import click

from app.cli import export_records
from app.cli.command_group import run, settings_and_logs
from app.cli.csv_output import print_csv
from app.cli.terminal import say
from app.ledger import journal_lines
from app.ledger.billed_invoices import iterate_billed
from app.node import open_current_database
from app.payments.payment_list import PaymentFilter, iterate_payments
from app.rules import calendar
from app.rules.accounting_rows import (
    INVOICE_COLUMNS,
    JOURNAL_COLUMNS,
    PAYMENT_COLUMNS,
    AccountingProgram,
    BookedLine,
    CsvColumns,
    ReceivedPayment,
    invoice_rows,
    journal_row,
    payment_row,
)
from app.rules.double_entry import Account
from app.rules.spreadsheet import Cell
from app.settings import Settings
from app.storage.engines import Tx

# Rows that are written at once.
_CHUNK = 500
_PROGRAMS = click.Choice([str(one) for one in AccountingProgram])
_DAY = click.DateTime(["%Y-%m-%d"])

_program = click.option("--for", "program", type=_PROGRAMS, required=True, help="The program.")
_first = click.option("--from", "first", type=_DAY, required=True, metavar="DAY")
_last = click.option("--to", "last", type=_DAY, required=True, metavar="DAY", help="Included.")
_currency = click.option("--currency", help="Its ISO code; PAYDUE_CURRENCY without it.")


@click.group()
def export() -> None:
    """Print CSV for QuickBooks or Xero, or records that `paydue import` takes."""


@export.command("records")
@click.argument("kind", type=click.Choice([str(one) for one in export_records.ExportKind]))
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv")
def export_kind(kind: str, form: str) -> None:
    """Print all clients, invoices, templates or payments, as `paydue import KIND` takes them.

    JSON keeps every character; in a CSV, text that a spreadsheet would run has an apostrophe.
    """
    settings = settings_and_logs()

    async def work() -> None:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            await export_records.print_records(tx, export_records.ExportKind(kind), form)

    run(work())


@export.command("invoices")
@_program
@_first
@_last
@click.option(
    "--account", default="200", show_default=True, help="The account of lines without a code."
)
def export_invoices(program: str, first: datetime, last: datetime, account: str) -> None:
    """Print the invoices and credit notes of these days, a row a line, as net amounts."""
    wanted = AccountingProgram(program)
    settings = settings_and_logs()
    since, until = _days(settings, first, last)

    async def rows(tx: Tx) -> AsyncIterator[list[Cell]]:
        async for one in iterate_billed(
            tx, since, until, timezone=settings.timezone, account=account
        ):
            for row in invoice_rows(one, wanted):
                yield row

    run(_print(settings, INVOICE_COLUMNS[wanted], rows))


@export.command("payments")
@_program
@_first
@_last
@_currency
def export_payments(program: str, first: datetime, last: datetime, currency: str | None) -> None:
    """Print the payments of these days that count, as lines of a bank statement."""
    wanted = AccountingProgram(program)
    settings = settings_and_logs()
    since, until = _days(settings, first, last)
    code, others = _code(settings, currency), [0]

    async def rows(tx: Tx) -> AsyncIterator[list[Cell]]:
        async for one in iterate_payments(tx, PaymentFilter(since=since, until=until)):
            if one.counted <= 0:
                continue
            if one.currency != code:
                others[0] += 1
                continue
            received = ReceivedPayment(
                calendar.business_day(one.date, settings.timezone), one.counted, one.currency,
                one.client_name or "", one.invoicenumber or "", one.intent_id or "",
            )  # fmt: skip
            yield payment_row(received, wanted)

    run(_print(settings, PAYMENT_COLUMNS[wanted], rows))
    _say_left_out(others[0], "payments", code)


@export.command("journal")
@_program
@_first
@_last
@_currency
@click.option(
    "--account", "accounts", multiple=True, metavar="OURS=THEIRS",
    help="Their code or name of an account of ours; may be repeated.",
)  # fmt: skip
@click.option("--tax-rate", default="Tax Exempt", show_default=True, help="Xero's *TaxRate.")
def export_journal(
    program: str,
    first: datetime,
    last: datetime,
    *,
    currency: str | None,
    accounts: tuple[str, ...],
    tax_rate: str,
) -> None:
    """Print the journal of these days; the lines of an entry add up to zero."""
    wanted = AccountingProgram(program)
    theirs = _accounts(accounts)
    settings = settings_and_logs()
    since, until = _days(settings, first, last)
    code, others = _code(settings, currency), [0]

    async def rows(tx: Tx) -> AsyncIterator[list[Cell]]:
        async for one in journal_lines.iterate_journal(tx, since, until):
            if one.currency_iso != code:
                others[0] += 1
                continue
            booked = BookedLine(
                one.entry_id, calendar.business_day(one.at, settings.timezone),
                f"{one.kind} {one.source}", theirs.get(one.account, one.account), one.amount,
                one.currency_iso, one.client_name or "",
            )  # fmt: skip
            yield journal_row(booked, wanted, tax_rate)

    run(_print(settings, JOURNAL_COLUMNS[wanted], rows))
    _say_left_out(others[0], "lines", code)


def _days(settings: Settings, first: datetime, last: datetime) -> tuple[datetime, datetime]:
    """The instants at which the first day begins and the last one ends, where the business is."""
    if last < first:
        raise click.UsageError("--to is before --from")
    since, until = (
        calendar.on_day(one.date(), None, settings.timezone)
        for one in (first, last + timedelta(days=1))
    )
    return since, until


def _code(settings: Settings, currency: str | None) -> str:
    return (currency or settings.currency).lower()


def _accounts(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in given:
        ours, _, theirs = one.partition("=")
        if ours not in list(Account) or not theirs:
            known = ", ".join(Account)
            raise click.BadParameter(f"{one!r} is not OURS=THEIRS with OURS one of {known}")
        found[ours] = theirs
    return found


async def _print(
    settings: Settings, columns: CsvColumns, rows: Callable[[Tx], AsyncIterator[list[Cell]]]
) -> None:
    print_csv([columns])
    async with open_current_database(settings) as database, database.snapshot() as tx:
        chunk: list[list[Cell]] = []
        async for row in rows(tx):
            chunk.append(row)
            if len(chunk) == _CHUNK:
                print_csv(chunk)
                chunk.clear()
        print_csv(chunk)


def _say_left_out(count: int, what: str, currency: str) -> None:
    if count:
        say(f"paydue: {count} {what} are not in {currency.upper()}; see --currency", err=True)
