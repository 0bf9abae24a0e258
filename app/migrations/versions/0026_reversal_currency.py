"""A dispute may be in the currency of the bank that raised it."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
expands_only = True


def upgrade() -> None:
    op.add_column("stripe_reversal", sa.Column("currency_iso", sa.Text))


def downgrade() -> None:
    op.drop_column("stripe_reversal", "currency_iso")
