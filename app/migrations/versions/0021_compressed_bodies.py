"""Bodies of old events may be compressed from here on; a version before cannot read them so.

Nothing changes on the way up. On the way down they are written as they were received; of those
that were dropped, the digest stays.
"""

import zlib

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# Rows that are read and written at a time, so that memory stays flat.
BATCH = 500
EVENTS = sa.table(
    "stripe_event",
    sa.column("id", sa.BigInteger()),
    sa.column("payload", sa.LargeBinary()),
)
# The first byte of a zlib stream, which no JSON text begins with.
ZLIB = 0x78


def upgrade() -> None:
    pass


def downgrade() -> None:
    last = -1
    while True:
        page = sa.select(EVENTS).where(EVENTS.c.id > last).order_by(EVENTS.c.id).limit(BATCH)
        rows = op.get_bind().execute(page).all()
        if not rows:
            return
        last = rows[-1].id
        found = [
            {"b_id": row.id, "b_payload": zlib.decompress(row.payload)}
            for row in rows
            if row.payload[:1] == bytes([ZLIB])
        ]
        if found:
            statement = (
                sa.update(EVENTS)
                .where(EVENTS.c.id == sa.bindparam("b_id"))
                .values(payload=sa.bindparam("b_payload", type_=sa.LargeBinary()))
            )
            op.get_bind().execute(statement, found)
