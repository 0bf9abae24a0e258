"""The commands on mail: switches, the outbox, previews, and promises to pay."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import console, moment, say, say_json, table
from app.ledger import charge_objections, outbox
from app.ledger.charge_objections import StoredObjection
from app.ledger.payment_promises import promise
from app.mail import outbox_queries
from app.mail.mail_preview import preview_mail
from app.mail.mail_words import MAIL_LANGUAGES
from app.mail.outbox_queries import ListedMessage, MessageTexts
from app.node import open_current_database
from app.rules.mail_kind import TO_FINANCE, MailKind
from app.settings import Settings
from app.storage.engines import Database
from app.storage.tables.outbox_messages import OutboxState

T = TypeVar("T")
KIND = click.Choice([str(one) for one in MailKind])


@click.group()
def mail() -> None:
    """Switch kinds of mail on, look at what was sent, and send again what failed."""


@mail.command("kinds")
def mail_kinds() -> None:
    """The kinds of mail, whom each is for, and whether it is on."""
    on = _run(lambda database, _: _kinds(database))
    rows = (
        (kind, "finance" if kind in TO_FINANCE else "client", "on" if kind in on else "off")
        for kind in MailKind
    )
    console().print(table("Kinds of mail", ("kind", "to", "state"), rows))


@mail.command("on")
@click.argument("kinds", nargs=-1, required=True, type=KIND)
def mail_on(kinds: tuple[str, ...]) -> None:
    """Send mail of these KINDS from now on. Nothing is sent of what was before."""
    _switch(kinds, is_on=True)


@mail.command("off")
@click.argument("kinds", nargs=-1, required=True, type=KIND)
def mail_off(kinds: tuple[str, ...]) -> None:
    """Send mail of these KINDS no more. A single client's `mail_off` does it for that client."""
    _switch(kinds, is_on=False)


@mail.command("list")
@click.option("--state", default="", type=click.Choice(["", *map(str, OutboxState)]))
@click.option("--kind", default="", type=click.Choice(["", *map(str, MailKind), "alert"]))
@click.option("--client", "client_id", type=int, help="Only of this client.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def mail_list(state: str, kind: str, client_id: int | None, limit: int, as_json: bool) -> None:
    """List what was sent and what waits, the newest first, with the reason of each failure."""

    async def work(database: Database, _: Settings) -> list[ListedMessage]:
        async with database.snapshot() as tx:
            return await outbox_queries.list_messages(
                tx, state=state, kind=kind, client_id=client_id, limit=limit
            )

    found = _run(work)
    if as_json:
        say_json([one.as_dict() for one in found])
        return
    rows = (
        (one.id, one.kind, one.state, one.recipient, one.subject, one.invoice_id,
         moment(one.sent_at or one.created_at), one.error)
        for one in found
    )  # fmt: skip
    columns = (">id", "kind", "state", "to", "subject", ">invoice", "when", "reason")
    console().print(table("Mail", columns, rows))


@mail.command("show")
@click.argument("message_id", type=int)
@click.option("--html", "as_html", is_flag=True, help="Print the HTML.")
def mail_show(message_id: int, as_html: bool) -> None:
    """Show the message MESSAGE_ID as it was sent."""

    async def work(database: Database, _: Settings) -> tuple[ListedMessage, MessageTexts]:
        async with database.snapshot() as tx:
            return await outbox_queries.load_message(tx, message_id)

    found, texts = _run(work)
    if as_html:
        say(texts.html_body or "")
        return
    head = {
        "State": found.state, "To": found.recipient, "Subject": found.subject,
        "Message-ID": found.message_id, "Sent": moment(found.sent_at), "Reason": found.error,
    }  # fmt: skip
    say("\n".join(f"{name}: {value}" for name, value in head.items() if value))
    say(f"\n{texts.text_body}" if texts.text_body else "\nIts text is made when it is sent.")


@mail.command("preview")
@click.argument("kind", type=KIND)
@click.argument("invoice_id", type=int)
@click.option("--language", default="", type=click.Choice(["", *MAIL_LANGUAGES]))
@click.option("--html", "as_html", is_flag=True, help="Print the HTML, for a browser.")
def mail_preview(kind: str, invoice_id: int, language: str, as_html: bool) -> None:
    """Print the mail KIND as the client of the invoice INVOICE_ID would get it. None is sent."""

    async def work(database: Database, settings: Settings) -> tuple[str, str, str]:
        async with database.snapshot() as tx:
            return await preview_mail(
                tx, MailKind(kind), invoice_id, settings, now=datetime.now(UTC), language=language
            )

    subject, text, html = _run(work)
    say(html if as_html else f"Subject: {subject}\n\n{text}")


@mail.command("retry")
@click.argument("message_id", type=int)
def mail_retry(message_id: int) -> None:
    """Send the message MESSAGE_ID, which failed, was skipped, or of which nobody knows.

    Look first whether one of state `unknown` has come: it may come twice.
    """

    async def work(database: Database, _: Settings) -> None:
        async with database.transaction() as tx:
            await outbox.retry(tx, message_id, now=database.now())

    _run(work)
    say(f"message {message_id} waits for the worker")


@mail.command("promise")
@click.argument("invoice_id", type=int)
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]), required=False)
@click.option("--by", "who", required=True, metavar="NAME", help="Who notes it.")
@click.option("--note", default="", help="What the client said.")
def mail_promise(invoice_id: int, day: datetime | None, who: str, note: str) -> None:
    """Note that the invoice INVOICE_ID is promised for DAY; nobody is reminded up to then.

    Without a DAY the promise is taken back.
    """

    async def work(database: Database, _: Settings) -> None:
        promised_on = day.date() if day else None
        async with database.transaction() as tx:
            await promise(tx, invoice_id, promised_on, note=note, who=who, now=database.now())

    _run(work)
    said = f"is promised for {day:%Y-%m-%d}" if day else "is promised no more"
    say(f"invoice {invoice_id} {said}")


@mail.command("objections")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def mail_objections(*, as_json: bool) -> None:
    """List the coming charges to which clients may object by their mail, or have objected.

    `paydue pauses end` releases an invoice that is held so.
    """

    async def work(database: Database, _: Settings) -> list[StoredObjection]:
        async with database.snapshot() as tx:
            return await charge_objections.list_objections(tx)

    found = _run(work)
    if as_json:
        say_json([one._asdict() for one in found])
        return
    rows = (
        (one.id, one.client_id, one.charge_on, ", ".join(map(str, one.invoice_ids)),
         moment(one.expires_at), moment(one.objected_at),
         f"withdrawn by {one.revoked_by}" if one.revoked_at else "")
        for one in found
    )  # fmt: skip
    columns = (">id", ">client", "charge on", "invoices", "until", "objected", "state")
    console().print(table("Objections", columns, rows))


@mail.command("withdraw")
@click.argument("objection_id", type=int)
@click.option("--by", "who", required=True, metavar="NAME", help="Who withdraws it.")
def mail_withdraw(objection_id: int, who: str) -> None:
    """Let the address in a mail, OBJECTION_ID, hold nothing any more. What is held stays so."""

    async def work(database: Database, _: Settings) -> None:
        async with database.transaction() as tx:
            now = database.now()
            await charge_objections.revoke_objection(tx, objection_id, who=who, now=now)

    _run(work)
    say(f"objection {objection_id} can be made no more")


async def _kinds(database: Database) -> frozenset[str]:
    async with database.snapshot() as tx:
        return await outbox.load_kinds(tx)


def _switch(kinds: tuple[str, ...], *, is_on: bool) -> None:
    async def work(database: Database, settings: Settings) -> tuple[frozenset[str], str]:
        async with database.transaction() as tx:
            wanted = [MailKind(one) for one in kinds]
            return await outbox.switch(tx, wanted, is_on=is_on), settings.smtp_host

    on, host = _run(work)
    say(f"on: {', '.join(sorted(on)) or 'none'}")
    if on and not host:
        say("paydue: PAYDUE_SMTP_HOST is not set, so nothing is sent yet", err=True)


def _run(work: Callable[[Database, Settings], Awaitable[T]]) -> T:
    settings = settings_and_logs()

    async def within() -> T:
        async with open_current_database(settings) as database:
            return await work(database, settings)

    return run(within())
