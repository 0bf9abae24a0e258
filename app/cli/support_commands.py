"""The commands of support: payment find, assign and retry, events, status."""

import sys
from datetime import UTC, datetime
from typing import Any

import click
import orjson
from rich.console import Console

from app.cli.command_group import FAILED, run, settings_and_logs
from app.cli.terminal import amount, console, moment, say, say_json, table, words
from app.ledger import assignment
from app.node import open_current_database, open_gateway, open_stripe_node
from app.payments import event_queries, lookup
from app.payments.lookup import PaymentStory
from app.payments.status import status as status_of
from app.payments.webhook import dead_letters
from app.storage import schema
from app.storage.engines import Record, Tx
from app.storage.tables.stripe_events import EventState


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
        async with open_current_database(settings) as database, database.snapshot() as tx:
            return await lookup.find_intents(tx, text)

    stories = run(work())
    if as_json:
        say_json([story.as_dict() for story in stories], indented=True)
    elif stories:
        for story in stories:
            show_story(story)
    else:
        say(f"paydue: nothing is known of {text!r}", err=True)
        sys.exit(FAILED)


def show_story(story: PaymentStory) -> None:
    """One payment's story, from the first attempt to the last event."""
    screen = console()
    told = story.as_dict()
    money = f"  {amount(story.amount, story.currency)}" if story.currency else ""
    screen.print()
    screen.print(words((story.intent_id or "no intent yet", "bold"), f"  {story.status}{money}"))
    invoice = f"invoice {story.invoice_id} (number {story.invoicenumber})"
    whose = f", client {story.client_id}" if story.client_id else ""
    screen.print(words(f"  {invoice if story.invoice_id else 'not assigned to an invoice'}{whose}"))
    if len(told["shares"]) > 1:
        parts = (
            (one["invoice_id"] or "none", amount(one["amount"], story.currency), one["status"])
            for one in told["shares"]
        )
        screen.print(table("shares", (">invoice", ">amount", "status"), parts))
    if story.unapplied:
        credit = amount(story.unapplied, story.currency)
        screen.print(words((f"  {credit} of it is applied to no invoice", "yellow")))
    _show_money_back(screen, told, story.currency)
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


def _show_money_back(screen: Console, told: dict[str, Any], currency: str) -> None:
    """The shares of a payment that has several, its refunds, disputes and warnings."""
    titles = {
        "shares": ("payment_id", "invoice_id", "amount", "counted", "status"),
        "refunds": ("id", "request_id", "invoice_id", "amount", "status", "reason", "failure"),
        "disputes": ("id", "amount", "status", "reason", "evidence_due", "funds_withdrawn",
                     "funds_reinstated"),
        "fraud_warnings": ("id", "status", "reason"),
    }  # fmt: skip
    for title, names in titles.items():
        if len(told[title]) > (title == "shares"):
            rows = ([_shown(name, one[name], currency) for name in names] for one in told[title])
            columns = [name.replace("_", " ") for name in names]
            screen.print(table(title.replace("_", " "), columns, rows))


def _shown(name: str, value: Any, currency: str) -> object:
    if name in ("amount", "counted"):
        return amount(value, currency)
    if name == "evidence_due":
        return moment(value)
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


@payment.command("assign")
@click.argument("intent_id")
@click.argument("invoice_id", type=int)
@click.option("--other-client", is_flag=True, help="It is meant for another client's invoice.")
def payment_assign(intent_id: str, invoice_id: int, *, other_client: bool) -> None:
    """Say that the payment INTENT_ID is for the invoice INVOICE_ID.

    The invoice takes what it owes; the rest stays the client's credit. INVOICE_ID 0 says that the
    payment is for no invoice, so that autopay waits for it no more.
    """
    settings = settings_and_logs()

    async def assign(tx: Tx) -> None:
        payment_id = await lookup.load_payment_id(tx, intent_id)
        now = datetime.now(UTC)
        await assignment.assign(
            tx,
            payment_id,
            invoice_id or None,
            now=now,
            who="command line",
            is_other_client=other_client,
        )

    async def work() -> None:
        async with open_current_database(settings) as database:
            await database.with_retry(assign)

    run(work())
    whose = f"a payment of invoice {invoice_id}" if invoice_id else "for no invoice"
    say(f"{intent_id} is now {whose}")


@payment.command("retry")
@click.argument("invoice_id", type=int)
@click.option("--reason", required=True, help="Why; it stands in the invoice's history.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def payment_retry(invoice_id: int, reason: str, as_json: bool) -> None:
    """Try to charge the invoice INVOICE_ID now, whatever day its last decline names.

    A run's guards stand before it: autopay is on, the invoice is due and unpaid, no other way to
    pay is open, the card networks allow a try. Exit code 1 when it is not charged.
    """
    settings = settings_and_logs()

    async def work() -> dict[str, Any]:
        async with open_stripe_node(settings) as node:
            return await node.retry_charge(invoice_id, reason=reason, who="command line")

    found = run(work())
    if as_json:
        say_json(found)
    else:
        why = f": {found['reason']}" if found["reason"] else ""
        say(f"invoice {invoice_id} is {found['outcome']}{why}")
    if found["outcome"] not in ("charged", "pending"):
        sys.exit(FAILED)


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
    """Show what is open, what waits, what is due, and what came in today."""
    settings = settings_and_logs()

    async def work() -> dict[str, object]:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            return await status_of(tx, now=datetime.now(UTC), timezone=settings.timezone)

    found = run(work())
    if as_json:
        say_json(found)
    else:
        rows = ((name.replace("_", " "), _cell(value)) for name, value in found.items())
        console().print(table("status", ("what", ">count"), rows))


def _cell(value: object) -> object:
    """A number as it is; sums by currency side by side."""
    if isinstance(value, dict):
        return ", ".join(amount(total, currency) for currency, total in value.items()) or "-"
    return "-" if value is None else value
