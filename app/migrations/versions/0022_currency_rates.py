"""The daily rates of currencies, of which an invoice of an earlier day takes its own."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "currency_rate",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rate", sa.Numeric().with_variant(sa.Text(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("code", "day", name=op.f("pk_currency_rate")),
    )


def downgrade() -> None:
    op.drop_table("currency_rate")
