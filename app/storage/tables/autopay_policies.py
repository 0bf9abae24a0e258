"""Decisions about autopay: rules, limits, pauses and approvals; and the runs that were."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Ref, Row


class AutopayRule(Row):
    """A rule of autopay; rules/autopay_rule.py says what follows from its columns."""

    __tablename__ = "autopay_rule"

    id: Mapped[Id]
    name: Mapped[str]
    sequence: Mapped[int] = mapped_column(default=0)
    inactive: Mapped[bool] = mapped_column(default=False)
    action: Mapped[str] = mapped_column(default="charge")
    unflagged: Mapped[bool] = mapped_column(default=False)
    client_id: Mapped[Ref | None]
    toplevel_id: Mapped[Ref | None]
    contract_id: Mapped[Ref | None]
    recurring_invoice_id: Mapped[Ref | None]
    sitenumber: Mapped[Ref | None]
    billingcategory: Mapped[int | None]
    currency: Mapped[str | None]
    order_number: Mapped[str | None]
    item_code: Mapped[str | None]
    property_name: Mapped[str | None]
    property_value: Mapped[str | None]
    age_from: Mapped[int | None]
    age_to: Mapped[int | None]
    amount_from: Mapped[Decimal | None]
    amount_to: Mapped[Decimal | None]
    day_from: Mapped[str] = mapped_column(default="due")
    days: Mapped[int] = mapped_column(default=0)
    day_of_month: Mapped[int | None]
    weekdays: Mapped[str | None]
    move_days: Mapped[str | None]
    holidays: Mapped[str | None]
    charge_method: Mapped[str] = mapped_column(default="client")
    payment_method_id: Mapped[str | None]
    card_max: Mapped[Decimal | None]
    consolidate: Mapped[bool | None]
    date_created: Mapped[datetime | None]
    last_modified: Mapped[datetime | None]
    extra: Mapped[Any | None] = mapped_column(Json)


class AutopayLimit(Row):
    """An amount that autopay takes at most without a person; the least that applies holds."""

    __tablename__ = "autopay_limit"

    id: Mapped[Id]
    kind: Mapped[str]  # rules/autopay_limit.py: LimitKind
    currency: Mapped[str]
    amount: Mapped[Decimal]
    client_id: Mapped[Ref | None] = mapped_column(ForeignKey("client.id"), index=True)
    date_created: Mapped[datetime | None]
    last_modified: Mapped[datetime | None]


class AutopayPause(Row):
    """No automatic charge of a client, of an invoice, or of anything while neither is named."""

    __tablename__ = "autopay_pause"

    id: Mapped[Id]
    client_id: Mapped[Ref | None] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"))
    invoice_id: Mapped[Ref | None] = mapped_column(ForeignKey("invoice.id", ondelete="CASCADE"))
    reason: Mapped[str]
    until: Mapped[date | None]  # the first day on which autopay goes on
    paused_by: Mapped[str]
    paused_at: Mapped[datetime]
    ended_by: Mapped[str | None]
    ended_at: Mapped[datetime | None]

    __table_args__ = tuple(
        Index(
            f"ix_autopay_pause_{name}",
            name,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        )
        for name in ("client_id", "invoice_id")
    )


class AutopayApproval(Row):
    """An invoice that autopay holds for a person: the amount, and the total, it was held with."""

    __tablename__ = "autopay_approval"

    id: Mapped[Id]
    invoice_id: Mapped[Ref] = mapped_column(ForeignKey("invoice.id", ondelete="CASCADE"))
    client_id: Mapped[Ref | None]
    state: Mapped[str]  # ledger/approvals.py: ApprovalState
    amount: Mapped[Decimal]
    total: Mapped[Decimal]
    currency: Mapped[str]
    reason: Mapped[str]
    rule_name: Mapped[str | None]
    held_at: Mapped[datetime]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    decision_reason: Mapped[str | None]

    __table_args__ = (
        # One that counts for an invoice; those that have lapsed are its history.
        Index(
            "uq_autopay_approval_current",
            "invoice_id",
            unique=True,
            sqlite_where=text("state <> 'lapsed'"),
            postgresql_where=text("state <> 'lapsed'"),
        ),
        Index("ix_autopay_approval_state", "state", "id"),
        Index("ix_autopay_approval_invoice_id", "invoice_id", "id"),
    )


class AutopayRun(Row):
    """A run or a dry run of autopay, with its counts and sums."""

    __tablename__ = "autopay_run"

    id: Mapped[Id]
    business_day: Mapped[date]
    is_dry: Mapped[bool]
    started_by: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    state: Mapped[str]  # payments/autopay/run_history.py: RunState
    reason: Mapped[str | None]
    rules_revision: Mapped[int | None]
    counts: Mapped[Any | None] = mapped_column(Json)
    sums: Mapped[Any | None] = mapped_column(Json)

    __table_args__ = (Index("ix_autopay_run_business_day", "business_day", "id"),)


class AutopayRunPage(Row):
    """Some hundred outcomes of a run, in their order: as many rows of their own cost more."""

    __tablename__ = "autopay_run_page"

    run_id: Mapped[Ref] = mapped_column(
        ForeignKey("autopay_run.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    outcomes: Mapped[Any] = mapped_column(Json)
