"""Views of the console's lists that a person keeps under a name."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
expands_only = True

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    op.create_table(
        "console_saved_view",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column(
            "user_id",
            BIG_ID,
            sa.ForeignKey("console_user.id", name=op.f("fk_console_saved_view_user_id")),
            nullable=False,
        ),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_console_saved_view")),
    )
    op.create_index(
        "uq_console_saved_view_name",
        "console_saved_view",
        ["user_id", "path", "name"],
        unique=True,
    )


def downgrade() -> None:
    op.drop_table("console_saved_view")
