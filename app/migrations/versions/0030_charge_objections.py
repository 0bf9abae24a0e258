"""Objections to coming charges, by an address in the mail that tells of them."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None
expands_only = True

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    op.create_table(
        "charge_objection",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column(
            "client_id",
            BIG_ID,
            sa.ForeignKey(
                "client.id", name=op.f("fk_charge_objection_client_id"), ondelete="CASCADE"
            ),
        ),
        sa.Column("invoice_ids", sa.Text(), nullable=False),
        sa.Column("charge_on", sa.Date(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("revoked_by", sa.Text()),
        sa.Column("revoked_at", INSTANT),
        sa.Column("objected_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_objection")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_charge_objection_token_hash")),
    )
    op.create_index(op.f("ix_charge_objection_client_id"), "charge_objection", ["client_id"])


def downgrade() -> None:
    op.drop_table("charge_objection")
