"""The commands on payments: find what happened to one, assign it, try an invoice again."""

import sys
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

from app.cli import payment_list_commands, refund_commands
from app.cli.command_group import FAILED, run, settings_and_logs
from app.cli.terminal import amount, console, moment, say, say_json, table, words
from app.ledger import assignment
from app.node import open_current_database, open_stripe_node
from app.payments import lookup
from app.payments.lookup import PaymentStory
from app.storage.engines import Tx


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
        if lookup.may_be_more(stories):
            say(f"paydue: there may be more than these {len(stories)}; ask for less", err=True)
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


payment.add_command(refund_commands.payment_refund)
payment.add_command(refund_commands.payment_apply)
payment.add_command(payment_list_commands.payment_record)
