"""Verified events that are not for this installation: answered 200, counted by reason, not stored.

A refusal would only bring them again for three days, and end in Stripe disabling the endpoint.
"""

import asyncio
import contextlib
from collections import Counter as Counted
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import structlog
from prometheus_client import Counter

from app.errors import Unavailable
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.rows import insert_of
from app.storage.tables.stripe_events import ForeignEventCount

COUNTS = table_of(ForeignEventCount)
FOREIGN = Counter("paydue_foreign_events_total", "Verified events not for us.", ["reason"])
log = structlog.get_logger("paydue.webhook")

# A flood of another account's events costs one row's update in so long, whatever its size.
WRITE_EVERY_S = 5.0


class ForeignReason(StrEnum):
    """Why a verified event is not for this installation."""

    OTHER_MODE = "other_mode"  # live endpoints of Connect get test events too
    OTHER_ACCOUNT = "other_account"  # of a connected account that is not ours
    OTHER_CONTEXT = "other_context"  # an organisation's destination names the account so
    THIN_EVENT = "thin_event"  # carries no object; the snapshot of the same change does
    PING = "ping"  # somebody tried the destination


def foreign_reason(
    event: Mapping[str, Any], *, livemode: bool, account: str | None
) -> ForeignReason | None:
    """The reason why an event is not for the installation of this mode and account, if any."""
    if is_thin(event):
        is_ping = event["type"].endswith(".ping")
        return ForeignReason.PING if is_ping else ForeignReason.THIN_EVENT
    if bool(event.get("livemode")) is not livemode:
        return ForeignReason.OTHER_MODE
    named, context = event.get("account"), _account_of_context(event.get("context"))
    if named is None and context is None:
        return ForeignReason.OTHER_ACCOUNT if account else None
    if named is not None and named != account:
        return ForeignReason.OTHER_ACCOUNT
    return ForeignReason.OTHER_CONTEXT if context not in (None, account) else None


def is_thin(event: Mapping[str, Any]) -> bool:
    """Whether the event is a notification of the API v2, which carries no object."""
    return str(event.get("object")).startswith("v2.")


def _account_of_context(context: Any) -> Any:
    """The last account of a path such as `org_1/acct_1`."""
    return context.rpartition("/")[2] or None if isinstance(context, str) else context


@dataclass(slots=True)
class _Unwritten:
    """The events of one reason that are counted here and not yet in the database."""

    events: int
    event_id: str
    at: datetime


class ForeignEventCounter:
    """Counts foreign events in this process, and now and then in the database. One per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: dict[ForeignReason, _Unwritten] = {}
        self._seen: Counted[ForeignReason] = Counted()
        self._closing = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def count(self, reason: ForeignReason, event_id: str) -> None:
        """Count an event; the first of each reason is logged."""
        FOREIGN.labels(reason).inc()
        self._seen[reason] += 1
        if self._seen[reason] == 1:
            log.warning("event not for us, more are only counted", reason=reason, event_id=event_id)
        before = self._unwritten.get(reason)
        events = before.events + 1 if before else 1
        self._unwritten[reason] = _Unwritten(events, event_id, datetime.now(UTC))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_now_and_then())

    async def close(self) -> None:
        """Write what has been counted."""
        self._closing.set()
        if self._writer:
            await self._writer

    async def _write_now_and_then(self) -> None:
        while self._unwritten:
            try:
                await self._write()
            except Unavailable as error:
                log.warning("foreign events not counted", why=error.message)
            if self._closing.is_set() and not self._unwritten:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), WRITE_EVERY_S)
        self._writer = None

    async def _write(self) -> None:
        taken = dict(self._unwritten)
        await self._database.with_retry(lambda tx: _add(tx, taken))
        for reason, written in taken.items():
            self._forget(reason, written.events)

    def _forget(self, reason: ForeignReason, events: int) -> None:
        left = self._unwritten[reason].events - events
        if left:
            self._unwritten[reason].events = left
        else:
            del self._unwritten[reason]


async def _add(tx: Tx, taken: Mapping[ForeignReason, _Unwritten]) -> None:
    """Add to the counts, in the order of the reasons, so that two writers cannot deadlock."""
    insert = insert_of(tx.dialect.name)(COUNTS)
    given = insert.excluded
    added = insert.on_conflict_do_update(
        index_elements=[COUNTS.c.reason],
        set_={
            "events": COUNTS.c.events + given.events,
            "last_event_id": given.last_event_id,
            "last_at": given.last_at,
        },
    )
    for reason, one in sorted(taken.items()):
        row = {"reason": reason, "events": one.events, "last_event_id": one.event_id}
        await tx.execute(added, [row | {"last_at": one.at}])
