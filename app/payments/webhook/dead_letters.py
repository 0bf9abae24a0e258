"""Dead letters: parked events are retried with backoff, until they apply or a person must look."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import structlog
from sqlalchemy import bindparam, select, update

from app.errors import RecordLocked, Unavailable
from app.payments.webhook import event_types
from app.payments.webhook.inbox import BATCH_MAX, RETRY_DELAYS, apply_reports, interpret
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.prepared import PreparedStatement, projection
from app.storage.tables.stripe_events import IS_PARKED_OR_DEAD, EventState, StripeEvent

EVENTS = table_of(StripeEvent)
log = structlog.get_logger("paydue.inbox")


@dataclass(slots=True)
class RetryResult:
    applied: int = 0
    parked: int = 0
    dead: int = 0


async def retry_due(database: Database, installation: str, now: datetime) -> RetryResult:
    """Try the parked events whose time has come."""
    async with database.snapshot() as tx:
        due = await tx.scalars(
            select(EVENTS.c.id)
            .where(
                IS_PARKED_OR_DEAD, EVENTS.c.state == EventState.PARKED, EVENTS.c.next_try_at <= now
            )
            .order_by(EVENTS.c.next_try_at)
            .limit(BATCH_MAX)
        )
        ids = list(due)
    return await retry_events(database, installation, ids, now)


async def retry_events(
    database: Database, installation: str, ids: Sequence[int], now: datetime
) -> RetryResult:
    """Try stored events again, each in its own transaction; what was applied stays applied."""
    done = RetryResult()
    for row_id in ids:
        await _retry_one(database, installation, row_id, now, done)
    return done


async def _retry_one(
    database: Database, installation: str, row_id: int, now: datetime, done: RetryResult
) -> None:

    async def attempt(tx: Tx) -> EventState:
        return await _record_try(tx, row_id, await _retry_in(tx, installation, row_id, now), now)

    try:
        state = await database.with_retry(attempt)
    except RecordLocked:
        # Its turn comes again: a record that somebody holds says nothing about the event.
        log.warning("event waits for a lock", row=row_id)
        done.parked += 1
        return
    except Unavailable:
        raise
    except Exception as error:
        log.exception("event failed again", row=row_id)
        async with database.transaction() as tx:
            state = await _record_try(tx, row_id, repr(error), now)
    match state:
        case EventState.APPLIED | EventState.IGNORED:
            done.applied += 1
        case EventState.PARKED:
            done.parked += 1
        case EventState.DEAD:
            done.dead += 1


async def _retry_in(tx: Tx, installation: str, row_id: int, now: datetime) -> str | None:
    row = await _lock_event(tx, row_id)
    arrival = interpret(
        event_types.parse_stored_event(row.payload),
        row.payload,
        row.source,
        installation=installation,
    )
    if arrival.error:
        return arrival.error
    return (await apply_reports(tx, [(row.event_id, arrival.reports)], now)).get(row.event_id)


class _StoredEvent(NamedTuple):
    event_id: str
    type: str
    payload: bytes
    source: str
    tries: int


_LOCK = PreparedStatement(
    select(*projection(EVENTS, _StoredEvent))
    .where(EVENTS.c.id == bindparam("id"))
    .with_for_update(),
    _StoredEvent,
)


async def _lock_event(tx: Tx, row_id: int) -> _StoredEvent:
    (row,) = await _LOCK.all(tx, id=row_id)
    return row


async def _record_try(tx: Tx, row_id: int, why: str | None, now: datetime) -> EventState:
    """Write the result of a try: applied, parked with backoff, or a dead letter at last."""
    row = await _lock_event(tx, row_id)
    state = _next_state(row, why)
    wait = RETRY_DELAYS[row.tries] if state == EventState.PARKED else None
    await tx.execute(
        update(EVENTS)
        .where(EVENTS.c.id == row_id)
        .values(
            state=state,
            error=why,
            tries=row.tries + (why is not None),
            next_try_at=now + wait if wait else None,
        )
    )
    if state == EventState.DEAD:
        log.error("event dead", event_id=row.event_id, type=row.type, error=why)
    return state


def _next_state(row: _StoredEvent, why: str | None) -> EventState:
    if why is not None:
        return EventState.PARKED if row.tries < len(RETRY_DELAYS) else EventState.DEAD
    return EventState.APPLIED if row.type in event_types.HANDLERS else EventState.IGNORED
