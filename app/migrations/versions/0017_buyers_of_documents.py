"""The buyer as documents and e-invoices name it: address, numbers, references and language.

Clients could post these names before, and their texts were kept in `extra`; they are moved.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COLUMNS = (
    "address1", "address2", "postcode", "city", "country", "vat_number", "registration_number",
    "einvoice_address", "buyer_reference", "language",
)  # fmt: skip
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Rows that are read and written at a time, so that memory stays flat.
BATCH = 1000
# The longest text that the API takes for them.
TEXT_MAX = 255
CLIENT = sa.table(
    "client",
    sa.column("id", BIG_ID),
    sa.column("extra", sa.Text()),
    *(sa.column(name, sa.Text()) for name in COLUMNS),
)


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("client", sa.Column(name, sa.Text(), nullable=True))
    move(sa.or_(*(CLIENT.c.extra.like(f'%"{name}"%') for name in COLUMNS)), out_of_extra)


def downgrade() -> None:
    move(sa.or_(*(CLIENT.c[name].is_not(None) for name in COLUMNS)), into_extra)
    for name in reversed(COLUMNS):
        op.drop_column("client", name)


def move(condition: sa.ColumnElement[bool], convert: Any) -> None:
    names = ("extra", *COLUMNS)
    statement = (
        sa.update(CLIENT)
        .where(CLIENT.c.id == sa.bindparam("b_id"))
        .values({name: sa.bindparam(f"b_{name}") for name in names})
    )
    for rows in batches(condition):
        changes = [{"id": row.id, **convert(row)} for row in rows]
        values = [{f"b_{name}": value for name, value in one.items()} for one in changes]
        op.get_bind().execute(statement, values)


def batches(condition: sa.ColumnElement[bool]) -> Iterator[Sequence[Any]]:
    last = -1
    while True:
        page = sa.select(CLIENT).where(condition, CLIENT.c.id > last).order_by(CLIENT.c.id)
        rows = op.get_bind().execute(page.limit(BATCH)).all()
        if not rows:
            return
        yield rows
        last = rows[-1].id


def out_of_extra(row: Any) -> dict[str, Any]:
    extra = json.loads(row.extra)
    moved = {name: extra.pop(name) for name in COLUMNS if is_text(extra.get(name))}
    return {"extra": as_text(extra), **dict.fromkeys(COLUMNS), **moved}


def is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MAX


def into_extra(row: Any) -> dict[str, Any]:
    extra = json.loads(row.extra) if row.extra else {}
    extra |= {name: getattr(row, name) for name in COLUMNS if getattr(row, name) is not None}
    return {"extra": as_text(extra), **dict.fromkeys(COLUMNS)}


def as_text(value: dict[str, Any]) -> str | None:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else None
