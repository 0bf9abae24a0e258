"""Prices with tax in them, the category and the reason of a line's tax, tax points, and roundings.

Invoices that there are were rounded once for each tax rate.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "invoice",
        sa.Column("rounded_by_line", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("invoice", sa.Column("tax_point_date", sa.Date(), nullable=True))
    op.add_column(
        "invoice_line",
        sa.Column("price_includes_tax", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    for name in ("tax_category", "tax_exemption_reason"):
        op.add_column("invoice_line", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("tax", sa.Column("exemption_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("tax", "exemption_reason")
    for name in ("tax_exemption_reason", "tax_category", "price_includes_tax"):
        op.drop_column("invoice_line", name)
    for name in ("tax_point_date", "rounded_by_line"):
        op.drop_column("invoice", name)
