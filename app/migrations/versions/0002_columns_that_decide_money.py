"""Columns for what decides money: it lay in `extra`, the JSON of what is only kept for the client.

The database gives none of the values a type there, so each is converted by hand, in batches by id.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
# Rows that are read, converted and written at a time, so that memory stays flat.
BATCH = 1000
LOWEST_ID = -(2**63)
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


class Moved(NamedTuple):
    """A property that becomes a column, and its value in `extra` and in the column."""

    name: str
    kind: sa.types.TypeEngine[Any]
    to_column: Callable[[Any], Any]
    to_extra: Callable[[Any], Any]


def upgrade() -> None:
    for table, moved in MOVED.items():
        for one in moved:
            op.add_column(table, sa.Column(one.name, one.kind, nullable=True))
        move(table, moved, sa.or_(*(EXTRA.like(f'%"{one.name}"%') for one in moved)), out_of_extra)


def downgrade() -> None:
    for table, moved in MOVED.items():
        there = sa.or_(*(sa.column(one.name).is_not(None) for one in moved))
        move(table, moved, there, into_extra)
        for one in moved:
            op.drop_column(table, one.name)


def move(
    name: str,
    moved: Sequence[Moved],
    condition: sa.ColumnElement[bool],
    convert: Callable[[Any, Sequence[Moved]], dict[str, Any]],
) -> None:
    """Rewrites the properties and `extra` of the rows that meet the condition."""
    columns = [sa.column(one.name, one.kind) for one in moved]
    table = sa.table(name, sa.column("id", BIG_ID), sa.column("extra", sa.Text()), *columns)
    names = ["extra", *(one.name for one in moved)]
    statement = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("b_id"))
        .values({one: sa.bindparam(f"b_{one}") for one in names})
    )
    for rows in batches(table, condition):
        changes = [{"id": row.id, **convert(row, moved)} for row in rows]
        values = [{f"b_{key}": value for key, value in one.items()} for one in changes]
        op.get_bind().execute(statement, values)


def batches(table: sa.TableClause, condition: sa.ColumnElement[bool]) -> Iterator[Sequence[Any]]:
    """The rows by id: templates of invoices have negative ones."""
    last = LOWEST_ID
    while True:
        page = sa.select(table).where(condition, table.c.id > last).order_by(table.c.id)
        rows = op.get_bind().execute(page.limit(BATCH)).all()
        if not rows:
            return
        yield rows
        last = rows[-1].id


def out_of_extra(row: Any, moved: Sequence[Moved]) -> dict[str, Any]:
    extra = json.loads(row.extra)
    found = {one.name: one.to_column(extra.pop(one.name, None)) for one in moved}
    return {"extra": as_text(extra or None), **found}


def into_extra(row: Any, moved: Sequence[Moved]) -> dict[str, Any]:
    extra = json.loads(row.extra) if row.extra else {}
    values = {one.name: one.to_extra(getattr(row, one.name)) for one in moved}
    extra |= {name: value for name, value in values.items() if value is not None}
    return {"extra": as_text(extra or None), **dict.fromkeys(values)}


def as_text(value: Any) -> str | None:
    """JSON as the application writes it."""
    if value is None:
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_given(value: Any) -> Any:
    return value


def whole(largest: int) -> Callable[[Any], int | None]:
    """A number as it was computed with: without its decimals, and never beyond the column."""

    def convert(value: Any) -> int | None:
        return None if value is None else max(-largest, min(int(value), largest))

    return convert


def flag(value: Any) -> bool | None:
    return None if value is None else bool(value)


def instant(value: str | None) -> datetime | str | None:
    """`extra` holds UTC without a zone. SQLite keeps text that sorts as time does."""
    if value is None:
        return None
    found = datetime.fromisoformat(value).replace(tzinfo=UTC)
    if op.get_bind().dialect.name == "sqlite":
        return found.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return found


def moment(value: datetime | str | None) -> str | None:
    if value is None:
        return None
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.astimezone(UTC).isoformat().removesuffix("+00:00")


def from_text(value: str | None) -> Any:
    return None if value is None else json.loads(value)


EXTRA = sa.column("extra", sa.Text())
MOVED = {
    "invoice": (
        Moved("period", sa.Integer(), whole(INT32_MAX), as_given),
        Moved("due_date_type", sa.Integer(), whole(INT32_MAX), as_given),
        Moved("due_date_int", sa.Integer(), whole(INT32_MAX), as_given),
    ),
    "invoice_line": (
        Moved("onetimecharge", sa.Boolean(), flag, as_given),
        Moved("onetimechargeinvoiceid", BIG_ID, whole(INT64_MAX), as_given),
        Moved("startdate", INSTANT, instant, moment),
        Moved("enddate", INSTANT, instant, moment),
        Moved("prorata_data", sa.Text(), as_text, from_text),
    ),
}
