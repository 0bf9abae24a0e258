"""Refunds that we ask for, the invoices they are for, and all that Stripe says of a dispute."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
UNRESOLVED = "state IN ('open', 'unknown')"
DISPUTES = "kind IN ('dispute', 'fraud_warning')"


def upgrade() -> None:
    op.create_table(
        "refund_request",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", BIG_ID, nullable=True),
        sa.Column("amount_minor", BIG_ID, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("refund_id", sa.Text(), nullable=True),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("check_at", INSTANT, nullable=True),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("said", sa.Text(), nullable=True),
        sa.Column("caller_key", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_request")),
        sa.UniqueConstraint("caller_key", name=op.f("uq_refund_request_caller_key")),
    )
    op.create_index(op.f("ix_refund_request_intent_id"), "refund_request", ["intent_id"])
    op.create_index(
        "ix_refund_request_check",
        "refund_request",
        ["check_at"],
        sqlite_where=sa.text(UNRESOLVED),
        postgresql_where=sa.text(UNRESOLVED),
    )
    for column in (
        sa.Column("invoice_id", BIG_ID, nullable=True),
        sa.Column("request_id", BIG_ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evidence_due_at", INSTANT, nullable=True),
        sa.Column("funds_withdrawn", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("funds_reinstated", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("stripe_reversal", column)
    op.create_index(
        "ix_stripe_reversal_dispute",
        "stripe_reversal",
        ["status", "evidence_due_at"],
        sqlite_where=sa.text(DISPUTES),
        postgresql_where=sa.text(DISPUTES),
    )


def downgrade() -> None:
    """Fraud warnings are forgotten: the version below takes every reversal for money."""
    op.execute("DELETE FROM stripe_reversal WHERE kind = 'fraud_warning'")
    op.drop_index("ix_stripe_reversal_dispute", "stripe_reversal")
    for name in (
        "funds_reinstated", "funds_withdrawn", "evidence_due_at", "reason", "request_id",
        "invoice_id",
    ):  # fmt: skip
        op.drop_column("stripe_reversal", name)
    op.drop_table("refund_request")
