"""Money going back: refunds, disputes and their warnings, and charges' totals of refunds."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, TextClause, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Ref, Row

_DISPUTES = "kind IN ('dispute', 'fraud_warning')"


def is_dispute_or_warning() -> TextClause:
    """The condition of their small index, written out: an engine takes the index for no other."""
    return text(_DISPUTES)


class StripeReversal(Row):
    """Money going back: a refund, a dispute or its warning, or a charge's total of refunds."""

    __tablename__ = "stripe_reversal"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    intent_id: Mapped[str] = mapped_column(index=True)
    amount: Mapped[Decimal]
    # A dispute's may be the bank's own; without one it is the payment's.
    currency_iso: Mapped[str | None]
    status: Mapped[str]
    # The invoice whose share a refund of ours reduces; without one, the rule of allocation decides.
    invoice_id: Mapped[Ref | None]
    # The refund request that made it.
    request_id: Mapped[Ref | None]
    # Stripe's word: why it failed, or else why it was made; a warning's kind of fraud.
    reason: Mapped[str | None]
    # Until when Stripe takes evidence in a dispute.
    evidence_due_at: Mapped[datetime | None]
    # A dispute's money left our balance, and came back.
    funds_withdrawn: Mapped[bool] = mapped_column(default=False)
    funds_reinstated: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (
        Index(
            "ix_stripe_reversal_dispute",
            "status",
            "evidence_due_at",
            sqlite_where=text(_DISPUTES),
            postgresql_where=text(_DISPUTES),
        ),
    )
