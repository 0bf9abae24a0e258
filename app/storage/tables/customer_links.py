"""Pay links: lasting addresses of a page without login that shows what is owed and takes it."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Ref, Row


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
