"""The events since a pass's beginning, through the same inbox as webhooks."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import select

from app.payments.reconciliation.lost_attempts import count_unknown
from app.payments.reconciliation.reconcile_pass import ReconcilePass
from app.payments.webhook import event_types, inbox
from app.payments.webhook.endpoint import readable_event
from app.storage.column_types import table_of
from app.storage.tables.stripe_events import StripeEvent

EVENTS = table_of(StripeEvent)

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
        known = set(
            await tx.scalars(
                select(EVENTS.c.event_id).where(EVENTS.c.event_id.in_([one["id"] for one in page]))
            )
        )
    fresh = [one for one in page if one["id"] not in known]
    await inbox.store_and_apply(
        at.database,
        [
            inbox.interpret(one, orjson.dumps(one), "reconcile", installation=at.installation)
            for one in fresh
        ],
    )
    return len(fresh)
