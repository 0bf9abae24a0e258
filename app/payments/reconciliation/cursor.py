"""Until when Stripe's events are known here, and when a pass was last complete."""

from datetime import datetime, timedelta

from sqlalchemy import func, select

from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import upsert
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice

FACTS = table_of(InstallationValue)

# The newest `created` that a complete pass has read: Stripe's own time, whatever ours is.
CURSOR = "reconciled_until"
# When the last complete pass began, by our clock.
COMPLETED = "reconciled_at"
# How often the database was found to be an older copy; idempotency keys carry it.
EPOCH = "epoch"
# Lists may lag behind; everything found twice is booked once.
OVERLAP = timedelta(minutes=15)
# The first time, as far back as Stripe itself goes on delivering.
FIRST_LOOK = timedelta(days=3)


async def load_cursor(tx: Tx) -> datetime | None:
    return await _load(tx, CURSOR)


async def load_completed_at(tx: Tx) -> datetime | None:
    """When the last complete pass began; earlier versions kept it as the cursor."""
    return await _load(tx, COMPLETED) or await _load(tx, CURSOR)


async def load_oldest_open(tx: Tx) -> datetime | None:
    """When the oldest invoice with something left to pay was made; None when there is none."""
    found: datetime | None = await tx.scalar(
        select(func.min(func.coalesce(Invoice.date_created, Invoice.invoice_date))).where(
            HAS_AMOUNT_DUE, Invoice.is_recurring_invoice.is_(False)
        )
    )
    return found


async def move_cursor(tx: Tx, *, until: datetime, completed_at: datetime) -> None:
    rows = [
        {"name": CURSOR, "value": until.isoformat()},
        {"name": COMPLETED, "value": completed_at.isoformat()},
    ]
    await upsert(tx, FACTS, rows, key=[FACTS.c.name])


async def load_epoch(tx: Tx) -> int:
    found = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == EPOCH))
    return int(found or 0)


async def save_epoch(tx: Tx, epoch: int) -> None:
    await upsert(tx, FACTS, [{"name": EPOCH, "value": str(epoch)}], key=[FACTS.c.name])


async def _load(tx: Tx, name: str) -> datetime | None:
    found = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == name))
    return datetime.fromisoformat(found) if found else None
