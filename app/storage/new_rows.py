"""Whole new rows of one table, many at a time, and the ids that the database gives them."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Table, func, select

from app.storage.bulk_writes import BulkInsert
from app.storage.engines import Tx
from app.storage.id_sequences import IdReservation
from app.storage.prepared import PreparedStatement, field_names

# SQLite's writer runs in the event loop, which answers others after so many rows: two or three
# milliseconds.
SLICE = 200


class _LastId(NamedTuple):
    id: int | None


class NewRows:
    """Inserts rows that are named tuples of all the table's columns; their own ids are ignored."""

    def __init__(self, table: Table, row: type[tuple[Any, ...]]) -> None:
        names = tuple(one.name for one in table.columns)
        assert names == field_names(row), f"{row.__name__} has other fields than {table.name}"
        self._names = names
        self._without_id = BulkInsert(table, [name for name in names if name != "id"])
        self._whole = BulkInsert(table, names)
        self._ids = IdReservation(table, block=1)
        self._last = PreparedStatement(select(func.max(table.c.id).label("id")), _LastId)

    async def insert(
        self, tx: Tx, rows: Sequence[tuple[Any, ...]], **others: Sequence[object]
    ) -> Sequence[int]:
        """The new rows' ids, in the order given. LostRace when another took one of them.

        `others` are columns whose values stand in the place of the rows' own.
        """
        if not rows:
            return ()
        columns: dict[str, Sequence[object]] = dict(
            zip(self._names, zip(*rows, strict=True), strict=True)
        )
        columns |= others
        if tx.dialect.name != "sqlite":
            ids = await self._ids.reserve(tx, len(rows))
            await self._whole.run_columns(tx, list((columns | {"id": ids}).values()))
            return ids
        del columns["id"]
        for first in range(0, len(rows), SLICE):
            if first:
                await asyncio.sleep(0)
            part = slice(first, first + SLICE)
            await self._without_id.run_columns(tx, [one[part] for one in columns.values()])
        # There is one writer, and new ids are larger than all others.
        (last,) = await self._last.all(tx)
        assert last.id is not None
        return range(last.id - len(rows) + 1, last.id + 1)
