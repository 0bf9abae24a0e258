"""Payouts to the bank, and the balance transactions of which they are made."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Row


class StripePayout(Row):
    """A payout: money that Stripe sends to the bank, or takes from it when `amount` is negative."""

    __tablename__ = "payout"

    id: Mapped[Id]
    payout_id: Mapped[str] = mapped_column(unique=True)
    status: Mapped[str]
    amount: Mapped[Decimal]
    currency_iso: Mapped[str]
    # Stripe says only of automatic payouts of which balance transactions they are made.
    automatic: Mapped[bool]
    arrival_date: Mapped[date]
    created_at: Mapped[datetime]
    failure_code: Mapped[str | None]
    # When its balance transactions are read next; NULL before it ends, and once all are known.
    check_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_payout_arrival_date", "arrival_date", "id"),
        Index(
            "ix_payout_check",
            "check_at",
            sqlite_where=text("check_at IS NOT NULL"),
            postgresql_where=text("check_at IS NOT NULL"),
        ),
    )


class BalanceTransaction(Row):
    """A movement of the Stripe balance. It never changes; only its payout is added later."""

    __tablename__ = "balance_transaction"

    id: Mapped[Id]
    transaction_id: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    # The charge, refund, dispute or payout that moved the money; NULL for Stripe's own fees.
    source_id: Mapped[str | None]
    description: Mapped[str | None]
    # In the currency of the balance, which may be another than the charge's.
    currency_iso: Mapped[str]
    amount: Mapped[Decimal]
    fee: Mapped[Decimal]
    net: Mapped[Decimal]
    # Stripe's own digits: a rate has more decimals than an amount.
    exchange_rate: Mapped[str | None]
    created_at: Mapped[datetime]
    available_at: Mapped[datetime]
    payout_id: Mapped[str | None]

    __table_args__ = (
        Index("ix_balance_transaction_source_id", "source_id"),
        Index("ix_balance_transaction_payout_id", "payout_id", "id"),
    )
