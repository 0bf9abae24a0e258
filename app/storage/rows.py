"""Many rows of one table at once: locked, inserted, changed, each in one statement.

And one row taken away, when nothing hangs on it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Column, Table, Text, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from app.errors import InvalidField, NotFound, Refused
from app.storage.engines import Record, Tx

# Bytes, as JSON, of the properties that one record keeps for its clients: HaloPSA's own objects
# take two to five thousand. Every list reads them again.
EXTRA_MAX = 64 * 1024

InputRecord = Mapping[str, Any]
"""What a caller said about one record: column values by name, with `id` when it exists."""


async def lock_rows(
    tx: Tx, table: Table, what: str, records: Sequence[InputRecord]
) -> dict[int, Record]:
    """The rows that the records with an id name, locked in the order of their ids."""
    times = Counter(record["id"] for record in records if "id" in record)
    if not times:
        return {}
    twice = [row_id for row_id, count in times.items() if count > 1]
    if twice:
        raise InvalidField("id", f"{twice[0]} is given twice")
    found = await tx.execute(
        select(table).where(table.c.id.in_(sorted(times))).order_by(table.c.id).with_for_update()
    )
    rows = {row.id: row for row in found}
    for row_id in times:
        if row_id not in rows:
            raise NotFound(what, row_id)
    return rows


async def insert_rows(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """The new rows' ids, in the order given."""
    if not rows:
        return []
    # Where the order of a multi-row insert is not promised, SQLAlchemy sorts. On SQLite it would
    # insert row by row for that, though ids of one statement always ascend there.
    is_sorted_for_us = tx.dialect.name != "sqlite"
    statement = insert(table).returning(table.c.id, sort_by_parameter_order=is_sorted_for_us)
    ids = list(await tx.scalars(statement, list(rows)))
    return ids if is_sorted_for_us else sorted(ids)


async def update_rows(tx: Tx, table: Table, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Give rows new values; each row gets the same columns."""
    if not changes:
        return
    names = list(next(iter(changes.values())))
    await tx.execute(
        update(table)
        .where(table.c.id == bindparam("b_id"))
        .values({name: bindparam(f"b_{name}") for name in names}),
        [
            {"b_id": row_id, **{f"b_{name}": values[name] for name in names}}
            for row_id, values in changes.items()
        ],
    )


async def delete_row(
    tx: Tx, table: Table, what: str, row_id: int, held_by: Sequence[str] = ()
) -> None:
    """Delete one row, or Refused while another names it."""
    await lock_rows(tx, table, what, [{"id": row_id}])
    await assert_unreferenced(tx, table, what, row_id, held_by)
    await tx.execute(delete(table).where(table.c.id == row_id))


async def assert_unreferenced(
    tx: Tx, table: Table, what: str, row_id: int, held_by: Sequence[str] = ()
) -> None:
    """Refused while another row names this one: by a foreign key, or in a column of `held_by`."""
    for column in _holders(table, held_by):
        wanted = str(row_id) if isinstance(column.type, Text) else row_id
        key = next(iter(column.table.primary_key))
        holder = await tx.scalar(select(key).where(column == wanted).limit(1))
        if holder is not None:
            named = f"{column.table.name.replace('_', ' ')} {holder}"
            raise Refused(f"{what} {row_id} cannot be deleted: {named} has it as {column.name}")


def _holders(table: Table, held_by: Sequence[str]) -> list[Column[Any]]:
    """Columns that name a row of this table, but for those of rows that go with it."""
    referring = [
        key.parent
        for other in table.metadata.sorted_tables
        for key in other.foreign_keys
        if key.column.table is table and key.ondelete != "CASCADE"
    ]
    named = (one.split(".") for one in held_by)
    return [*referring, *(table.metadata.tables[name].c[column] for name, column in named)]


async def assert_references_exist(tx: Tx, table: Table, records: Iterable[InputRecord]) -> None:
    """Every record that is referred to exists, or InvalidField: one statement a foreign key."""
    given = list(records)
    for key in table.foreign_keys:
        name = key.parent.name
        wanted = {record[name] for record in given if record.get(name) is not None}
        if wanted:
            found = await tx.scalars(select(key.column).where(key.column.in_(wanted)))
            missing = wanted.difference(found)
            if missing:
                raise InvalidField(name, f"{min(missing)} does not exist")


def merge_extra(known: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The kept properties after a change; null removes a property."""
    if not known and not given:
        return None
    merged = {**(known or {}), **given}
    extra = {name: value for name, value in merged.items() if value is not None} or None
    if extra is not None and given:
        assert_extra_fits(extra, given, known or {})
    return extra


def assert_extra_fits(
    extra: Mapping[str, Any], given: Iterable[str], known: Mapping[str, Any]
) -> None:
    """Kept properties take EXTRA_MAX bytes, or as many as an older record's; or InvalidField."""
    size = len(orjson.dumps(extra))
    if size <= EXTRA_MAX or size <= len(orjson.dumps(known)):
        return
    sizes = {name: len(orjson.dumps(extra[name])) for name in given if name in extra}
    largest = max(sizes, key=sizes.__getitem__, default="body")
    raise InvalidField(
        largest,
        f"the properties that are kept for this record would take more than {EXTRA_MAX} bytes",
    )


async def insert_once(
    tx: Tx,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[ColumnElement[Any]],
    returning: Sequence[ColumnElement[Any]],
) -> Sequence[Record]:
    """Insert the rows whose key is not there yet; answer the new ones only."""
    statement = _insert_once(tx.dialect.name, table, tuple(key), tuple(returning))
    return (await tx.execute(statement, list(rows))).all()


@lru_cache(maxsize=64)
def _insert_once(
    dialect: str,
    table: Table,
    key: tuple[ColumnElement[Any], ...],
    returning: tuple[ColumnElement[Any], ...],
) -> Any:
    """Built once for each use: building costs more than running it."""
    return (
        insert_of(dialect)(table).on_conflict_do_nothing(index_elements=key).returning(*returning)
    )


async def upsert(
    tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]], *, key: Iterable[ColumnElement[Any]]
) -> None:
    """Insert the rows, or overwrite all given columns of those whose key is there."""
    statement = insert_of(tx.dialect.name)(table)
    keys = list(key)
    names = {column.key for column in keys}
    given = {name: statement.excluded[name] for name in rows[0] if name not in names}
    await tx.execute(statement.on_conflict_do_update(index_elements=keys, set_=given), list(rows))


def insert_of(dialect: str) -> Callable[[Table], Any]:
    """An engine's own INSERT: the two spell ON CONFLICT alike, but SQLAlchemy has one of each."""
    return sqlite.insert if dialect == "sqlite" else postgresql.insert
