"""Pagination: the rows of a list's page, and the length of the list.

To count a long list, or to skip to its ten-thousandth page, takes the database longer than the page
itself. So each process remembers two things about a list while a client pages through it:

* The length of a long list, for some seconds; `record_count` may be that much out of date.
* Where the next page begins. A page in the order of ids begins behind the last row of the page
  before it, so that a client whose pages all come from this process meets no row twice and skips
  none, whatever others insert or delete meanwhile.

The second is no promise. The places belong to a list, not to a client: where two clients page
through the same list while rows are deleted, one may begin behind the other's last row and skip
one. A client whose pages come from several processes, who takes longer than a minute for a page, or
who sorts by another field, gets a plain OFFSET, which skips and repeats rows as any OFFSET does.
"""

import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    Integer,
    Select,
    bindparam,
    cast,
    func,
    select,
)

from app.errors import InvalidField
from app.halo.engine.codec import RecordCodec
from app.halo.engine.heavy_work import all_rows
from app.halo.engine.list_query import ListQuery
from app.storage.column_types import Precise
from app.storage.engines import Record, Tx

# A shorter list is counted in a millisecond, so its length is always the present one.
LONG = 5_000
# The age that a long list's length may have, and the time that a client may take for a page.
COUNT_LASTS_S = 5.0
PLACE_LASTS_S = 60.0
# Lists and places remembered at once; without them only speed is lost.
REMEMBERED_MAX = 4096
# Records that are sorted for a page by a field without an index: a tenth of a second's work.
SORTED_MAX = 100_000
# Combinations of filters and orders in use at once; a client that invents more only loses speed.
_STATEMENTS_MAX = 256

_Statements = dict[tuple[object, ...], Select[Any]]


class ListReader:
    """Reads pages of one resource's list, each by a SELECT that is built once for its filters.

    To build a SELECT, and to work out its key in SQLAlchemy's cache, costs more than most lists
    take in the database.
    """

    def __init__(self, codec: RecordCodec) -> None:
        self._codec = codec
        first_of_indexes = (next(iter(one.columns)).key for one in codec.table.indexes)
        self._indexed = frozenset({"id", *first_of_indexes})
        self._rows: _Statements = {}
        self._counts: _Statements = {}

    async def page(self, tx: Tx, query: ListQuery) -> Sequence[Record]:
        await self._refuse_long_sort(tx, query)
        if not query.is_in_id_order:
            return await self._read(tx, query, None)
        cache = _cache_of(tx)
        pages = (query.identity(self._codec.resource.path), query.page.size)
        after = cache.place(pages, query.page.number)
        rows = await self._read(tx, query, after)
        if rows:
            before = rows[0].id - 1 if after is None else after
            cache.remember_page(pages, query.page.number, before, rows[-1].id)
        return rows

    async def _refuse_long_sort(self, tx: Tx, query: ListQuery) -> None:
        """A list that no index has in order is sorted whole for each of its pages."""
        first = query.order[0][0] if query.order else "id"
        if first in self._indexed:
            return
        rows = select(self._codec.table.c.id).where(*self._where(query)).limit(SORTED_MAX + 1)
        counted = select(func.count()).select_from(rows.subquery())
        if (await tx.scalar(counted, query.values) or 0) > SORTED_MAX:
            raise InvalidField(
                "order", f"at most {SORTED_MAX} records are sorted by {first}; filter the list"
            )

    async def total(self, tx: Tx, query: ListQuery, found: int) -> int:
        """All matches over all pages; 0 on a page past the end, where HaloPSA's clients stop."""
        if found == 0 or found < query.page.size:
            return query.page.offset + found if found else 0
        which = query.identity(self._codec.resource.path)
        total = _cache_of(tx).total(which)
        if total is None:
            total = int(await tx.scalar(self._count(query), query.values) or 0)
            _cache_of(tx).remember_total(which, total)
        return max(total, query.page.offset + found)

    async def _read(self, tx: Tx, query: ListQuery, after: int | None) -> Sequence[Record]:
        shape = (*query.shape, after is None)
        statement = self._rows.get(shape)
        if statement is None:
            statement = _store(self._rows, shape, self._build(query, after is not None))
        place = {"_offset": query.page.offset} if after is None else {"_after": after}
        values = {**query.values, "_limit": query.page.size, **place}
        result = await tx.execute(statement, values)
        return await all_rows(result)

    def _count(self, query: ListQuery) -> Select[Any]:
        shape = query.shape[:1]
        statement = self._counts.get(shape)
        if statement is None:
            counted = select(func.count()).select_from(self._codec.table)
            statement = _store(self._counts, shape, counted.where(*self._where(query)))
        return statement

    def _build(self, query: ListQuery, has_place: bool) -> Select[Any]:
        row_id = self._codec.table.c.id
        order = self._order_by(query)
        # Of two bounds for one column SQLite goes by the first.
        place = [row_id > bindparam("_after", type_=row_id.type)] if has_place else []
        found = select(row_id).where(*place, *self._where(query)).order_by(*order)
        if not has_place:
            found = found.offset(bindparam("_offset", type_=BigInteger()))
        found = found.limit(bindparam("_limit", type_=Integer()))
        if query.ids_only:
            return found
        if not query.page.is_asked_for:
            return found.with_only_columns(*self._codec.selected)
        # The rows that are skipped and sorted are narrow, often an index alone; whole rows are
        # read for one page only.
        return select(*self._codec.selected).where(row_id.in_(found)).order_by(*order)

    def _where(self, query: ListQuery) -> list[ColumnElement[bool]]:
        return [*self._codec.resource.only, *(one.clause() for one in query.conditions)]

    def _order_by(self, query: ListQuery) -> list[ColumnElement[Any]]:
        """The id comes last, in the direction of the last column, so that pages never overlap."""
        order = dict(query.order)
        descending = list(order.values())[-1] if order else False
        order.setdefault("id", descending)
        return [_sorted_by(self._codec.shown[name], down) for name, down in order.items()]


def _sorted_by(column: ColumnElement[Any], down: bool) -> ColumnElement[Any]:
    """NULL is greater than every value on both engines: as PostgreSQL has its indexes."""
    if isinstance(column.type, Precise):  # SQLite has its digits as text
        column = cast(column, Float)
    if not getattr(column, "nullable", True):
        return column.desc() if down else column.asc()
    return column.desc().nulls_first() if down else column.asc().nulls_last()


def _store(statements: _Statements, shape: tuple[object, ...], one: Select[Any]) -> Select[Any]:
    if len(statements) >= _STATEMENTS_MAX:
        statements.clear()
    statements[shape] = one
    return one


# --- the cache ---------------------------------------------------------------------------------


class PaginationCache:
    """Lengths of lists and beginnings of pages, in one process, for one database."""

    def __init__(self) -> None:
        self._totals: dict[Hashable, tuple[float, int]] = {}
        self._places: dict[Hashable, tuple[float, int]] = {}

    def total(self, which: Hashable) -> int | None:
        return _unexpired(self._totals, which)

    def remember_total(self, which: Hashable, total: int) -> None:
        if total >= LONG:
            _remember(self._totals, which, total, COUNT_LASTS_S)

    def place(self, pages: Hashable, number: int) -> int | None:
        """The id behind which this page begins."""
        return _unexpired(self._places, (pages, number))

    def remember_page(self, pages: Hashable, number: int, before: int, last: int) -> None:
        """A page was read: `before` is the id before its first row, `last` that of its last."""
        _remember(self._places, (pages, number), before, PLACE_LASTS_S)
        _remember(self._places, (pages, number + 1), last, PLACE_LASTS_S)


def _cache_of(tx: Tx) -> PaginationCache:
    """The cache for the database of this transaction."""
    connection = tx.sync_connection
    assert connection is not None, "a transaction is open"
    return _CACHES.setdefault(connection.engine, PaginationCache())


_CACHES: WeakKeyDictionary[Any, PaginationCache] = WeakKeyDictionary()


def _unexpired(known: Mapping[Hashable, tuple[float, int]], key: Hashable) -> int | None:
    until, value = known.get(key, (0.0, 0))
    return value if time.monotonic() < until else None


def _remember(
    known: dict[Hashable, tuple[float, int]], key: Hashable, value: int, lasts_s: float
) -> None:
    now = time.monotonic()
    known.pop(key, None)  # written anew, it stands last: what expires first stands first
    while known and (len(known) >= REMEMBERED_MAX or next(iter(known.values()))[0] <= now):
        del known[next(iter(known))]
    known[key] = (now + lasts_s, value)
