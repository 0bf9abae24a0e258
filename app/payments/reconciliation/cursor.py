"""Until when Stripe's events are known here, and when a pass was last complete."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, select

from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement
from app.storage.rows import upsert
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice
from app.storage.tables.stripe_events import StripeEvent

FACTS = table_of(InstallationValue)
EVENTS = table_of(StripeEvent)
INVOICES = table_of(Invoice)

# The newest `created` that a complete pass has read: Stripe's own time, whatever ours is.
CURSOR = "reconciled_until"
# When the last complete pass began, by our clock.
COMPLETED = "reconciled_at"
# When this database was restored from a backup; gone once a complete pass has read Stripe.
RESTORED = "restored_at"
# How often the database was found to be an older copy; idempotency keys carry it.
EPOCH = "epoch"
# Lists may lag behind; everything found twice is booked once.
OVERLAP = timedelta(minutes=15)
# Stripe itself goes on delivering an event for so long.
FIRST_LOOK = timedelta(days=3)


async def load_cursor(tx: Tx) -> datetime | None:
    return await _load(tx, CURSOR)


async def load_completed_at(tx: Tx) -> datetime | None:
    """When the last complete pass began; earlier versions kept it as the cursor."""
    return await _load(tx, COMPLETED) or await _load(tx, CURSOR)


async def mark_restored(tx: Tx, at: datetime) -> None:
    """Until Stripe has been read to its end, nothing is charged: much may have been since."""
    rows = [{"name": RESTORED, "value": at.isoformat()}]
    await upsert(tx, FACTS, rows, key=[FACTS.c.name])


async def load_restored_at(tx: Tx) -> datetime | None:
    """When the database was restored, while Stripe has not been read to its end since."""
    return await _load(tx, RESTORED)


async def load_oldest_open(tx: Tx) -> datetime | None:
    """When the oldest invoice with something left to pay was made; None when there is none."""
    (found,) = await _OLDEST_OPEN.all(tx)
    return found.made_at


async def load_first_look(tx: Tx, *, now: datetime) -> datetime:
    """Since when to read without a cursor: what Stripe still delivers may not have come.

    A restored copy without a cursor may be old: of it, that is what was missing when its newest
    event came, and all that may have been paid of its open invoices.
    """
    (newest,) = await _NEWEST_EVENT.all(tx)
    oldest_open = await load_oldest_open(tx)
    return min(min(newest.made_at or now, now) - FIRST_LOOK - OVERLAP, oldest_open or now)


async def move_cursor(tx: Tx, *, until: datetime, completed_at: datetime) -> None:
    rows = [
        {"name": CURSOR, "value": until.isoformat()},
        {"name": COMPLETED, "value": completed_at.isoformat()},
    ]
    await upsert(tx, FACTS, rows, key=[FACTS.c.name])
    await tx.execute(delete(FACTS).where(FACTS.c.name == RESTORED))


async def load_epoch(tx: Tx) -> int:
    return int(await _value(tx, EPOCH) or 0)


async def save_epoch(tx: Tx, epoch: int) -> None:
    await upsert(tx, FACTS, [{"name": EPOCH, "value": str(epoch)}], key=[FACTS.c.name])


async def _load(tx: Tx, name: str) -> datetime | None:
    found = await _value(tx, name)
    return datetime.fromisoformat(found) if found else None


async def _value(tx: Tx, name: str) -> str | None:
    found = await _FACT.all(tx, name=name)
    return found[0].value if found else None


class _Fact(NamedTuple):
    value: str


class _MadeAt(NamedTuple):
    made_at: datetime | None


_FACT = PreparedStatement(select(FACTS.c.value).where(FACTS.c.name == bindparam("name")), _Fact)
_MADE_AT = func.min(func.coalesce(INVOICES.c.date_created, INVOICES.c.invoice_date))
_OLDEST_OPEN = PreparedStatement(
    select(_MADE_AT.label("made_at")).where(
        HAS_AMOUNT_DUE, INVOICES.c.is_recurring_invoice.is_(False)
    ),
    _MadeAt,
)
_NEWEST_EVENT = PreparedStatement(select(func.max(EVENTS.c.created_at).label("made_at")), _MadeAt)
