"""Until when Stripe's events are known here, and when a pass was last complete."""

from datetime import datetime, timedelta

from sqlalchemy import select

from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import upsert
from app.storage.tables.cluster import InstallationValue

FACTS = table_of(InstallationValue)

# The newest `created` that a complete pass has read: Stripe's own time, whatever ours is.
CURSOR = "reconciled_until"
# When the last complete pass began, by our clock.
COMPLETED = "reconciled_at"
# Lists may lag behind; everything found twice is booked once.
OVERLAP = timedelta(minutes=15)
# The first time, as far back as Stripe itself goes on delivering.
FIRST_LOOK = timedelta(days=3)


async def load_cursor(tx: Tx) -> datetime | None:
    return await _load(tx, CURSOR)


async def load_completed_at(tx: Tx) -> datetime | None:
    """When the last complete pass began; earlier versions kept it as the cursor."""
    return await _load(tx, COMPLETED) or await _load(tx, CURSOR)


async def move_cursor(tx: Tx, *, until: datetime, completed_at: datetime) -> None:
    rows = [
        {"name": CURSOR, "value": until.isoformat()},
        {"name": COMPLETED, "value": completed_at.isoformat()},
    ]
    await upsert(tx, FACTS, rows, key=[FACTS.c.name])


async def _load(tx: Tx, name: str) -> datetime | None:
    found = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == name))
    return datetime.fromisoformat(found) if found else None
