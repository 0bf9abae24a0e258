"""One charge for several invoices of a client: which invoices an attempt charges, with how much.

Going back, a consolidated attempt remains as one of its first invoice alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("client", sa.Column("consolidate", sa.Boolean(), nullable=True))
    op.add_column("charge_attempt", sa.Column("is_consolidated", sa.Boolean(), nullable=True))
    op.create_table(
        "charge_attempt_share",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("attempt_id", BIG_ID, nullable=False),
        sa.Column("invoice_id", BIG_ID, nullable=False),
        sa.Column("amount_minor", BIG_ID, nullable=False),
        sa.Column("replaces_intent_id", sa.Text(), nullable=True),
        sa.Column("is_unresolved", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attempt_id"],
            ["charge_attempt.id"],
            name=op.f("fk_charge_attempt_share_attempt_id"),
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_charge_attempt_share_invoice_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_attempt_share")),
        sa.UniqueConstraint(
            "attempt_id", "invoice_id", name=op.f("uq_charge_attempt_share_attempt_id_invoice_id")
        ),
    )
    op.create_index(
        "ix_charge_attempt_share_invoice_id", "charge_attempt_share", ["invoice_id", "attempt_id"]
    )
    op.create_index(
        "uq_charge_attempt_share_unresolved",
        "charge_attempt_share",
        ["invoice_id"],
        unique=True,
        sqlite_where=sa.text("is_unresolved"),
        postgresql_where=sa.text("is_unresolved"),
    )


def downgrade() -> None:
    op.drop_table("charge_attempt_share")
    op.drop_column("charge_attempt", "is_consolidated")
    op.drop_column("client", "consolidate")
