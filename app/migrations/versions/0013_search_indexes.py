"""Payments found by their amount and by the end of a card, and clients by their e-mail address."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_stripe_payment_amount", "stripe_payment", ["amount", "id"])
    known = sa.text("payment_method_name IS NOT NULL")
    op.create_index(
        "ix_stripe_payment_method",
        "stripe_payment",
        ["payment_method_name", "id"],
        sqlite_where=known,
        postgresql_where=known,
    )
    there = sa.text("email IS NOT NULL")
    op.create_index(
        "ix_client_email", "client", ["email"], sqlite_where=there, postgresql_where=there
    )


def downgrade() -> None:
    op.drop_index("ix_client_email", "client")
    op.drop_index("ix_stripe_payment_method", "stripe_payment")
    op.drop_index("ix_stripe_payment_amount", "stripe_payment")
