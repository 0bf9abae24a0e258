"""Who holds a job's lease, and when the job last succeeded: what an alert and a person ask for."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
# Results of runs that did not end well begin with these words.
FAILURES = ("failed%", "not finished%", "Stripe refuses%")


def upgrade() -> None:
    op.add_column("job", sa.Column("lease_holder", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("succeeded_at", INSTANT, nullable=True))
    job = sa.table("job", sa.column("succeeded_at"), sa.column("finished_at"), sa.column("result"))
    has_succeeded = sa.and_(*(job.c.result.not_like(one) for one in FAILURES))
    op.execute(sa.update(job).where(has_succeeded).values(succeeded_at=job.c.finished_at))


def downgrade() -> None:
    op.drop_column("job", "succeeded_at")
    op.drop_column("job", "lease_holder")
