"""Foreign events are counted by their reason, and imported records are known again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    op.create_table(
        "foreign_event_count",
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("events", BIG_ID, nullable=False),
        sa.Column("last_event_id", sa.Text(), nullable=False),
        sa.Column("last_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("reason", name=op.f("pk_foreign_event_count")),
    )
    op.create_table(
        "imported_record",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("record_id", BIG_ID, nullable=False),
        sa.Column("imported_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_imported_record")),
    )


def downgrade() -> None:
    op.drop_table("imported_record")
    op.drop_table("foreign_event_count")
