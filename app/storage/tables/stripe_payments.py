"""PaymentIntents as Stripe reports them, a row for each one known."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Ref, Row


class StripePayment(Row):
    """A PaymentIntent: what Stripe says of it. InvoicePayment says which invoices it pays."""

    __tablename__ = "stripe_payment"

    id: Mapped[Id]
    intent_id: Mapped[str]
    state: Mapped[int]
    state_at: Mapped[datetime]
    # The amount asked for, and once it succeeded the amount received.
    amount: Mapped[Decimal]
    # The amount that a card holds for us until it is captured.
    amount_capturable: Mapped[Decimal] = mapped_column(default=Decimal(0))
    currency_iso: Mapped[str]
    amount_refunded: Mapped[Decimal] = mapped_column(default=Decimal(0))
    amount_lost: Mapped[Decimal] = mapped_column(default=Decimal(0))
    disputed: Mapped[bool] = mapped_column(default=False)
    # The client whose Stripe customer it is.
    client_id: Mapped[Ref | None]
    stripe_customer_id: Mapped[str | None]
    payment_method_name: Mapped[str | None]
    charge_id: Mapped[str | None]
    reason: Mapped[str | None]
    # The step that the customer has to take, such as `verify_with_microdeposits`.
    awaits: Mapped[str | None]
    # The invoice that it claims to be for, and the evidence by which the claim is believed.
    claimed_invoice_id: Mapped[Ref | None]
    evidence: Mapped[str | None]
    # The number of our own attempt that made the intent; NULL for a payment made elsewhere.
    attempt: Mapped[int | None]
    intent_date: Mapped[datetime | None]
    # The API's answer to our own charge. Without one, the object of the event below is shown.
    intent_response: Mapped[str | None]
    # The event whose news stands; its raw body is shown as `webhook_payload`.
    webhook_event_id: Mapped[str | None]
    webhook_received_date: Mapped[datetime | None]
    # When reconciliation asks Stripe about an intent that has not ended; NULL for one that has.
    check_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_stripe_payment_intent_id", "intent_id", unique=True),
        Index("ix_stripe_payment_charge_id", "charge_id"),
        Index("ix_stripe_payment_customer", "stripe_customer_id", "id"),
        # The newest payments of an amount, and those with a card that ends in four digits.
        Index("ix_stripe_payment_amount", "amount", "id"),
        Index(
            "ix_stripe_payment_method",
            "payment_method_name",
            "id",
            sqlite_where=text("payment_method_name IS NOT NULL"),
            postgresql_where=text("payment_method_name IS NOT NULL"),
        ),
        Index(
            "ix_stripe_payment_claimed",
            "claimed_invoice_id",
            sqlite_where=text("claimed_invoice_id IS NOT NULL"),
            postgresql_where=text("claimed_invoice_id IS NOT NULL"),
        ),
        # Intents that have not ended, by when Stripe is asked about them next.
        Index(
            "ix_stripe_payment_check",
            "check_at",
            sqlite_where=text("check_at IS NOT NULL"),
            postgresql_where=text("check_at IS NOT NULL"),
        ),
    )
