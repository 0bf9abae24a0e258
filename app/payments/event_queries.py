"""Support's reads of stored events, whatever became of them."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, select

from app.errors import NotFound
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.tables.stripe_events import (
    IS_PARKED_OR_DEAD,
    EventState,
    ForeignEventCount,
    StripeEvent,
)

EVENTS = table_of(StripeEvent)
FOREIGN_COUNTS = table_of(ForeignEventCount)


async def list_events(tx: Tx, state: EventState | None, limit: int) -> Sequence[Record]:
    """The newest events first, of one state or of all."""
    wanted = select(EVENTS).order_by(EVENTS.c.id.desc()).limit(limit)
    if state:
        wanted = wanted.where(_in_states([state]))
    return (await tx.execute(wanted)).all()


async def load_event(tx: Tx, event_id: str) -> Record:
    """The event with its body, or NotFound."""
    found = await tx.execute(select(EVENTS).where(EVENTS.c.event_id == event_id))
    row = found.one_or_none()
    if row is None:
        raise NotFound("event", event_id)
    return row


async def find_row_ids(
    tx: Tx, event_ids: Collection[str], states: Collection[EventState]
) -> list[int]:
    """The rows of the named events, and of all events in these states."""
    wanted = EVENTS.c.event_id.in_(event_ids) | _in_states(states)
    return list(await tx.scalars(select(EVENTS.c.id).where(wanted)))


async def list_foreign_counts(tx: Tx) -> Sequence[Record]:
    """Verified events that were not for us: the number and the last one, for each reason."""
    return (await tx.execute(select(FOREIGN_COUNTS).order_by(FOREIGN_COUNTS.c.reason))).all()


def _in_states(states: Collection[EventState]) -> ColumnElement[bool]:
    """Parked and dead events have a partial index, which only its own condition makes usable."""
    among = EVENTS.c.state.in_(states)
    if {EventState.PARKED, EventState.DEAD}.issuperset(states):
        return and_(IS_PARKED_OR_DEAD, among)
    return among
