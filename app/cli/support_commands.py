"""Commands that look: payment find and assign, events, status."""

import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import click
import orjson
from sqlalchemy import ColumnElement, and_, select

from app.cli.command_group import FAILED, run, settings_and_logs
from app.cli.terminal import amount, console, moment, table
from app.errors import NotFound
from app.ledger import settlement
from app.payments import lookup
from app.payments.lookup import PaymentStory
from app.payments.status import status as status_of
from app.payments.webhook import dead_letters
from app.settings import Settings
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Database, Record
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.stripe_events import IS_PARKED_OR_DEAD, EventState, StripeEvent

EVENTS = table_of(StripeEvent)
PAYMENTS = table_of(InvoicePayment)


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database_url)
    try:
        await schema.expect_current(database)
        yield database
    finally:
        await database.close()


@click.group()
def payment() -> None:
    """Find what happened to a payment, and say what an unassigned one is for."""


@payment.command("find")
@click.argument("text")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def payment_find(text: str, as_json: bool) -> None:
    """Find payments by TEXT: an intent, charge, event, refund, dispute or session id, an invoice's
    number, id or total such as 120.00, a client's name or Stripe customer.
    """
    settings = settings_and_logs()

    async def work() -> list[PaymentStory]:
        async with _database(settings) as database, database.snapshot() as tx:
            return await lookup.find_intents(tx, text)

    stories = run(work())
    if as_json:
        click.echo(orjson.dumps([story.as_dict() for story in stories], option=orjson.OPT_INDENT_2))
    elif stories:
        for story in stories:
            show_story(story)
    else:
        click.echo(f"paydue: nothing is known of {text!r}", err=True)
        sys.exit(FAILED)


def show_story(story: PaymentStory) -> None:
    """One payment's story, from the first attempt to the last event."""
    screen = console()
    told = story.as_dict()
    screen.print(
        f"\n[bold]{story.intent_id or 'no intent yet'}[/bold]  {story.status}  "
        f"{amount(story.amount, story.currency)}"
    )
    invoice = f"invoice {story.invoice_id} (number {story.invoicenumber})"
    whose = f", client {story.client_id}" if story.client_id else ""
    screen.print(f"  {invoice if story.invoice_id else 'not assigned to an invoice'}{whose}")
    if told["attempts"]:
        rows = (
            (one["number"], moment(one["at"]), one["state"], one["reason"], one["next_try"])
            for one in told["attempts"]
        )
        columns = (">try", "at", "state", "reason", "next try")
        screen.print(table("attempts", columns, rows))
    if told["events"]:
        heard = (
            (moment(one["received_at"]), one["type"], one["state"], one["id"], one["error"])
            for one in told["events"]
        )
        screen.print(table("events", ("received", "type", "state", "id", "error"), heard))


@payment.command("assign")
@click.argument("intent_id")
@click.argument("invoice_id", type=int)
def payment_assign(intent_id: str, invoice_id: int) -> None:
    """Say that the payment INTENT_ID is for the invoice INVOICE_ID."""
    settings = settings_and_logs()

    async def work() -> None:
        async with _database(settings) as database, database.transaction() as tx:
            payment_id = await tx.scalar(
                select(PAYMENTS.c.id).where(PAYMENTS.c.intent_id == intent_id)
            )
            if payment_id is None:
                raise NotFound("payment", intent_id)
            await settlement.assign(
                tx, payment_id, invoice_id, now=datetime.now(UTC), who="command line"
            )

    run(work())
    click.echo(f"{intent_id} is now a payment of invoice {invoice_id}")


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
        wanted = select(EVENTS).order_by(EVENTS.c.id.desc()).limit(limit)
        if state:
            wanted = wanted.where(_in_state([state]))
        async with _database(settings) as database, database.snapshot() as tx:
            return [_event(row) for row in await tx.execute(wanted)]

    found = run(work())
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        columns = ("type", "state", "id", "intent_id", "error")
        rows = ((moment(one["received_at"]), *(one[name] for name in columns)) for one in found)
        console().print(table(f"events ({len(found)})", ("received", *columns), rows))


def _in_state(states: Sequence[str]) -> ColumnElement[bool]:
    """The few that wait are found by an index of their own, once that is said."""
    waiting = {EventState.PARKED, EventState.DEAD}.issuperset(states)
    among = EVENTS.c.state.in_(states)
    return and_(IS_PARKED_OR_DEAD, among) if waiting else among


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
        async with _database(settings) as database, database.snapshot() as tx:
            row = (
                await tx.execute(select(EVENTS).where(EVENTS.c.event_id == event_id))
            ).one_or_none()
            if row is None:
                raise NotFound("event", event_id)
            return {**_event(row), "payload": orjson.Fragment(row.payload)}

    click.echo(orjson.dumps(run(work()), option=orjson.OPT_INDENT_2))


@events.command("replay")
@click.argument("event_ids", nargs=-1)
@click.option("--dead", is_flag=True, help="All dead events.")
@click.option("--parked", is_flag=True, help="All parked events.")
def events_replay(event_ids: tuple[str, ...], dead: bool, parked: bool) -> None:
    """Apply events again, by id or all that wait. What was applied stays applied once."""
    settings = settings_and_logs()
    states = [EventState.DEAD] * dead + [EventState.PARKED] * parked
    if not event_ids and not states:
        raise click.UsageError("name events, or give --dead or --parked")

    async def work() -> dead_letters.RetryResult:
        async with _database(settings) as database:
            installation = await schema.installation(database)
            async with database.snapshot() as tx:
                wanted = EVENTS.c.event_id.in_(event_ids) | _in_state(states)
                ids = list(await tx.scalars(select(EVENTS.c.id).where(wanted)))
            return await dead_letters.retry_events(database, installation, ids, datetime.now(UTC))

    done = run(work())
    click.echo(f"{done.applied} applied, {done.parked} parked, {done.dead} dead")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """What is open, what waits, what is due, and what came in today."""
    settings = settings_and_logs()

    async def work() -> dict[str, object]:
        async with _database(settings) as database, database.snapshot() as tx:
            return await status_of(tx, now=datetime.now(UTC), timezone=settings.timezone)

    found = run(work())
    if as_json:
        click.echo(orjson.dumps(found))
    else:
        rows = ((name.replace("_", " "), "-" if n is None else n) for name, n in found.items())
        console().print(table("status", ("what", ">count"), rows))
