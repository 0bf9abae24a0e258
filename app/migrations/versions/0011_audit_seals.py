"""Who really wrote a change of an invoice and when, and a chain of hashes over all of them.

Changes of before have neither; the first seals are over them as they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    op.add_column("invoice_change", sa.Column("access_id", BIG_ID, nullable=True))
    op.add_column("invoice_change", sa.Column("written_at", INSTANT, nullable=True))
    op.create_table(
        "audit_seal",
        sa.Column("number", BIG_ID, nullable=False, autoincrement=False),
        sa.Column("last_id", BIG_ID, nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("sealed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_seal")),
    )


def downgrade() -> None:
    op.drop_table("audit_seal")
    op.drop_column("invoice_change", "written_at")
    op.drop_column("invoice_change", "access_id")
