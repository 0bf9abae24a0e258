"""The money of a day is summed from an index alone: a limit asks for it at every claim."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
expands_only = True

NAME = "ix_charge_attempt_business_day"
COLUMNS = ["business_day", "currency", "client_id"]


def upgrade() -> None:
    op.drop_index(NAME, "charge_attempt")
    op.create_index(NAME, "charge_attempt", [*COLUMNS, "state", "amount_minor"])


def downgrade() -> None:
    op.drop_index(NAME, "charge_attempt")
    op.create_index(NAME, "charge_attempt", COLUMNS)
