"""The commands on runs of autopay that were: listed, opened, exported, compared, approved."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.csv_output import print_csv
from app.cli.terminal import amount, console, moment, say, say_json, table
from app.node import open_current_database
from app.payments.autopay import run_history
from app.payments.autopay.run_history import StoredRun
from app.rules.spreadsheet import Cell, amount_cell
from app.storage.engines import Database

T = TypeVar("T")
# People read so many lines; programs take all of them with --json or --csv.
SHOWN = 50
_FIELDS = (
    "invoice_id", "outcome", "amount", "currency", "rule", "reason", "change", "next_try",
    "intent_id",
)  # fmt: skip


@click.group()
def runs() -> None:
    """Look at the runs of autopay that were, and approve one that was beyond the usual."""


@runs.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_runs(*, as_json: bool) -> None:
    """List the last runs, the newest first."""

    async def work(database: Database) -> list[StoredRun]:
        async with database.snapshot() as tx:
            return await run_history.list_runs(tx)

    found = _run(work)
    if as_json:
        say_json([one.as_dict() for one in found])
        return
    shown = (
        (
            one.id, one.business_day, "dry run" if one.is_dry else one.state, one.started_by,
            moment(one.started_at), _seconds(one), _counts(one), _sums(one),
        )
        for one in found
    )  # fmt: skip
    columns = (">id", "day", "state", "by", "began", ">seconds", "outcomes", "charged")
    console().print(table("Runs of autopay", columns, shown))


@runs.command("show")
@click.argument("run_id", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all outcomes.")
@click.option("--csv", "as_csv", is_flag=True, help="Print all outcomes as CSV.")
def show_run(run_id: int, *, as_json: bool, as_csv: bool) -> None:
    """Show the run RUN_ID: each invoice with its outcome, its rule and the reason."""
    found, outcomes = _run(lambda database: _whole(database, run_id))
    if as_json:
        say_json({**found.as_dict(), "outcomes": outcomes})
        return
    if as_csv:
        print_csv([_FIELDS, *(_cells(one) for one in outcomes)])
        return
    names = ("outcome", "invoice_id", "amount", "rule", "reason", "next_try")
    rows = (
        (*(amount(one[n], one["currency"]) if n == "amount" else one.get(n) for n in names),)
        for one in outcomes[:SHOWN]
    )
    state = f"{found.state}{f': {found.reason}' if found.reason else ''}"
    title = f"Run {run_id} of {found.business_day}, {state}"
    columns = ("outcome", ">invoice", ">amount", "rule", "reason", "next try")
    console().print(table(title, columns, rows))
    if len(outcomes) > SHOWN:
        say(f"... and {len(outcomes) - SHOWN} more; --json or --csv print all")


@runs.command("compare")
@click.argument("first", type=int)
@click.argument("second", type=int)
def compare_runs(first: int, second: int) -> None:
    """Show the invoices that fared otherwise in the run SECOND than in FIRST, such as its dry run.

    `paydue autopay run --dry-run --keep` keeps a dry run for this.
    """
    _, before = _run(lambda database: _whole(database, first))
    _, after = _run(lambda database: _whole(database, second))
    rows = run_history.changed_outcomes(before, after)
    columns = (">invoice", f"in run {first}", f"in run {second}")
    console().print(table("Invoices that fared otherwise", columns, rows))


@runs.command("approve")
@click.argument("run_id", type=int)
@click.option("--by", "who", required=True, metavar="NAME", help="Who approves it.")
def approve_run(run_id: int, who: str) -> None:
    """Let the next run of the same day charge what the run RUN_ID was held for, and no more."""

    async def work(database: Database) -> StoredRun:
        return await database.with_retry(lambda tx: run_history.approve_run(tx, run_id, who=who))

    found = _run(work)
    say(f"run {found.id} of {found.business_day} is approved by {who}; run autopay again")


async def _whole(database: Database, run_id: int) -> tuple[StoredRun, list[Any]]:
    async with database.snapshot() as tx:
        found = await run_history.load_run(tx, run_id)
    return found, [one async for one in run_history.outcomes_of(database, run_id)]


def _cells(one: dict[str, Any]) -> list[Cell]:
    exact = amount_cell(Decimal(one["amount"]), one["currency"])
    return [exact if name == "amount" else one.get(name) for name in _FIELDS]


def _seconds(one: StoredRun) -> str:
    return "" if one.duration_s is None else f"{one.duration_s:.1f}"


def _counts(one: StoredRun) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in (one.counts or {}).items())


def _sums(one: StoredRun) -> str:
    charged = (one.sums or {}).get("charged", {})
    return ", ".join(amount(total, currency) for currency, total in sorted(charged.items()))


def _run(work: Callable[[Database], Awaitable[T]]) -> T:
    settings = settings_and_logs()

    async def within() -> T:
        async with open_current_database(settings) as database:
            return await work(database)

    return run(within())
