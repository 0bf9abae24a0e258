"""Expires Checkout Sessions of links that should not be paid any more, until Stripe has done it.

A link that is revoked opens nothing, but the page at Stripe that its visitor has open could be paid
for half an hour. So could that of an invoice which is voided, or paid in another way. The worker
looks every few seconds; where Stripe does not answer, the reason is kept with the session, and it
is tried again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.ledger import link_sessions
from app.ledger.link_sessions import OpenLinkSession
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeRateLimited,
)
from app.storage.engines import Database
from app.storage.tables.customer_links import LinkSessionState

log = structlog.get_logger("paydue.pay_links")


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """One session that should end: its state now, and why it is still open."""

    session_id: str
    state: LinkSessionState
    ends_at: datetime
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SessionClosing:
    """The closing of links' sessions. Its gateway is open."""

    database: Database
    gateway: Gateway

    async def run(self) -> str:
        """End what should end and is due for a try; answers the result in words."""
        now = self.database.now()
        async with self.database.snapshot() as tx:
            found = await link_sessions.list_open(tx)
        if not found:
            return "none open"
        if any(one.ends_at < now - link_sessions.OVER_AFTER for one in found):
            async with self.database.transaction() as tx:
                await link_sessions.end_those_over(tx, now=now)
        due = [one for one in found if link_sessions.is_due(one, now)]
        ended = await self._close_unwanted(due)
        closed = sum(one.state != LinkSessionState.OPEN for one in ended)
        return f"{len(found)} open, {closed} closed, {len(ended) - closed} without an answer"

    async def close_of_link(self, link_id: int) -> list[SessionEnd]:
        """End at once what should end of one link, such as one that was just revoked."""
        async with self.database.snapshot() as tx:
            found = await link_sessions.list_open(tx, link_id=link_id)
        return await self._close_unwanted(found)

    async def _close_unwanted(self, sessions: Sequence[OpenLinkSession]) -> list[SessionEnd]:
        if not sessions:
            return []
        async with self.database.snapshot() as tx:
            unwanted = await link_sessions.find_unwanted(tx, sessions)
        return [await self._close(one, unwanted[one.id]) for one in sessions if one.id in unwanted]

    async def _close(self, one: OpenLinkSession, why: str) -> SessionEnd:
        try:
            state = await self._expire(one.session_id)
        except (NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited) as error:
            log.warning("session not expired", session=one.session_id, why=str(error))
            async with self.database.transaction() as tx:
                now = self.database.now()
                await link_sessions.note_failure(tx, one, str(error), now=now)
            return SessionEnd(one.session_id, LinkSessionState.OPEN, one.ends_at, str(error))
        log.info("session ended", session=one.session_id, link=one.link_id, why=why, state=state)
        async with self.database.transaction() as tx:
            await link_sessions.end_session(tx, one.id, state, now=self.database.now())
        return SessionEnd(one.session_id, state, one.ends_at)

    async def _expire(self, session_id: str) -> LinkSessionState:
        """The session's last state. A session that was paid meanwhile is complete, not expired."""
        try:
            await self.gateway.expire(session_id)
        except RequestRefused:
            status = (await self.gateway.session(session_id)).get("status")
            if status not in (LinkSessionState.COMPLETE, LinkSessionState.EXPIRED):
                raise
            return LinkSessionState(status)
        return LinkSessionState.EXPIRED
