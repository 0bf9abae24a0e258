"""Payments of invoices: each row is the share of one payment that one invoice has.

The payment is a PaymentIntent (`stripe_payments`), or was entered by hand. A row without an invoice
is money that no invoice has: the client's credit, or a payment nobody could assign yet.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Ref, Row


class InvoicePayment(Row):
    __tablename__ = "invoice_payment"

    id: Mapped[Id]
    # NULL: the money is applied to no invoice; it is shown and can be assigned.
    invoice_id: Mapped[Ref | None] = mapped_column(ForeignKey("invoice.id"))
    client_id: Mapped[Ref | None]
    date: Mapped[datetime]
    amount: Mapped[Decimal]
    method: Mapped[int] = mapped_column(default=0)
    status: Mapped[int] = mapped_column(default=5)
    type: Mapped[int] = mapped_column(default=0)
    module_id: Mapped[int] = mapped_column(default=0)
    reference: Mapped[str | None]
    thirdpartyid: Mapped[str | None]
    credit_note_id: Mapped[Ref | None]
    payment_method: Mapped[int | None]
    payment_method_name: Mapped[str | None]
    posted: Mapped[bool] = mapped_column(default=False)
    dateposted: Mapped[datetime | None]
    # The PaymentIntent whose money it is; NULL for a payment entered by hand.
    intent_id: Mapped[str | None]
    currency_iso: Mapped[str] = mapped_column(default="usd")
    state: Mapped[int] = mapped_column(default=5)
    # Why the money is this invoice's (rules/claim.py: Evidence).
    evidence: Mapped[str | None]
    amount_refunded: Mapped[Decimal] = mapped_column(default=Decimal(0))
    amount_lost: Mapped[Decimal] = mapped_column(default=Decimal(0))
    disputed: Mapped[bool] = mapped_column(default=False)
    # The amount that counts: what was taken, less what went back. Without an invoice it is credit.
    counted: Mapped[Decimal] = mapped_column(default=Decimal(0))
    extra: Mapped[Any | None] = mapped_column(Json)

    __table_args__ = (
        # An intent pays an invoice once, and has one share that no invoice has.
        Index("uq_invoice_payment_intent_invoice", "intent_id", "invoice_id", unique=True),
        Index(
            "uq_invoice_payment_unapplied",
            "intent_id",
            unique=True,
            sqlite_where=text("invoice_id IS NULL"),
            postgresql_where=text("invoice_id IS NULL"),
        ),
        CheckConstraint("counted >= 0 AND counted <= amount", name="ck_invoice_payment_counted"),
        Index("ix_invoice_payment_invoice_id", "invoice_id", "id"),
        Index("ix_invoice_payment_client_id", "client_id", "id"),
        # Money of a client that no invoice has.
        Index(
            "ix_invoice_payment_credit",
            "client_id",
            sqlite_where=text("invoice_id IS NULL"),
            postgresql_where=text("invoice_id IS NULL"),
        ),
        # Where a credit note was used.
        Index(
            "ix_invoice_payment_credit_note_id",
            "credit_note_id",
            sqlite_where=text("credit_note_id IS NOT NULL"),
            postgresql_where=text("credit_note_id IS NOT NULL"),
        ),
    )
