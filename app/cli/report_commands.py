"""The commands of finance's reports: ageing, money expected, declines, recoveries, DSO."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.csv_output import print_csv
from app.cli.terminal import console, say, say_json, table
from app.node import open_current_database
from app.payments.finance_reports import FinanceReport, make_report
from app.rules.finance_report import DAYS_MAX, ReportName, ReportRequest

_Options = Callable[[Callable[..., None]], Callable[..., None]]


@click.group()
def reports() -> None:
    """Print finance's reports of any day. Amounts of two currencies are never added up."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    found = command
    for one in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option("--csv", "as_csv", is_flag=True, help="Print CSV, without totals."),
        click.option(
            "--on", "day", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY",
            help="The report's day; today without it.",
        ),
    ):  # fmt: skip
        found = one(found)
    return found


def _days(usual: int, about: str) -> _Options:
    return click.option(
        "--days", type=click.IntRange(1, DAYS_MAX), default=usual, show_default=True, help=about
    )


@reports.command("ageing")
@click.option("--client", "client_id", type=int, help="Only of this client.")
@_options
def ageing(*, client_id: int | None, **form: Any) -> None:
    """Print what clients owe, by currency and by the days since it was due.

    Of a day that is over: as the journal had booked it by the end of that day.
    """
    _print(ReportRequest(ReportName.AGEING, client_id=client_id), **form)


@reports.command("expected")
@_days(30, "How many days ahead.")
@_options
def expected(*, days: int, **form: Any) -> None:
    """Print the money that is expected: overdue, falling due, and what autopay will charge of it.

    `overdue`, `falls_due` and `later` add up to all that is owed.
    """
    _print(ReportRequest(ReportName.EXPECTED, days=days), **form)


@reports.command("declines")
@_days(30, "How many days up to the report's day.")
@_options
def declines(*, days: int, **form: Any) -> None:
    """Print how automatic charges ended: by method, and by the reason of each decline.

    `percent` is of the charges of that method and currency.
    """
    _print(ReportRequest(ReportName.DECLINES, days=days), **form)


@reports.command("recovered")
@_days(30, "How many days up to the report's day.")
@_options
def recovered(*, days: int, **form: Any) -> None:
    """Print what became of charges that were declined at first.

    `recovered`: a later try succeeded; `settled`: the invoice owes nothing in another way.
    """
    _print(ReportRequest(ReportName.RECOVERED, days=days), **form)


@reports.command("dso")
@_days(90, "The days of sales that the receivables are compared with.")
@_options
def dso(*, days: int, **form: Any) -> None:
    """Print days sales outstanding: receivables by the sales of these days, times the days."""
    _print(ReportRequest(ReportName.DSO, days=days), **form)


def _print(wanted: ReportRequest, *, day: datetime | None, as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise click.UsageError("--csv and --json are two forms")
    settings = settings_and_logs()

    async def work() -> FinanceReport:
        asked = wanted._replace(day=day.date() if day else None)
        async with open_current_database(settings) as database:
            return await make_report(database, settings, asked, now=datetime.now(UTC))

    found = run(work())
    if as_json:
        say_json(found.as_dict())
    elif as_csv:
        print_csv(found.csv_rows())
    else:
        _show(found)


def _show(found: FinanceReport) -> None:
    words = {"client_name", "currency", "method", "reason"}
    columns = [f"{'' if one in words else '>'}{one.replace('_', ' ')}" for one in found.columns]
    span = f"{found.first} to {found.as_of}" if found.first else f"on {found.as_of}"
    console().print(table(f"{found.title}, {span}", columns, found.shown_rows(found.rows)))
    if found.totals:
        console().print(table("All together", columns, found.shown_rows(found.totals)))
    for note in found.notes:
        say(note)
