"""The commands that ask Stripe once and end: autopay run, reconcile."""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.cli.command_group import FAILED, on_signals, run, settings_and_logs
from app.cli.terminal import amount, console, say, say_json, say_json_text, table, words
from app.errors import DatabaseUnavailable
from app.node import open_current_database, open_stripe_node
from app.payments.autopay.charge_calendar import DAYS, ChargeCalendar, read_calendar
from app.payments.autopay.report import Outcome, OutcomeKind, RunReport
from app.payments.autopay.why import ChargeForecast, forecast
from app.settings import Settings
from app.storage import outages

# People read so many lines of a list; programs take all of them with --json.
SHOWN = 50
WHO = "command line"


@click.group()
def autopay() -> None:
    """Charge due invoices, and say why one is charged or not."""


@autopay.command("run")
@click.option(
    "--on",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The business day to decide for. Default: today, where each client is.",
)
@click.option("--dry-run", is_flag=True, help="Say what the run would do; change nothing.")
@click.option("--keep", is_flag=True, help="Keep a dry run too, for `paydue runs compare`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def autopay_run(day: datetime | None, dry_run: bool, keep: bool, as_json: bool) -> None:
    """Charge what is due, once. Runs may overlap and may be repeated at any time.

    Exit code 0 when the run came to its end, whatever the cards said; 1 when it could not, or when
    an invoice failed, which the report names. A locked invoice is passed over and named. While the
    database restarts or fails over, for two minutes at most, the run begins again; `paydue runs`
    lists each beginning, and the report is of the last one.
    """
    settings = settings_and_logs()

    async def work() -> tuple[bool, int]:
        stop = asyncio.Event()
        on_signals(stop)
        asked = partial(
            _autopay, settings, day.date() if day else None, stop,
            dry_run=dry_run, keep=keep, as_json=as_json,
        )  # fmt: skip
        return await outages.begin_again(asked, stop, _say_again)

    ended, failed = run(work())
    if failed:
        say(f"paydue: {failed} invoices failed; the report names them", err=True)
        sys.exit(FAILED)
    if not ended:
        say("paydue: stopped before the end; the next run goes on", err=True)
        sys.exit(FAILED)


@autopay.command("why")
@click.argument("invoice_id", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as one JSON object.")
def autopay_why(invoice_id: int, as_json: bool) -> None:
    """Say whether INVOICE_ID will be charged, when and by what; or why not, and until what."""
    settings = settings_and_logs()

    async def work() -> ChargeForecast:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            return await forecast(tx, invoice_id, settings, now=datetime.now(UTC))

    found = run(work())
    if as_json:
        say_json(found.as_dict())
    else:
        say(found.sentence)


@autopay.command("calendar")
@click.option(
    "--days", type=click.IntRange(1, 366), default=DAYS, show_default=True, help="From today on."
)
@click.option("--client", "client_id", type=int, help="Only this client.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def autopay_calendar(days: int, client_id: int | None, as_json: bool) -> None:
    """Show the charges of the coming days by client and currency, and what waits for approval.

    Invoices that a template has not made yet are not in it.
    """
    settings = settings_and_logs()

    async def work() -> ChargeCalendar:
        async with open_current_database(settings) as database:
            now = datetime.now(UTC)
            return await read_calendar(
                database,
                settings,
                now=now,
                days=days,
                client_id=client_id,
                looked_at_max=sys.maxsize,
            )

    found = run(work())
    if as_json:
        say_json(found.as_dict())
        return
    rows = [
        (
            key.day or "approval",
            entry.client_name or key.client_id,
            amount(entry.amount, key.currency),
            entry.count,
        )
        for key, entry in found.in_order()
    ]
    columns = ("day", "client", ">amount", ">invoices")
    console().print(table(f"Charges from {found.first} to {found.last}", columns, rows[:SHOWN]))
    if len(rows) > SHOWN:
        say(f"... and {len(rows) - SHOWN} more; --json prints all")
    for currency, total in found.totals().items():
        say(f"{amount(total, currency)} in all")


def _say_again(error: DatabaseUnavailable) -> None:
    say(f"paydue: {error.message}; the run begins again once it can", err=True)


async def _autopay(
    settings: Settings,
    day: date | None,
    stop: asyncio.Event,
    *,
    dry_run: bool,
    keep: bool,
    as_json: bool,
) -> tuple[bool, int]:
    """Whether the run came to its end, and how many invoices failed in it."""
    async with open_stripe_node(settings, stop=stop) as node:
        with _progress(quiet=as_json or dry_run) as tell:
            runs = node.autopay()
            if dry_run:
                report = await runs.dry_run(day, keep_for=WHO if keep else None)
            else:
                report = await runs.run(day, tell, who=WHO)
        try:
            if as_json:
                for piece in report.json_lines():
                    say_json_text(piece)
                say("")
            else:
                show_report(console(), report)
        finally:
            report.close()
        return not node.stop.is_set(), report.counts[OutcomeKind.FAILED]


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[Outcome], None] | None]:
    """Counts outcomes on a terminal while a run goes on."""
    screen = Console(stderr=True)
    if quiet or not screen.is_terminal:
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as progress:
        tasks = {kind: progress.add_task(kind, total=None, visible=False) for kind in OutcomeKind}

        def tell(one: Outcome) -> None:
            progress.update(tasks[one.kind], advance=1, visible=True)

        yield tell


def show_report(screen: Console, report: RunReport) -> None:
    """A report as tables: what was charged, what was not and why, when each is tried next."""
    if report.dry_run:
        screen.print(words(("Dry run", "bold"), ": nothing was changed, nothing was charged."))
    for kind in OutcomeKind:
        if report.counts[kind]:
            would_be = report.dry_run and kind == OutcomeKind.CHARGED
            title = "would be charged" if would_be else str(kind)
            screen.print(_entries(f"{title} ({report.counts[kind]})", report.entries(kind)))
        if report.counts[kind] > SHOWN:
            screen.print(f"  … and {report.counts[kind] - SHOWN} more; --json lists all")
    counts = ", ".join(f"{report.counts[kind]} {kind}" for kind in OutcomeKind)
    screen.print(f"Business day {report.day}: {counts}.")


_COLUMNS = {"intent_id": "intent", "reason": "reason", "next_try": "next try", "rule": "rule"}


def _entries(title: str, entries: Iterator[dict[str, Any]]) -> Table:
    """A list of a report. Columns in which nothing stands are left out."""
    shown = list(itertools.islice(entries, SHOWN))
    filled = [name for name in _COLUMNS if any(entry[name] for entry in shown)]
    rows = (
        (one["invoice_id"], amount(one["amount"], one["currency"]), *(one[n] for n in filled))
        for one in shown
    )
    return table(title, (">invoice", ">amount", *(_COLUMNS[name] for name in filled)), rows)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def reconcile(as_json: bool) -> None:
    """Ask Stripe for what its webhooks did not tell, now."""
    settings = settings_and_logs()

    async def work() -> dict[str, Any]:
        async with open_stripe_node(settings) as node:
            on_signals(node.stop)
            await node.autopay().recover()
            await node.refunds().recover()
            return asdict(await node.reconciliation().run())

    found = run(work())
    if as_json:
        say_json(found)
    else:
        ids = ", ".join(found.pop("unreadable_ids")) or "-"
        shown = {**found, "unreadable_ids": ids}
        rows = ((name.replace("_", " "), count) for name, count in shown.items())
        console().print(table("Reconciled with Stripe", ("what", ">count"), rows))
