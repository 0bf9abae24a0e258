"""Our own requests to refund money, each made at Stripe at most once."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Ref, Row

_UNRESOLVED = "state IN ('open', 'unknown')"


class RefundRequest(Row):
    """One request of a person to refund an amount of a PaymentIntent."""

    __tablename__ = "refund_request"

    id: Mapped[Id]
    intent_id: Mapped[str] = mapped_column(index=True)
    # The invoice whose share is refunded; NULL where the rule of allocation decides.
    invoice_id: Mapped[Ref | None]
    amount_minor: Mapped[Ref]
    currency: Mapped[str]
    reason: Mapped[str]
    who: Mapped[str]
    state: Mapped[str]
    refund_id: Mapped[str | None]
    # The parameters of the call, byte for byte, now and at every replay.
    params: Mapped[Any] = mapped_column(Json)
    created_at: Mapped[datetime]
    # Until then its holder has it; after that anybody asks Stripe again.
    check_at: Mapped[datetime | None]
    checks: Mapped[int] = mapped_column(default=0)
    # Stripe's words where it refuses, or why the request has not ended.
    said: Mapped[str | None]
    # The caller's own Idempotency-Key: the same one never makes a second request.
    caller_key: Mapped[str | None] = mapped_column(unique=True)

    __table_args__ = (
        Index(
            "ix_refund_request_check",
            "check_at",
            sqlite_where=text(_UNRESOLVED),
            postgresql_where=text(_UNRESOLVED),
        ),
    )
