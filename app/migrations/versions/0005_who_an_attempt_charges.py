"""Whom an attempt charges, by whose choice and in which account: what is looked at once more.

Attempts of before do not say; those that have not ended are withdrawn by the last look where the
client names no payment method of its own, and the next run begins anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("charge_attempt", sa.Column("stripe_account", sa.Text(), nullable=True))
    op.add_column("charge_attempt", sa.Column("client_id", BIG_ID, nullable=True))
    op.add_column("charge_attempt", sa.Column("is_default_method", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("charge_attempt", "is_default_method")
    op.drop_column("charge_attempt", "client_id")
    op.drop_column("charge_attempt", "stripe_account")
