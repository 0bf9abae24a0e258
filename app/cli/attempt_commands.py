"""The commands on charge attempts: attempts list, attempts end."""

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import amount, console, moment, say, say_json, table
from app.node import open_database, open_stripe_node
from app.payments import attempt_queries
from app.storage import schema


@click.group()
def attempts() -> None:
    """Look at charge attempts, and end one that nobody can go on with."""


@attempts.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def attempts_list(everything: bool, limit: int, as_json: bool) -> None:
    """The attempts that have not ended, the oldest first. With --all, the newest of all first."""
    settings = settings_and_logs()

    async def work() -> list[dict[str, object]]:
        async with open_database(settings) as database:
            await schema.expect_usable(database)
            async with database.snapshot() as tx:
                found = await attempt_queries.list_attempts(
                    tx, unresolved=not everything, limit=limit
                )
                shares = await attempt_queries.load_shares(tx, [one.id for one in found])
                return [one.as_dict(shares.get(one.id, ())) for one in found]

    found = run(work())
    if as_json:
        say_json(found, indented=True)
        return
    columns = (">id", ">invoice", ">try", "state", ">amount", "intent", "since", "reason")
    rows = (
        (one["id"], _invoices(one), one["number"], one["state"],
         amount(str(one["amount"]), str(one["currency"])), one["intent_id"],
         moment(one["created_at"]), one["reason"])
        for one in found
    )  # fmt: skip
    console().print(table(f"charge attempts ({len(found)})", columns, rows))


def _invoices(one: dict[str, object]) -> str:
    """The invoice, and how many more are charged with it."""
    named = one["invoices"]
    more = len(named) - 1 if isinstance(named, list) else 0
    return f"{one['invoice_id']} + {more}" if more else str(one["invoice_id"])


@attempts.command("end")
@click.argument("attempt_id", type=int)
@click.option("--reason", required=True, help="Why; it is kept with the attempt and audited.")
def attempts_end(attempt_id: int, reason: str) -> None:
    """End the attempt ATTEMPT_ID, so that its invoice can be charged or paid another way.

    Stripe must prove that no money moved or can move: it cancels the attempt's intent now, has it
    canceled already, or the account in which the attempt began does not know it. Otherwise the
    attempt stays as it is, and the exit code is 1.
    """
    settings = settings_and_logs()

    async def work() -> str:
        async with open_stripe_node(settings) as node:
            return await node.end_attempt(attempt_id, reason=reason, who="command line")

    say(f"attempt {attempt_id} has ended: {run(work())}")
