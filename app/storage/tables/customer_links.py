"""Pay links: lasting addresses of a page without login that shows what is owed and takes it."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Ref, Row


class PayLink(Row):
    """A link of an invoice, or of all that a client owes. Only a hash of its token is kept."""

    __tablename__ = "pay_link"

    id: Mapped[Id]
    token_hash: Mapped[str] = mapped_column(unique=True)
    invoice_id: Mapped[Ref | None] = mapped_column(
        ForeignKey("invoice.id", ondelete="CASCADE"), index=True
    )
    # Of a link without an invoice.
    client_id: Mapped[Ref | None] = mapped_column(
        ForeignKey("client.id", ondelete="CASCADE"), index=True
    )
    # Whether its page leads to the client's payment methods at Stripe, too.
    allows_portal: Mapped[bool]
    made_by: Mapped[str]
    made_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_by: Mapped[str | None]
    revoked_at: Mapped[datetime | None]
    # Checkout Sessions that were begun by it: each has its own idempotency key.
    sessions: Mapped[int] = mapped_column(default=0)
    last_session_id: Mapped[str | None]
    last_session_at: Mapped[datetime | None]


class LinkSessionState(StrEnum):
    OPEN = "open"  # its page at Stripe can be paid
    COMPLETE = "complete"
    EXPIRED = "expired"


class LinkSession(Row):
    """A Checkout Session whose address the visitor of a link was shown.

    `shares`: by invoice, minor units. `error` is why the last try to expire it did not succeed.
    """

    __tablename__ = "link_session"

    id: Mapped[Id]
    link_id: Mapped[Ref] = mapped_column(ForeignKey("pay_link.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[str] = mapped_column(unique=True)
    shares: Mapped[Any] = mapped_column(Json)
    currency: Mapped[str]
    state: Mapped[str]
    opened_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime | None]
    error: Mapped[str | None]

    __table_args__ = (
        Index(
            "ix_link_session_open",
            "id",
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
    )


class ChargeObjection(Row):
    """The right to object to a coming charge, by the address in its mail; only its hash is kept."""

    __tablename__ = "charge_objection"

    id: Mapped[Id]
    token_hash: Mapped[str] = mapped_column(unique=True)
    client_id: Mapped[Ref | None] = mapped_column(
        ForeignKey("client.id", ondelete="CASCADE"), index=True
    )
    invoice_ids: Mapped[Any] = mapped_column(Json)
    charge_on: Mapped[date]
    made_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_by: Mapped[str | None]
    revoked_at: Mapped[datetime | None]
    objected_at: Mapped[datetime | None]
