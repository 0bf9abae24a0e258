"""Events received from Stripe: the raw bytes, and how far each was applied."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Ref, Row
from app.storage.event_bodies import EventBody


class EventState(StrEnum):
    APPLIED = "applied"
    IGNORED = "ignored"  # stored, and of no consequence to us
    PARKED = "parked"  # could not be applied yet; the worker tries again
    DEAD = "dead"  # retries are used up; a person must look


# Part of every question for such events, and written out: SQLite then takes the small index.
IS_PARKED_OR_DEAD = text("state IN ('parked', 'dead')")


class StripeEvent(Row):
    __tablename__ = "stripe_event"

    id: Mapped[Id]
    event_id: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    object_id: Mapped[str | None]  # NULL where it is the intent itself
    intent_id: Mapped[str | None]
    created_at: Mapped[datetime]
    received_at: Mapped[datetime]
    source: Mapped[str] = mapped_column(default="webhook")
    payload: Mapped[bytes] = mapped_column(EventBody)
    state: Mapped[str]
    tries: Mapped[int] = mapped_column(default=1)
    next_try_at: Mapped[datetime | None]
    error: Mapped[str | None]

    __table_args__ = (
        Index("ix_stripe_event_intent_id", "intent_id"),
        Index(
            "ix_stripe_event_object_id",
            "object_id",
            sqlite_where=text("object_id IS NOT NULL"),
            postgresql_where=text("object_id IS NOT NULL"),
        ),
        # Only what still needs somebody: stays small however many events there are.
        Index(
            "ix_stripe_event_open",
            "state",
            "next_try_at",
            sqlite_where=IS_PARKED_OR_DEAD,
            postgresql_where=IS_PARKED_OR_DEAD,
        ),
    )


class ForeignEventCount(Row):
    """How many verified events were not for this installation, by the reason."""

    __tablename__ = "foreign_event_count"

    reason: Mapped[str] = mapped_column(primary_key=True)
    events: Mapped[Ref]
    last_event_id: Mapped[str]
    last_at: Mapped[datetime]
