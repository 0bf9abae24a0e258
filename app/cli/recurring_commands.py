"""The command that bills the templates which are due, as the worker does by itself."""

import asyncio
import itertools
import sys

import click

from app.cli.command_group import FAILED, on_signals, run, settings_and_logs
from app.cli.terminal import console, say, say_json, table
from app.ledger.recurring_run import BillingOutcome, RecurringReport, RecurringRun, TemplateOutcome
from app.main import utc_now
from app.node import open_current_database
from app.rules.home import home_of
from app.settings import Settings

# People read so many lines of a run; --json prints all of them.
SHOWN = 50
# A long run says after so many periods that it goes on.
TOLD_EVERY = 1_000


@click.group()
def recurring() -> None:
    """Make the invoices of templates, one for each period."""


@recurring.command("run")
@click.option("--dry-run", is_flag=True, help="Say what the run would make; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def recurring_run(dry_run: bool, as_json: bool) -> None:
    """Bill every period that has begun where its client is, and is not billed yet.

    Runs may overlap and may be repeated at any time. Exit code 1 when a template failed, which the
    report names, or when the run was stopped before its end.
    """
    settings = settings_and_logs()
    report = run(_bill(settings, dry_run, as_json))
    if report.counts[BillingOutcome.FAILED]:
        sys.exit(FAILED)
    if not report.ended:
        say("paydue: stopped before the end; the next run goes on", err=True)
        sys.exit(FAILED)


async def _bill(settings: Settings, dry_run: bool, as_json: bool) -> RecurringReport:
    stop = asyncio.Event()
    on_signals(stop)
    shown: list[TemplateOutcome] = []

    seen = itertools.count(1)

    def tell(one: TemplateOutcome) -> None:
        if as_json:
            say_json(_as_dict(one))
        elif len(shown) < SHOWN:
            shown.append(one)
        if (count := next(seen)) % TOLD_EVERY == 0:
            say(f"paydue: {count} periods", err=True)

    async with open_current_database(settings) as database:
        runs = RecurringRun(database, home_of(settings), utc_now, stop)
        report = await (runs.dry_run(tell) if dry_run else runs.run(tell))
    if not as_json:
        _show(report, shown)
    return report


def _as_dict(one: TemplateOutcome) -> dict[str, object]:
    return {
        "outcome": one.kind,
        "recurring_invoice_id": one.template_id,
        "period_start_date": one.first,
        "invoice_id": one.invoice_id,
        "reason": one.why,
    }


def _show(report: RecurringReport, shown: list[TemplateOutcome]) -> None:
    screen = console()
    if report.dry_run:
        screen.print("Dry run: nothing was changed.")
    columns = ("outcome", ">template", "period", ">invoice", "reason")
    rows = ((one.kind, one.template_id, one.first, one.invoice_id, one.why) for one in shown)
    if shown:
        screen.print(table("periods", columns, rows))
    total = report.counts.total()
    if total > len(shown):
        screen.print(f"  … and {total - len(shown)} more; --json lists all")
    hidden = [one for one in report.reasons if one not in shown]
    if hidden:
        rows = ((one.kind, one.template_id, one.first, one.invoice_id, one.why) for one in hidden)
        screen.print(table("not made", columns, rows))
    screen.print(f"Periods: {report}.")
