"""The commands of support: events, status."""

from datetime import UTC, datetime

import click
import orjson

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import amount, console, moment, say, say_json, table
from app.node import open_current_database, open_gateway
from app.payments import event_queries, lookup
from app.payments.status import JobStatus, list_jobs, status as status_of
from app.payments.webhook import dead_letters
from app.storage import schema
from app.storage.engines import Record
from app.storage.tables.stripe_events import EventState


@click.group()
def events() -> None:
    """Look at stored Stripe events, and apply parked or dead ones again."""


@events.command("list")
@click.option(
    "--state", type=click.Choice([str(state) for state in EventState]), help="Only these."
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def events_list(state: str | None, limit: int, as_json: bool) -> None:
    """The newest events first."""
    settings = settings_and_logs()

    async def work() -> list[dict[str, object]]:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            rows = await event_queries.list_events(tx, EventState(state) if state else None, limit)
            return [_event(row) for row in rows]

    found = run(work())
    if as_json:
        say_json(found, indented=True)
    else:
        columns = ("type", "state", "id", "intent_id", "error")
        rows = ((moment(one["received_at"]), *(one[name] for name in columns)) for one in found)
        console().print(table(f"events ({len(found)})", ("received", *columns), rows))


def _event(row: Record) -> dict[str, object]:
    return {
        "id": row.event_id,
        "type": row.type,
        "state": row.state,
        "intent_id": row.intent_id,
        "received_at": lookup.instant(row.received_at),
        "source": row.source,
        "tries": row.tries,
        "next_try_at": lookup.instant(row.next_try_at),
        "error": row.error,
    }


@events.command("show")
@click.argument("event_id")
def events_show(event_id: str) -> None:
    """One event with its body, as JSON."""
    settings = settings_and_logs()

    async def work() -> dict[str, object]:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            row = await event_queries.load_event(tx, event_id)
            return {**_event(row), "payload": orjson.Fragment(row.payload)}

    say_json(run(work()), indented=True)


@events.command("replay")
@click.argument("event_ids", nargs=-1)
@click.option("--dead", is_flag=True, help="All dead events.")
@click.option("--parked", is_flag=True, help="All parked events.")
def events_replay(event_ids: tuple[str, ...], dead: bool, parked: bool) -> None:
    """Apply events again, by id or all that wait. What was applied stays applied once.

    With STRIPE_API_KEY, Stripe is asked for the payments of refunds and disputes that are unknown.
    """
    settings = settings_and_logs()
    states = [EventState.DEAD] * dead + [EventState.PARKED] * parked
    if not event_ids and not states:
        raise click.UsageError("name events, or give --dead or --parked")

    async def work() -> dead_letters.RetryResult:
        async with (
            open_current_database(settings) as database,
            open_gateway(settings, database) as gateway,
        ):
            installation = await schema.installation(database)
            async with database.snapshot() as tx:
                ids = await event_queries.find_row_ids(tx, event_ids, states)
            now = datetime.now(UTC)
            return await dead_letters.retry_events(database, installation, ids, now, gateway)

    done = run(work())
    say(f"{done.applied} applied, {done.parked} parked, {done.dead} dead")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Show what is open, what waits, what is due, what came in today, and who is at which job."""
    settings = settings_and_logs()

    async def work() -> tuple[dict[str, object], list[JobStatus]]:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            now = datetime.now(UTC)
            jobs = await list_jobs(tx, now)
            return await status_of(tx, now=now, timezone=settings.timezone), jobs

    found, jobs = run(work())
    if as_json:
        say_json({**found, "jobs": {one.name: _job(one) for one in jobs}})
        return
    rows = ((name.replace("_", " "), _cell(value)) for name, value in found.items())
    console().print(table("status", ("what", ">count"), rows))
    columns = ("job", "worker at it", "last success", "next run", "result")
    console().print(table("jobs", columns, map(_job_row, jobs)))


def _job(one: JobStatus) -> dict[str, object]:
    return {
        "holder": one.holder,
        "started_at": lookup.instant(one.started_at),
        "succeeded_at": lookup.instant(one.succeeded_at),
        "next_run_at": lookup.instant(one.next_run_at),
        "result": one.result,
    }


def _job_row(one: JobStatus) -> tuple[object, ...]:
    times = (moment(lookup.instant(at)) for at in (one.succeeded_at, one.next_run_at))
    return (one.name, one.holder or "-", *times, one.result)


def _cell(value: object) -> object:
    """A number as it is; sums by currency side by side."""
    if isinstance(value, dict):
        return ", ".join(amount(total, currency) for currency, total in value.items()) or "-"
    return "-" if value is None else value
