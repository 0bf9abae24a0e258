"""The events since a pass's beginning, through the same inbox as webhooks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import structlog
from sqlalchemy import select

from app.errors import RecordLocked
from app.payments.reconciliation.lost_attempts import count_unknown
from app.payments.reconciliation.reconcile_pass import ReconcilePass
from app.payments.webhook import event_types, inbox
from app.payments.webhook.endpoint import readable_event
from app.payments.webhook.inbox import Arrival
from app.storage.column_types import table_of
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.stripe_events import StripeEvent

EVENTS = table_of(StripeEvent)
log = structlog.get_logger("paydue.reconcile")

# `GET /v1/events` filters by at most so many types.
TYPES_MAX = 20


async def read_events(at: ReconcilePass) -> None:
    """Store and apply every event since the pass's beginning that no webhook brought."""
    types = list(event_types.HANDLERS)
    for start in range(0, len(types), TYPES_MAX):
        listed = at.gateway.events(at.since, types[start : start + TYPES_MAX])
        async for page in at.pages(listed):
            at.found.events += len(page)
            events = at.readable(page, readable_event)
            at.attempts_unknown += await count_unknown(at, events)
            at.found.events_new += await _take(at, events)


async def _take(at: ReconcilePass, page: Sequence[Mapping[str, Any]]) -> int:
    async with at.database.snapshot() as tx:
        found = await _KNOWN.all(tx, event_ids=[one["id"] for one in page])
    known = {row.event_id for row in found}
    fresh = [
        inbox.interpret(one, orjson.dumps(one), "reconcile", installation=at.installation)
        for one in page
        if one["id"] not in known
    ]
    try:
        await inbox.store_and_apply(at.database, fresh)
    except RecordLocked:
        return await _take_unlocked(at, fresh)
    return len(fresh)


class _EventId(NamedTuple):
    event_id: str


_KNOWN = PreparedStatement(
    select(EVENTS.c.event_id).where(any_of(EVENTS.c.event_id, "event_ids")), _EventId
)


async def _take_unlocked(at: ReconcilePass, arrivals: Sequence[Arrival]) -> int:
    """Pass over the events whose invoice or attempt somebody has locked: nobody charges it now."""
    taken = 0
    for one in arrivals:
        try:
            await inbox.store_and_apply(at.database, [one])
            taken += 1
        except RecordLocked:
            at.is_complete = False
            log.warning("event waits for a lock", event_id=one.event["id"])
    return taken
