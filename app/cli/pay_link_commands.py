"""The commands on pay links: made, listed, revoked."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import console, moment, say, say_json, table
from app.errors import ConfigurationError
from app.ledger import pay_links
from app.ledger.pay_links import DAYS, DAYS_MAX, LinkSubject, NewPayLink, StoredPayLink
from app.node import open_current_database
from app.settings import Settings
from app.storage.engines import Tx

T = TypeVar("T")


@click.group()
def links() -> None:
    """Make, list and revoke links by which customers pay without login."""


@links.command("make")
@click.option("--invoice", "invoice_id", type=int, help="A link for this invoice.")
@click.option("--client", "client_id", type=int, help="A link for all that this client owes.")
@click.option(
    "--days", type=click.IntRange(1, DAYS_MAX), default=DAYS, show_default=True,
    help="How long it is good for.",
)  # fmt: skip
@click.option("--portal", is_flag=True, help="Let it lead to the client's payment methods, too.")
@click.option("--by", "who", required=True, metavar="NAME", help="Who makes it.")
def make_link(
    invoice_id: int | None, client_id: int | None, days: int, portal: bool, who: str
) -> None:
    """Make a link and print its address, which is told this once.

    The link of an invoice also stands in the invoice's generic_online_invoice_payment_url.
    """
    settings = settings_and_logs()
    base = settings.public_url
    if not base:
        raise ConfigurationError(
            "PAYDUE_PUBLIC_URL is not set; a link needs the address that customers reach"
        )

    async def work(tx: Tx) -> NewPayLink:
        return await pay_links.make_link(
            tx,
            LinkSubject(invoice_id, client_id),
            url_of=lambda token: f"{base}/pay/{token}",
            days=days,
            allows_portal=portal,
            who=who,
            now=datetime.now(UTC),
        )

    say(_run(settings, work, writes=True).url)


@links.command("list")
@click.option("--all", "every", is_flag=True, help="Those that open nothing any more, too.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_links(*, every: bool, as_json: bool) -> None:
    """List the links that open something, the newest first. Their addresses are not kept."""
    settings, now = settings_and_logs(), datetime.now(UTC)
    found = _run(settings, lambda tx: pay_links.list_links(tx, now, every=every))
    if as_json:
        say_json([_as_dict(one) for one in found])
        return
    rows = (
        (
            one.id, _subject(one), moment(one.expires_at), one.made_by, one.sessions,
            one.last_session_id, f"revoked by {one.revoked_by}" if one.revoked_at else "",
        )
        for one in found
    )  # fmt: skip
    columns = (">id", "for", "until", "made by", ">sessions", "last session", "state")
    console().print(table("Pay links", columns, rows))


@links.command("revoke")
@click.argument("link_id", type=int)
@click.option("--by", "who", required=True, metavar="NAME", help="Who revokes it.")
def revoke_link(link_id: int, who: str) -> None:
    """Let the link LINK_ID open nothing any more.

    A page of Stripe's that its visitor has open already can be paid for half an hour at most.
    """
    settings, now = settings_and_logs(), datetime.now(UTC)
    _run(settings, lambda tx: pay_links.revoke_link(tx, link_id, who=who, now=now), writes=True)
    say(f"link {link_id} is revoked")


def _subject(one: StoredPayLink) -> str:
    if one.invoice_id is not None:
        return f"invoice {one.invoice_id}"
    return f"client {one.client_id}"


def _as_dict(one: StoredPayLink) -> dict[str, object]:
    found = one._asdict()
    del found["token_hash"]
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in found.items()
    }


def _run(settings: Settings, work: Callable[[Tx], Awaitable[T]], *, writes: bool = False) -> T:
    async def within() -> T:
        async with open_current_database(settings) as database:
            if writes:
                return await database.with_retry(work)
            async with database.snapshot() as tx:
                return await work(tx)

    return run(within())
