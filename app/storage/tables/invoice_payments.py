"""Payments of invoices: a row for each PaymentIntent and for each payment entered by hand."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Ref, Row


class InvoicePayment(Row):
    __tablename__ = "invoice_payment"

    id: Mapped[Id]
    # NULL: no invoice was found for the money; it is shown and can be assigned.
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
    intent_id: Mapped[str | None]
    intent_date: Mapped[datetime | None]
    # The API's answer to our own charge. Without one, the object of the event below is shown.
    intent_response: Mapped[str | None]
    # The event whose news stands; its raw body is shown as `webhook_payload`.
    webhook_event_id: Mapped[str | None]
    webhook_received_date: Mapped[datetime | None]
    currency_iso: Mapped[str] = mapped_column(default="usd")
    state: Mapped[int] = mapped_column(default=5)
    state_at: Mapped[datetime]
    reason: Mapped[str | None]
    charge_id: Mapped[str | None]
    stripe_customer_id: Mapped[str | None]
    claimed_invoice_id: Mapped[Ref | None]
    # When reconciliation asks Stripe about an intent that has not ended; NULL for one that has.
    check_at: Mapped[datetime | None]
    # The number of our own attempt that made the intent; NULL for a payment made elsewhere.
    attempt: Mapped[int | None]
    amount_refunded: Mapped[Decimal] = mapped_column(default=Decimal(0))
    amount_lost: Mapped[Decimal] = mapped_column(default=Decimal(0))
    disputed: Mapped[bool] = mapped_column(default=False)
    counted: Mapped[Decimal] = mapped_column(default=Decimal(0))
    extra: Mapped[Any | None] = mapped_column(Json)

    __table_args__ = (
        Index("uq_invoice_payment_intent_id", "intent_id", unique=True),
        Index("ix_invoice_payment_invoice_id", "invoice_id", "id"),
        Index("ix_invoice_payment_client_id", "client_id", "id"),
        Index("ix_invoice_payment_charge_id", "charge_id"),
        # Payments whose invoice did not exist, or was in another currency, when they came.
        Index(
            "ix_invoice_payment_claimed",
            "claimed_invoice_id",
            sqlite_where=text("invoice_id IS NULL AND claimed_invoice_id IS NOT NULL"),
            postgresql_where=text("invoice_id IS NULL AND claimed_invoice_id IS NOT NULL"),
        ),
        # Where a credit note was used.
        Index(
            "ix_invoice_payment_credit_note_id",
            "credit_note_id",
            sqlite_where=text("credit_note_id IS NOT NULL"),
            postgresql_where=text("credit_note_id IS NOT NULL"),
        ),
        # Intents that have not ended, by when Stripe is asked about them next.
        Index(
            "ix_invoice_payment_check",
            "check_at",
            sqlite_where=text("check_at IS NOT NULL"),
            postgresql_where=text("check_at IS NOT NULL"),
        ),
    )
