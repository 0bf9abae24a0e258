"""Commands that run: serve, worker, autopay, reconcile, sandbox."""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app import serving
from app.cli.command_group import FAILED, on_signals, run, settings_and_logs
from app.cli.terminal import amount, console, table
from app.errors import ConfigurationError
from app.payments.autopay.report import Outcome, OutcomeKind, RunReport
from app.payments.autopay.run import Autopay, StopSignal
from app.payments.reconcile import Reconciliation
from app.payments.stripe.gateway import Gateway
from app.payments.stripe.rate_limiter import StripeRateLimiter
from app.settings import Settings
from app.worker import Worker

# People read so many lines of a list; programs take all of them with --json.
SHOWN = 50


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=int, help="Port to listen on.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Server processes. One process fills one core; SQLite gains nothing from more.",
)
def serve(host: str, port: int, workers: int) -> None:
    """Serve the webhook endpoint and the API.

    Point Stripe at POST /stripe/webhook. Stops on SIGTERM after answering what it has accepted.
    """
    settings = settings_and_logs()
    serving.assert_key_set(settings)
    click.echo(f"paydue: serving on http://{host}:{port}", err=True)
    if not settings.webhook_secrets:
        click.echo("paydue: STRIPE_WEBHOOK_SECRET is not set: webhooks get 503", err=True)
    if workers == 1:
        run(_serve_one(settings, host, port))
    else:
        _serve_many(host, port, workers)


async def _serve_one(settings: Settings, host: str, port: int) -> None:
    service = serving.Service(settings)
    server = serving.Server(serving.server_config(service, host, port))
    await server.serve()
    if not server.started:
        sys.exit(FAILED)


def _serve_many(host: str, port: int, workers: int) -> None:
    from uvicorn.supervisors import Multiprocess

    config = serving.server_config("app.serving:from_environment", host, port, workers=workers)
    Multiprocess(config, sockets=[config.bind_socket()]).run()


@click.command()
def worker() -> None:
    """Run what is scheduled: autopay daily, parked events, open attempts, reconciliation.

    Any number of workers may run on one database; each job is done by one at a time.
    """
    settings = settings_and_logs()

    async def work() -> None:
        stop = StopSignal()
        on_signals(stop.event)
        async with _stripe(settings) as (autopay_way, _):
            await Worker(
                autopay_way.database,
                autopay_way.gateway,
                settings,
                autopay_way.installation,
                stop,
            ).run()

    run(work())


@click.group()
def autopay() -> None:
    """Charge due invoices that are flagged take_auto_payment."""


@autopay.command("run")
@click.option(
    "--on",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The business day to decide for. Default: today, where each client is.",
)
@click.option("--dry-run", is_flag=True, help="Say what the run would do; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def autopay_run(day: datetime | None, dry_run: bool, as_json: bool) -> None:
    """Charge what is due, once. Runs may overlap and may be repeated at any time.

    Exit code 0 when the run came to its end, whatever the cards said; 1 when it could not.
    """
    settings = settings_and_logs()
    ended = run(_autopay(settings, day.date() if day else None, dry_run, as_json))
    if not ended:
        click.echo("paydue: stopped before the end; the next run goes on", err=True)
        sys.exit(FAILED)


async def _autopay(settings: Settings, day: date | None, dry_run: bool, as_json: bool) -> bool:
    async with _stripe(settings) as (way, stop):
        on_signals(stop.event)
        with _progress(quiet=as_json or dry_run) as tell:
            report = await (way.dry_run(day) if dry_run else way.run(day, tell))
        try:
            if as_json:
                for piece in report.json_lines():
                    click.echo(piece, nl=False)
                click.echo()
            else:
                show_report(console(), report)
        finally:
            report.close()
        return not stop


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
        screen.print("[bold]Dry run[/bold]: nothing was changed, nothing was charged.")
    for kind in OutcomeKind:
        if report.counts[kind]:
            would_be = report.dry_run and kind == OutcomeKind.CHARGED
            title = "would be charged" if would_be else str(kind)
            screen.print(_entries(f"{title} ({report.counts[kind]})", report.entries(kind)))
        if report.counts[kind] > SHOWN:
            screen.print(f"  … and {report.counts[kind] - SHOWN} more; --json lists all")
    counts = ", ".join(f"{report.counts[kind]} {kind}" for kind in OutcomeKind)
    screen.print(f"Business day {report.day}: {counts}.")


_COLUMNS = {"intent_id": "intent", "reason": "reason", "next_try": "next try"}


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

    async def work() -> dict[str, int]:
        async with _stripe(settings) as (way, stop):
            on_signals(stop.event)
            await way.recover()
            found = await Reconciliation(way.database, way.gateway, way.installation, stop).run()
            return asdict(found)

    found = run(work())
    if as_json:
        click.echo(orjson.dumps(found))
    else:
        rows = ((name.replace("_", " "), count) for name, count in found.items())
        console().print(table("Reconciled with Stripe", ("what", ">count"), rows))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=12121, show_default=True, type=int)
@click.option("--webhook", help="Deliver signed events to this URL.")
@click.option("--secret", default="whsec_sandbox", show_default=True, help="The signing secret.")
@click.option("--pace", type=float, help="Requests/s the limiter allows per endpoint.")
@click.option("--latency", type=float, default=0.0, help="Seconds each call takes.")
def sandbox(
    host: str, port: int, webhook: str | None, secret: str, pace: float | None, latency: float
) -> None:
    """Serve a stateful stand-in for Stripe on this machine. No money moves.

    Set PAYDUE_STRIPE_API_BASE to its address and STRIPE_API_KEY to any sk_test_ key. Its controls
    (customers, faults, clock, ledger) are listed at its root page.
    """

    async def work() -> None:
        from app.sandbox.server import Sandbox

        stripe = Sandbox(rate_limit=pace, latency=latency)
        if webhook:
            stripe.add_endpoint(webhook, secrets=[secret], mode="auto")
        stop = asyncio.Event()
        on_signals(stop)
        async with stripe.running(port=port, host=host) as url:
            click.echo(f"paydue: a Stripe stand-in answers at {url}", err=True)
            await stop.wait()

    run(work())


@contextlib.asynccontextmanager
async def _stripe(settings: Settings) -> AsyncIterator[tuple[Autopay, StopSignal]]:
    """Everything that talks to Stripe for us, opened and closed in order."""
    if not settings.api_key:
        raise ConfigurationError("STRIPE_API_KEY is not set; nothing can be asked of Stripe")
    stop = StopSignal()
    async with serving.open_database(settings) as (database, installation):
        pace = StripeRateLimiter(database, settings.stripe_pace)
        async with Gateway(settings, pace) as gateway:
            yield Autopay(database, gateway, settings, installation, stop), stop
