"""Checkout Sessions of pay links: recorded before they are shown, and those that should end.

A session should end once its link is revoked, or once one of its invoices is voided, deleted or
owes less than the session would take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import and_, select, update

from app.ledger.pay_links import INVOICES, LINKS
from app.rules import money
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import insert_once
from app.storage.tables.customer_links import LinkSession, LinkSessionState

SESSIONS = table_of(LinkSession)

# Stripe's clock may differ from ours; so long after its end nobody asks for a session any more.
OVER_AFTER = timedelta(minutes=10)
# All links of a busy day have fewer sessions within their half hour; the oldest come first.
OPEN_MAX = 1000
# Between two tries to expire one: doubled each time, up to a minute.
_WAIT_S, _WAIT_MAX_S = 5, 60


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A session that a visitor is about to be shown. `shares_minor`: by invoice, minor units."""

    session_id: str
    shares_minor: Mapping[int, int]
    currency: str
    ends_at: datetime


class OpenLinkSession(NamedTuple):
    """A session that can be paid, as far as we know, and the last try to expire it."""

    id: int
    link_id: int
    session_id: str
    shares: Mapping[str, int]
    currency: str
    ends_at: datetime
    tries: int
    next_try_at: datetime | None
    error: str | None


_COLUMNS = [SESSIONS.c[name] for name in OpenLinkSession._fields]


async def record_session(tx: Tx, link_id: int, shown: ShownSession, *, now: datetime) -> bool:
    """Record a session before its address is shown; False where its link is revoked by now.

    The link's row is locked, so that whoever revokes it afterwards finds the session.
    """
    values = {"last_session_id": shown.session_id, "last_session_at": now}
    is_open = and_(LINKS.c.id == link_id, LINKS.c.revoked_at.is_(None))
    changed = await tx.execute(update(LINKS).where(is_open).values(values))
    if not changed.rowcount:
        return False
    row = {
        "link_id": link_id,
        "session_id": shown.session_id,
        "shares": {str(one): minor for one, minor in shown.shares_minor.items()},
        "currency": shown.currency,
        "state": LinkSessionState.OPEN,
        "opened_at": now,
        "ends_at": shown.ends_at,
        "tries": 0,
    }
    await insert_once(
        tx, SESSIONS, [row], key=[SESSIONS.c.session_id], returning=[SESSIONS.c.session_id]
    )
    return True


async def list_open(tx: Tx, *, link_id: int | None = None) -> list[OpenLinkSession]:
    """The sessions that can be paid, of a link or of all, the oldest first."""
    found = select(*_COLUMNS).where(SESSIONS.c.state == LinkSessionState.OPEN)
    if link_id is not None:
        found = found.where(SESSIONS.c.link_id == link_id)
    rows = await tx.execute(found.order_by(SESSIONS.c.id).limit(OPEN_MAX))
    return [OpenLinkSession._make(row) for row in rows]


async def find_unwanted(tx: Tx, sessions: Sequence[OpenLinkSession]) -> dict[int, str]:
    """The sessions that should not be paid any more, by their row's id, each with the reason."""
    revoked = set(
        await tx.scalars(
            select(LINKS.c.id).where(
                LINKS.c.id.in_({one.link_id for one in sessions}), LINKS.c.revoked_at.is_not(None)
            )
        )
    )
    named = {int(invoice) for one in sessions for invoice in one.shares}
    columns = (INVOICES.c.id, INVOICES.c.voided, INVOICES.c.amountdue, INVOICES.c.currency_iso)
    rows = await tx.execute(select(*columns).where(INVOICES.c.id.in_(named)))
    # An invoice in another currency by now, or voided, or gone, owes nothing of the session's.
    due = {(row.id, row.currency_iso): row.amountdue for row in rows if not row.voided}
    found: dict[int, str] = {}
    for one in sessions:
        if one.link_id in revoked:
            found[one.id] = "its link is revoked"
            continue
        for invoice, minor in one.shares.items():
            owed = due.get((int(invoice), one.currency), Decimal(0))
            if owed < money.from_minor(minor, one.currency):
                found[one.id] = f"invoice {invoice} owes less than it would take"
    return found


async def end_session(tx: Tx, row_id: int, state: LinkSessionState, *, now: datetime) -> None:
    """Note that a session takes no money any more, or has taken it."""
    values = {"state": state, "ended_at": now, "error": None, "next_try_at": None}
    await tx.execute(update(SESSIONS).where(SESSIONS.c.id == row_id).values(values))


async def note_failure(tx: Tx, one: OpenLinkSession, why: str, *, now: datetime) -> None:
    """Note why a session could not be expired, and when it is tried again."""
    wait_s = min(_WAIT_MAX_S, _WAIT_S * 2**one.tries)
    values = {
        "tries": one.tries + 1,
        "error": why,
        "next_try_at": now + timedelta(seconds=wait_s),
    }
    await tx.execute(update(SESSIONS).where(SESSIONS.c.id == one.id).values(values))


async def end_those_over(tx: Tx, *, now: datetime) -> None:
    """Sessions that ended by themselves long enough ago; whether one was paid, payments say."""
    is_over = and_(SESSIONS.c.state == LinkSessionState.OPEN, SESSIONS.c.ends_at < now - OVER_AFTER)
    values = {"state": LinkSessionState.EXPIRED, "ended_at": now, "next_try_at": None}
    await tx.execute(update(SESSIONS).where(is_over).values(values))


def is_due(one: OpenLinkSession, now: datetime) -> bool:
    """Whether the next try to expire it may be made."""
    return one.next_try_at is None or one.next_try_at <= now
