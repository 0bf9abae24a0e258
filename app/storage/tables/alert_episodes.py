"""Alerts: conditions that began, and those that are over. One of a kind and subject at a time."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped

from app.storage.column_types import Id, Row


class AlertEpisode(Row):
    """The time from the beginning of a condition to its end, about one subject or none (``)."""

    __tablename__ = "alert_episode"

    id: Mapped[Id]
    condition: Mapped[str]  # rules/alert.py: AlertCondition
    subject: Mapped[str]
    detail: Mapped[str]
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "uq_alert_episode_open",
            "condition",
            "subject",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )
