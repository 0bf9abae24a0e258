"""The ids that a table gives next: read, reserved, and moved beyond those taken elsewhere."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import REGCLASS

from app.storage.engines import Tx, reserved_ids
from app.storage.prepared import PreparedStatement, Statement

# So many ids a connection takes from a sequence at once.
BLOCK = 256


async def last_id(tx: Tx, table: Table) -> int:
    """The largest id that the table has given away, also when its row is gone; 0 for none."""
    return await tx.scalar(_LAST_ID[tx.dialect.name], {"name": table.name}) or 0


_LAST_ID = {
    "sqlite": text("SELECT seq FROM sqlite_sequence WHERE name = :name"),
    "postgresql": text(
        "SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'id')::regclass)"
    ),
}


async def skip_ids(tx: Tx, table: Table, until: int) -> None:
    """Let the next row's id be larger than `until`."""
    if await last_id(tx, table) >= until:
        return
    values = {"name": table.name, "until": until}
    if tx.dialect.name != "sqlite":
        reset = "SELECT setval(pg_get_serial_sequence(:name, 'id'), :until)"
        await tx.execute(text(reset), values)
        return
    moved = await tx.execute(
        text("UPDATE sqlite_sequence SET seq = :until WHERE name = :name"), values
    )
    if not moved.rowcount:
        insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :until)"
        await tx.execute(text(insert), values)


class IdReservation:
    """Ids for rows that are about to be inserted, so that their children can be written with them.

    On SQLite there is one writer, which counts on from the largest; no row of the table may ever be
    deleted. On PostgreSQL they come from the table's sequence, a block at a time for a connection,
    as a sequence with a CACHE gives them: a question for every batch would cost a round trip.
    Where people read the ids, a block of 1 leaves no gaps.
    """

    def __init__(self, table: Table, block: int = BLOCK) -> None:
        self._table = table
        self._block = block
        self._next = PreparedStatement(self._statement, _ReservedId)

    async def reserve(self, tx: Tx, count: int) -> Sequence[int]:
        if tx.dialect.name == "sqlite":
            first = await self._next.all(tx)
            return range(first[0].id, first[0].id + count)
        block = reserved_ids(tx).setdefault(self._table.name, deque())
        if len(block) < count:
            found = await self._next.all(tx, name=self._table.name, count=max(count, self._block))
            block.extend(row.id for row in found)
        return [block.popleft() for _ in range(count)]

    def _statement(self, dialect: str) -> Statement:
        if dialect == "sqlite":
            return select((func.coalesce(func.max(self._table.c.id), 0) + 1).label("id"))
        name = bindparam("name", type_=Text())
        sequence = func.pg_get_serial_sequence(name, literal_column("'id'"))
        count = bindparam("count", type_=BigInteger())
        next_id = func.nextval(cast(sequence, REGCLASS), type_=BigInteger()).label("id")
        return select(next_id).select_from(func.generate_series(1, count))


class _ReservedId(NamedTuple):
    id: int
