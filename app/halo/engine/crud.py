"""Creates, changes and deletes records of the resources that no rule of the ledger guards."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Table

from app.errors import InvalidField, Refused
from app.halo.engine.resource import Resource
from app.rules.home import Home
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.driver_errors import DuplicateKey
from app.storage.engines import Record, Tx
from app.storage.rows import InputRecord

Prepare = Callable[[Mapping[int, Record], Sequence[InputRecord], datetime], Sequence[InputRecord]]
Finish = Callable[[Tx, Mapping[int, InputRecord]], Awaitable[None]]


class Writer(Protocol):
    """Creates the records without id, changes the others; answers all ids in the order given.

    `home` has the currency of records that name none, and the time zone of clients without one.
    """

    def __call__(
        self, tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: Home
    ) -> Awaitable[list[int]]: ...


class Remover(Protocol):
    """Deletes a record, or refuses because another one names it."""

    def __call__(
        self, tx: Tx, record_id: int, *, now: datetime, who: str, home: Home
    ) -> Awaitable[None]: ...


def resource_writer(
    resource: Resource, prepare: Prepare | None = None, finish: Finish | None = None
) -> Writer:
    """A Writer for a resource's table.

    `prepare` adds the values that follow from rows that are there already; `finish` writes the rows
    of other tables, once every record has its id.
    """

    async def write(
        tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: Home
    ) -> list[int]:
        ids = await _save(tx, resource, prepare, records, now)
        if finish is not None:
            await finish(tx, dict(zip(ids, records, strict=True)))
        return ids

    return write


def dated_on_creation(name: str) -> Prepare:
    """New records that do not say this date get the moment they are written."""

    def prepare(
        _: Mapping[int, Record], records: Sequence[InputRecord], now: datetime
    ) -> list[InputRecord]:
        return [record if "id" in record else {name: now, **record} for record in records]

    return prepare


def resource_remover(resource: Resource) -> Remover:
    """A Remover for a resource's table; it refuses where another record names the one to go."""

    async def remove(tx: Tx, record_id: int, *, now: datetime, who: str, home: Home) -> None:
        table = table_of(resource.table)
        await rows.delete_row(tx, table, resource.path, record_id, resource.held_by)

    return remove


async def _save(
    tx: Tx,
    resource: Resource,
    prepare: Prepare | None,
    records: Sequence[InputRecord],
    now: datetime,
) -> list[int]:
    table = table_of(resource.table)
    known = await rows.lock_rows(tx, table, resource.path, records)
    if prepare is not None:
        records = prepare(known, records, now)
    records = [_own_columns(table, record) for record in records]
    await rows.assert_references_exist(tx, table, records)
    new = [_new_row(table, record, now) for record in records if "id" not in record]
    try:
        ids = iter(await rows.insert_rows(tx, table, new))
        await rows.update_rows(tx, table, _changes(table, known, records, now))
    except DuplicateKey:
        raise Refused(f"another {resource.path} has the same key") from None
    return [record["id"] if "id" in record else next(ids) for record in records]


def _own_columns(table: Table, record: InputRecord) -> InputRecord:
    """The values for the table's own columns; `finish` writes the others."""
    return {name: value for name, value in record.items() if name in table.c}


def _new_row(table: Table, record: InputRecord, now: datetime) -> dict[str, Any]:
    required = (one for one in table.c if not (one.nullable or one.default or one.primary_key))
    for column in required:
        if record.get(column.name) in (None, ""):
            raise InvalidField(column.name, "is required")
    if "extra" in record:
        rows.assert_extra_fits(record["extra"], record["extra"], {})
    # One statement for all rows needs the same columns in each.
    values = {column.name: _default(column) for column in table.c if not column.primary_key}
    return {**values, **record, **_stamps(table, now, "date_created"), **_stamps(table, now)}


def _default(column: Any) -> Any:
    return None if column.default is None else column.default.arg


def _stamps(table: Table, now: datetime, name: str = "last_modified") -> dict[str, datetime]:
    return {name: now} if name in table.c else {}


def _changes(
    table: Table, known: Mapping[int, Record], records: Sequence[InputRecord], now: datetime
) -> dict[int, dict[str, Any]]:
    changed = [record for record in records if "id" in record]
    names = sorted({name for record in changed for name in record if name != "id"})
    changes: dict[int, dict[str, Any]] = {}
    for record in changed if names else ():
        row = known[record["id"]]
        values = {name: record.get(name, getattr(row, name)) for name in names}
        if "extra" in record:
            values["extra"] = rows.merge_extra(row.extra, record["extra"])
        changes[row.id] = {**values, **_stamps(table, now)}
    return changes
