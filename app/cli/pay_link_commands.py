"""The commands on pay links: made, listed, revoked."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import click

from app.cli.command_group import FAILED, run, settings_and_logs
from app.cli.terminal import console, moment, say, say_json, table
from app.errors import ConfigurationError
from app.ledger import link_sessions, pay_links
from app.ledger.link_sessions import OpenLinkSession
from app.ledger.pay_links import DAYS, DAYS_MAX, LinkSubject, NewPayLink, StoredPayLink
from app.node import open_current_database, open_gateway
from app.payments.checkout.session_closing import SessionClosing, SessionEnd
from app.settings import Settings
from app.storage.engines import Tx
from app.storage.tables.customer_links import LinkSessionState

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

    async def work(tx: Tx) -> tuple[Sequence[StoredPayLink], dict[int, OpenLinkSession]]:
        sessions = await link_sessions.list_open(tx)
        return (
            await pay_links.list_links(tx, now, every=every),
            {one.link_id: one for one in sessions if one.ends_at > now},
        )

    found, sessions = _run(settings, work)
    if as_json:
        say_json([_as_dict(one, sessions.get(one.id)) for one in found])
        return
    rows = (
        (
            one.id, _subject(one), moment(one.expires_at), one.made_by, one.sessions,
            _page_words(one, sessions.get(one.id)),
            f"revoked by {one.revoked_by}" if one.revoked_at else "",
        )
        for one in found
    )  # fmt: skip
    columns = (">id", "for", "until", "made by", ">sessions", "page at Stripe", "state")
    console().print(table("Pay links", columns, rows))


@links.command("revoke")
@click.argument("link_id", type=int)
@click.option("--by", "who", required=True, metavar="NAME", help="Who revokes it.")
def revoke_link(link_id: int, who: str) -> None:
    """Let the link LINK_ID open nothing any more, and expire its page at Stripe.

    Exit code 1 when Stripe does not answer: the link is revoked, but the page that its visitor has
    open may still be paid until it ends, half an hour at most. The worker tries it again.
    """
    settings, now = settings_and_logs(), datetime.now(UTC)
    _run(settings, lambda tx: pay_links.revoke_link(tx, link_id, who=who, now=now), writes=True)
    say(f"link {link_id} is revoked")
    if any([_say_end(one) for one in run(_close_sessions(settings, link_id))]):
        sys.exit(FAILED)


async def _close_sessions(settings: Settings, link_id: int) -> list[SessionEnd]:
    async with (
        open_current_database(settings) as database,
        open_gateway(settings, database) as gateway,
    ):
        if gateway is not None:
            return await SessionClosing(database, gateway).close_of_link(link_id)
        async with database.snapshot() as tx:
            found = await link_sessions.list_open(tx, link_id=link_id)
        why = "STRIPE_API_KEY is not set"
        return [
            SessionEnd(one.session_id, LinkSessionState.OPEN, one.ends_at, why) for one in found
        ]


def _say_end(one: SessionEnd) -> bool:
    """Say what came of a session; answers whether it may still be paid."""
    match one.state:
        case LinkSessionState.EXPIRED:
            say(f"its page {one.session_id} at Stripe is expired")
        case LinkSessionState.COMPLETE:
            say(f"its page {one.session_id} at Stripe was completed before")
        case LinkSessionState.OPEN:
            say(
                f"paydue: its page {one.session_id} at Stripe may be paid until "
                f"{moment(one.ends_at)}: {one.error}; the worker tries again to expire it",
                err=True,
            )
    return one.state == LinkSessionState.OPEN


def _page_words(link: StoredPayLink, one: OpenLinkSession | None) -> str:
    """The page at Stripe that a visitor may have open now."""
    if one is None:
        return ""
    said = f"{one.session_id} until {moment(one.ends_at)}"
    if one.error:
        return f"{said}; not expired after {one.tries} tries: {one.error}"
    return f"{said}; it is being expired" if link.revoked_at else said


def _subject(one: StoredPayLink) -> str:
    if one.invoice_id is not None:
        return f"invoice {one.invoice_id}"
    return f"client {one.client_id}"


def _as_dict(one: StoredPayLink, session: OpenLinkSession | None) -> dict[str, object]:
    found = one._asdict()
    del found["token_hash"]
    found["open_session_id"] = session.session_id if session else None
    found["open_session_ends_at"] = session.ends_at if session else None
    found["open_session_error"] = session.error if session else None
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
