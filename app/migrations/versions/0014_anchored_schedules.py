"""A template remembers the day its periods are counted from, a pro rata entry who billed it.

The templates that are there are counted from their present next date.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    op.add_column("invoice", sa.Column("anchored_at", INSTANT, nullable=True))
    op.execute("UPDATE invoice SET anchored_at = nextcreationdate WHERE id < 0")
    op.add_column("invoice_prorata", sa.Column("invoiceheaderid", BIG_ID, nullable=True))
    op.create_index("ix_invoice_prorata_invoiceheaderid", "invoice_prorata", ["invoiceheaderid"])


def downgrade() -> None:
    op.drop_index("ix_invoice_prorata_invoiceheaderid", "invoice_prorata")
    op.drop_column("invoice_prorata", "invoiceheaderid")
    op.drop_column("invoice", "anchored_at")
