"""The commands about payouts: of which payments and invoices each is made, with their fees."""

import itertools
from collections.abc import AsyncIterator

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.csv_output import print_csv
from app.cli.terminal import amount, console, say, table
from app.ledger import payout_lines
from app.ledger.payout_lines import PayoutLine, PayoutTotals
from app.node import open_current_database
from app.rules.spreadsheet import Cell, amount_cell

# People read so many lines of a payout; a spreadsheet takes all of them with --csv.
SHOWN = 50

_PAYOUT_COLUMNS = (
    "payout", "status", "arrival_date", "currency", "lines", "gross", "fee", "net", "amount",
    "warning",
)  # fmt: skip
_LINE_COLUMNS = (
    "created", "transaction", "type", "source", "payment", "invoices", "client", "description",
    "currency", "gross", "fee", "net", "exchange_rate",
)  # fmt: skip


@click.group()
def payouts() -> None:
    """See of which payments and invoices Stripe's payouts to the bank are made."""


@payouts.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet.")
def payouts_list(limit: int, as_csv: bool) -> None:
    """The latest payouts first, each with the sums of its lines."""
    settings = settings_and_logs()

    async def work() -> list[PayoutTotals]:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            return await payout_lines.list_payouts(tx, limit)

    found = run(work())
    if as_csv:
        print_csv([_PAYOUT_COLUMNS, *map(_payout_cells, found)])
    else:
        _show_payouts(found)


@payouts.command("show")
@click.argument("payout_id")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet.")
def payouts_show(payout_id: str, as_csv: bool) -> None:
    """The lines of the payout PAYOUT_ID: payment, invoices, client, gross, fee and net.

    The net amounts add up to the payout's amount, or a warning says what is missing.
    """
    settings = settings_and_logs()

    async def work() -> PayoutTotals:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            totals = await payout_lines.load_payout(tx, payout_id)
            lines = payout_lines.iterate_lines(tx, payout_id)
            await (_write_csv(lines) if as_csv else _print_table(totals, lines))
            return totals

    totals = run(work())
    if totals.warning:
        missing = amount(totals.missing, totals.payout.currency_iso)
        say(f"paydue: {missing} missing: {totals.warning}", err=True)


# --- for a spreadsheet -----------------------------------------------------------------------


async def _write_csv(lines: AsyncIterator[PayoutLine]) -> None:
    """Print line by line: a payout may have more lines than memory should hold."""
    print_csv([_LINE_COLUMNS])
    async for line in lines:
        print_csv([_line_cells(line)])


def _payout_cells(totals: PayoutTotals) -> list[Cell]:
    payout = totals.payout
    sums = (totals.sums.gross, totals.sums.fee, totals.sums.net, payout.amount)
    return [
        payout.payout_id,
        payout.status,
        payout.arrival_date.isoformat(),
        payout.currency_iso,
        totals.sums.lines,
        *(amount_cell(one, payout.currency_iso) for one in sums),
        totals.warning,
    ]


def _line_cells(line: PayoutLine) -> list[Cell]:
    row = line.row
    sums = (row.amount, row.fee, row.net)
    return [
        row.created_at.isoformat(),
        row.transaction_id,
        row.type,
        row.source_id,
        line.intent_id,
        " ".join(line.invoices),
        line.client_name,
        row.description,
        row.currency_iso,
        *(amount_cell(one, row.currency_iso) for one in sums),
        row.exchange_rate,
    ]


# --- for people ------------------------------------------------------------------------------


def _show_payouts(found: list[PayoutTotals]) -> None:
    rows = (
        (
            one.payout.payout_id,
            one.payout.status,
            one.payout.arrival_date,
            one.sums.lines,
            amount(one.sums.fee, one.payout.currency_iso),
            amount(one.payout.amount, one.payout.currency_iso),
            one.warning,
        )
        for one in found
    )
    columns = ("payout", "status", "arrives", ">lines", ">fees", ">amount", "warning")
    console().print(table(f"payouts ({len(found)})", columns, rows))


async def _print_table(totals: PayoutTotals, lines: AsyncIterator[PayoutLine]) -> None:
    payout, screen = totals.payout, console()
    why = f" ({payout.failure_code})" if payout.failure_code else ""
    title = f"{payout.payout_id}: {payout.status}{why}, arrives on {payout.arrival_date}"
    columns = ("payment", "invoices", "client", "type", ">gross", ">fee", ">net")
    shown = [_row(line) async for line in _first(lines, SHOWN)]
    sums = (totals.sums.gross, totals.sums.fee, totals.sums.net)
    total = ("total", "", "", "", *(amount(one, payout.currency_iso) for one in sums))
    screen.print(table(title, columns, itertools.chain(shown, [total])))
    if totals.sums.lines > SHOWN:
        screen.print(f"  … and {totals.sums.lines - SHOWN} more lines; --csv prints all")
    screen.print(f"Payout of {amount(payout.amount, payout.currency_iso)}")


def _row(line: PayoutLine) -> tuple[object, ...]:
    row = line.row
    sums = (row.amount, row.fee, row.net)
    return (
        line.intent_id or row.source_id or row.transaction_id,
        " ".join(line.invoices),
        line.client_name or row.description or "",
        row.type,
        *(amount(one, row.currency_iso) for one in sums),
    )


async def _first(lines: AsyncIterator[PayoutLine], count: int) -> AsyncIterator[PayoutLine]:
    async for line in lines:
        if not count:
            return
        yield line
        count -= 1
