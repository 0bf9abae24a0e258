"""Every number of an invoice is kept once, and the last one of each series.

Of invoices that have one number already the oldest keeps it here; the others stay as they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "invoice_number",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("invoice_id", BIG_ID, nullable=False),
        sa.Column("is_serial", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_invoice_number")),
    )
    op.create_index("ix_invoice_number_invoice_id", "invoice_number", ["invoice_id"])
    op.create_table(
        "invoice_series",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last_number", BIG_ID, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_invoice_series")),
    )
    op.execute(
        "INSERT INTO invoice_number (number, invoice_id, is_serial) "
        "SELECT invoicenumber, min(id), false FROM invoice "
        "WHERE id > 0 AND invoicetype <> 2 AND invoicenumber <> '' GROUP BY invoicenumber"
    )


def downgrade() -> None:
    op.drop_table("invoice_series")
    op.drop_table("invoice_number")
