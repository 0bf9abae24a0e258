"""Messages that wait to be sent or were sent, and the days on which clients promised to pay."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Ref, Row


class OutboxState(StrEnum):
    """A mail is `sending` from just before its text goes out until the server's answer is kept."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    UNKNOWN = "unknown"  # it may have been sent: nobody sends it again but a person
    FAILED = "failed"
    SKIPPED = "skipped"  # no address, switched off, or paid meanwhile


class OutboxChannel(StrEnum):
    MAIL = "mail"
    WEBHOOK = "webhook"


class OutboxMessage(Row):
    """A mail or a webhook, written in the transaction of what it tells; `key` allows it once."""

    __tablename__ = "outbox_message"

    id: Mapped[Id]
    key: Mapped[str]
    channel: Mapped[str]
    kind: Mapped[str]
    client_id: Mapped[Ref | None]
    invoice_id: Mapped[Ref | None]
    facts: Mapped[Any | None] = mapped_column(Json)
    state: Mapped[str]
    created_at: Mapped[datetime]
    next_try_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    lease_token: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    # As it was sent; before that NULL.
    message_id: Mapped[str | None]
    recipient: Mapped[str | None]
    subject: Mapped[str | None]
    text_body: Mapped[str | None]
    html_body: Mapped[str | None]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]

    __table_args__ = (
        Index("uq_outbox_message_key", "key", unique=True),
        Index(
            "ix_outbox_message_due",
            "next_try_at",
            sqlite_where=text("state IN ('queued', 'sending')"),
            postgresql_where=text("state IN ('queued', 'sending')"),
        ),
        Index("ix_outbox_message_state", "state", "id"),
        Index("ix_outbox_message_client_id", "client_id", "kind", "id"),
        Index("ix_outbox_message_invoice_id", "invoice_id", "id"),
    )


class PaymentPromise(Row):
    """The day by which a client has promised to pay an invoice; until then nobody is reminded."""

    __tablename__ = "payment_promise"

    invoice_id: Mapped[Ref] = mapped_column(
        ForeignKey("invoice.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    promised_on: Mapped[date]
    note: Mapped[str | None]
    made_by: Mapped[str]
    made_at: Mapped[datetime]
