"""Checkout Sessions of pay links: which can still be paid, and why one could not be expired."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
expands_only = True

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
IS_OPEN = sa.text("state = 'open'")


def upgrade() -> None:
    op.create_table(
        "link_session",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column(
            "link_id",
            BIG_ID,
            sa.ForeignKey("pay_link.id", name=op.f("fk_link_session_link_id"), ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("shares", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", INSTANT),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_session")),
        sa.UniqueConstraint("session_id", name=op.f("uq_link_session_session_id")),
    )
    op.create_index(op.f("ix_link_session_link_id"), "link_session", ["link_id"])
    op.create_index(
        "ix_link_session_open",
        "link_session",
        ["id"],
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    )


def downgrade() -> None:
    op.drop_table("link_session")
