"""Money going back: refunds, disputes, and charges' running totals of refunds."""

from decimal import Decimal

from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Row


class StripeReversal(Row):
    """Money going back: a refund, a dispute, or a charge's running total of refunds."""

    __tablename__ = "stripe_reversal"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    intent_id: Mapped[str] = mapped_column(index=True)
    amount: Mapped[Decimal]
    status: Mapped[str]
