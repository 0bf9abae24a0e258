"""Pay links: lasting addresses of a page that shows what is owed and takes it."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
expands_only = True

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    op.create_table(
        "pay_link",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column(
            "invoice_id",
            BIG_ID,
            sa.ForeignKey("invoice.id", name=op.f("fk_pay_link_invoice_id"), ondelete="CASCADE"),
        ),
        sa.Column(
            "client_id",
            BIG_ID,
            sa.ForeignKey("client.id", name=op.f("fk_pay_link_client_id"), ondelete="CASCADE"),
        ),
        sa.Column("allows_portal", sa.Boolean(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("revoked_by", sa.Text()),
        sa.Column("revoked_at", INSTANT),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("last_session_id", sa.Text()),
        sa.Column("last_session_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pay_link")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_pay_link_token_hash")),
    )
    op.create_index(op.f("ix_pay_link_invoice_id"), "pay_link", ["invoice_id"])
    op.create_index(op.f("ix_pay_link_client_id"), "pay_link", ["client_id"])


def downgrade() -> None:
    op.drop_table("pay_link")
