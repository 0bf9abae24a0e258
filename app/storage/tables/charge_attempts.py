"""Our own attempts to charge invoices, each one try of one invoice or of several of a client."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    ForeignKey,
    Index,
    UniqueConstraint,
    literal_column,
    select,
    text,
    union_all,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.rules.attempt import UNRESOLVED
from app.storage.column_types import Id, Json, Ref, Row, table_of


class ChargeAttempt(Row):
    """One try to charge one invoice, or several: then `invoice_id` is the first of its shares.

    The database allows one unresolved attempt per invoice.
    """

    __tablename__ = "charge_attempt"

    id: Mapped[Id]
    invoice_id: Mapped[Ref] = mapped_column(ForeignKey("invoice.id"))
    number: Mapped[int]
    state: Mapped[str]
    step: Mapped[str]
    business_day: Mapped[date]
    # The account and mode of the key it began with: another one does not know its intent.
    stripe_account: Mapped[str | None]
    # The invoice's client as the attempt began; None in attempts of before 0004.
    client_id: Mapped[Ref | None]
    amount_minor: Mapped[Ref]
    currency: Mapped[str]
    customer_id: Mapped[str]
    payment_method_id: Mapped[str | None]
    # A digest of the method as it was charged: a renewed card has another.
    payment_method_version: Mapped[str | None]
    # Stripe's default for the customer, since the client named no method of its own.
    is_default_method: Mapped[bool | None]
    # It charges several invoices: their amounts are its shares. None in attempts of before 0008.
    is_consolidated: Mapped[bool | None]
    intent_id: Mapped[str | None]
    # An intent of an earlier attempt that no longer fits; it is cancelled before a new one is made.
    replaces_intent_id: Mapped[str | None]
    # The newest charge on the intent before our confirm: a failure of that one is old news.
    charge_before: Mapped[str | None]
    creates: Mapped[int] = mapped_column(default=1)  # how many create keys were used
    create_params: Mapped[Any | None] = mapped_column(Json)
    confirm_params: Mapped[Any | None] = mapped_column(Json)
    confirm_sent_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    lease_token: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    check_at: Mapped[datetime | None]  # when to ask Stripe about it next
    checks: Mapped[int] = mapped_column(default=0)
    charge_id: Mapped[str | None]
    decline_source: Mapped[str | None]  # who said no: retry.DeclineSource
    code: Mapped[str | None]
    decline_code: Mapped[str | None]
    advice_code: Mapped[str | None]
    network_forbids: Mapped[bool | None]  # the card network allows no further try of the method
    reason: Mapped[str | None]
    next_try_on: Mapped[date | None]
    # The autopay rule that decided and the approval that a person gave; of several invoices, each
    # share has its own.
    rule_name: Mapped[str | None]
    approval_id: Mapped[Ref | None]
    # The rule's wish about the payment method, and whether the method follows from it.
    method_rule: Mapped[str | None]
    is_rule_method: Mapped[bool | None]

    __table_args__ = (
        UniqueConstraint("invoice_id", "number"),
        # The money of a day, of all clients or of one, for limits: summed from the index alone.
        Index(
            "ix_charge_attempt_business_day",
            "business_day",
            "currency",
            "client_id",
            "state",
            "amount_minor",
        ),
        Index(
            "uq_charge_attempt_unresolved",
            "invoice_id",
            unique=True,
            sqlite_where=text("state IN ('open', 'unknown', 'processing')"),
            postgresql_where=text("state IN ('open', 'unknown', 'processing')"),
        ),
        Index(
            "ix_charge_attempt_check",
            "check_at",
            sqlite_where=text("state IN ('open', 'unknown', 'processing')"),
            postgresql_where=text("state IN ('open', 'unknown', 'processing')"),
        ),
        Index(
            "ix_charge_attempt_refused",
            "invoice_id",
            sqlite_where=text("state = 'refused'"),
            postgresql_where=text("state = 'refused'"),
        ),
        Index("ix_charge_attempt_intent_id", "intent_id"),
        Index("ix_charge_attempt_payment_method_id", "payment_method_id", "finished_at"),
    )


class ChargeAttemptShare(Row):
    """The part of a consolidated attempt that is for one invoice; its first invoice has one too."""

    __tablename__ = "charge_attempt_share"

    id: Mapped[Id]
    attempt_id: Mapped[Ref] = mapped_column(ForeignKey("charge_attempt.id"))
    invoice_id: Mapped[Ref] = mapped_column(ForeignKey("invoice.id"))
    amount_minor: Mapped[Ref]
    # An intent of an earlier attempt of this invoice, which is cancelled before a new one is made.
    replaces_intent_id: Mapped[str | None]
    # Follows the attempt's state, so that an index can allow one unresolved attempt per invoice.
    is_unresolved: Mapped[bool]
    rule_name: Mapped[str | None]
    approval_id: Mapped[Ref | None]

    __table_args__ = (
        UniqueConstraint("attempt_id", "invoice_id"),
        Index("ix_charge_attempt_share_invoice_id", "invoice_id", "attempt_id"),
        Index(
            "uq_charge_attempt_share_unresolved",
            "invoice_id",
            unique=True,
            sqlite_where=text("is_unresolved"),
            postgresql_where=text("is_unresolved"),
        ),
    )


_ATTEMPTS = table_of(ChargeAttempt)
_SHARES = table_of(ChargeAttemptShare)


# Written out, not bound: the partial indexes on unresolved attempts are chosen only for literals.
IS_UNRESOLVED = _ATTEMPTS.c.state.in_([literal_column(f"'{state}'") for state in UNRESOLVED])


def attempt_ids_of(invoice_id: ColumnElement[int]) -> CompoundSelect[int]:
    """The ids of all attempts of an invoice, alone and together with others.

    `invoice_id` may be a column of a statement around it, or a parameter.
    """
    alone = select(_ATTEMPTS.c.id).where(_ATTEMPTS.c.invoice_id == invoice_id)
    together = select(_SHARES.c.attempt_id).where(_SHARES.c.invoice_id == invoice_id)
    return union_all(alone.correlate_except(_ATTEMPTS), together.correlate_except(_SHARES))
