"""Payouts and balance transactions: the fee and the net of every payment, and its payout."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
EXACT = sa.BigInteger()
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    op.create_table(
        "payout",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("payout_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("amount", EXACT, nullable=False),
        sa.Column("currency_iso", sa.Text(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("arrival_date", sa.Date(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("check_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout")),
        sa.UniqueConstraint("payout_id", name=op.f("uq_payout_payout_id")),
    )
    op.create_index("ix_payout_arrival_date", "payout", ["arrival_date", "id"])
    op.create_index(
        "ix_payout_check",
        "payout",
        ["check_at"],
        sqlite_where=sa.text("check_at IS NOT NULL"),
        postgresql_where=sa.text("check_at IS NOT NULL"),
    )
    op.create_table(
        "balance_transaction",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("currency_iso", sa.Text(), nullable=False),
        sa.Column("amount", EXACT, nullable=False),
        sa.Column("fee", EXACT, nullable=False),
        sa.Column("net", EXACT, nullable=False),
        sa.Column("exchange_rate", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("available_at", INSTANT, nullable=False),
        sa.Column("payout_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_balance_transaction")),
        sa.UniqueConstraint("transaction_id", name=op.f("uq_balance_transaction_transaction_id")),
    )
    op.create_index("ix_balance_transaction_source_id", "balance_transaction", ["source_id"])
    op.create_index("ix_balance_transaction_payout_id", "balance_transaction", ["payout_id", "id"])


def downgrade() -> None:
    op.drop_table("balance_transaction")
    op.drop_table("payout")
