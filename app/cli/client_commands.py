"""The commands on a client's personal data: client export, client erase."""

from datetime import UTC, datetime

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import say, say_json
from app.ledger import personal_data
from app.ledger.personal_data import Erasure
from app.node import open_current_database


@click.group()
def client() -> None:
    """Give out what is known about a client, or erase it."""


@client.command("export")
@click.argument("client_id", type=int)
def client_export(client_id: int) -> None:
    """Print everything that is about the client CLIENT_ID: one JSON object a line.

    Each names its `table`: the client and its sites, invoices with lines and changes, payments,
    charge attempts, mails, and events as Stripe sent them. Amounts are text, instants in UTC.
    """
    settings = settings_and_logs()

    async def work() -> None:
        async with open_current_database(settings) as database:
            async for row in personal_data.export(database, client_id):
                say_json(row)

    run(work())


@client.command("erase")
@click.argument("client_id", type=int)
@click.option("--by", "who", required=True, help="Your name; it stands in the invoices' history.")
@click.option("--reason", required=True, help="Why; it stands there as well.")
def client_erase(client_id: int, who: str, reason: str) -> None:
    """Erase the personal data of the client CLIENT_ID, for good. Every sum stays as it is.

    The client's name, addresses, numbers and ids at Stripe go, and so do the bodies of its events
    but for their hashes, what Stripe answered, and the texts of mails. Invoices, payments, the
    journal and the audit stay, as the law wants it: print or export them first. Exit code 1 while
    something is still under way, such as an unpaid invoice, a refund or an open dispute; the
    message names each. Backups of before still have the data.
    """
    settings = settings_and_logs()

    async def work() -> Erasure:
        async with open_current_database(settings) as database:
            return await personal_data.erase(
                database, client_id, who=who, reason=reason, now=datetime.now(UTC)
            )

    say(str(run(work())))
