"""Reads records with what belongs to them, in a number of statements that no page size changes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sqlalchemy import Select, select

from app.errors import NotFound
from app.halo.engine.codec import RecordCodec, codec_of
from app.halo.engine.list_query import ListQuery, ListStatements, parse_list_query
from app.halo.engine.pagination_cache import cache_of
from app.halo.engine.resource import Child, Params, Resource, is_set
from app.storage.engines import Record, Tx
from app.storage.prepared import any_of

ShownRecord = dict[str, Any]
# The column of a child's SELECT that names its parent.
_PARENT = "parent_id"


@dataclass(frozen=True, slots=True)
class RecordPage:
    query: ListQuery
    records: Sequence[ShownRecord]
    total: int
    beside: Mapping[str, Any] = field(default_factory=dict)


class RecordQueries:
    """How the records of one resource are read."""

    def __init__(self, codec: RecordCodec) -> None:
        self._codec = codec
        self._statements = ListStatements(codec)
        table = codec.table
        self._by_ids = select(*codec.selected).where(
            any_of(table.c.id, "ids"), *codec.resource.only
        )
        self._children = {
            name: (child, _children(child)) for name, child in codec.resource.children.items()
        }

    async def listing(self, tx: Tx, params: Params) -> RecordPage:
        query = parse_list_query(self._codec, params)
        rows = await self._page(tx, query)
        total = await self._total(tx, query, len(rows))
        told = self._codec.resource.beside
        beside = await told(tx, params) if told else {}
        if query.ids_only:
            return RecordPage(query, [{"id": row.id} for row in rows], total, beside)
        wanted = [
            name
            for name, (one, _) in self._children.items()
            if one.in_list is None or is_set(params, one.in_list)
        ]
        records = await self._completed(tx, rows, wanted)
        for name in wanted:
            child = self._children[name][0].resource
            _asked_for(child, chain.from_iterable(one[name] for one in records), params)
        _asked_for(self._codec.resource, records, params)
        return RecordPage(query, records, total, beside)

    async def by_ids(
        self, tx: Tx, ids: Collection[int], *, detailed: bool
    ) -> dict[int, ShownRecord]:
        """Whole records, as a GET of each would show them."""
        rows = (await tx.execute(self._by_ids, {"ids": sorted(ids)})).all()
        wanted = [
            name for name, (one, _) in self._children.items() if one.in_one is None or detailed
        ]
        records = await self._completed(tx, rows, wanted)
        sentinels = self._codec.resource.sentinels
        return {record["id"]: {**sentinels, **record} for record in records}

    async def one(self, tx: Tx, record_id: int, params: Params) -> ShownRecord:
        asked_for = (one.in_one for one, _ in self._children.values() if one.in_one)
        detailed = any(is_set(params, name) for name in asked_for)
        found = await self.by_ids(tx, [record_id], detailed=detailed)
        if record_id not in found:
            raise NotFound(self._codec.resource.path, record_id)
        if detailed and self._codec.resource.details:
            await self._codec.resource.details(tx, found[record_id])
        _asked_for(self._codec.resource, [found[record_id]], params)
        return found[record_id]

    async def _page(self, tx: Tx, query: ListQuery) -> Sequence[Record]:
        walk = (query.list(self._codec.resource.path), query.page.size)
        after = cache_of(tx).place(walk, query.page.number) if query.is_walk else None
        rows = await self._statements.rows(tx, query, after)
        if query.is_walk and rows:
            before = rows[0].id - 1 if after is None else after
            cache_of(tx).seen(walk, query.page.number, before, rows[-1].id)
        return rows

    async def _total(self, tx: Tx, query: ListQuery, found: int) -> int:
        """All matches over all pages; 0 on a page past the end, where HaloPSA's clients stop."""
        if found == 0 or found < query.page.size:
            return query.page.offset + found if found else 0
        which = query.list(self._codec.resource.path)
        total = cache_of(tx).total(which)
        if total is None:
            total = int(await tx.scalar(*self._statements.count(query)) or 0)
            cache_of(tx).counted(which, total)
        return max(total, query.page.offset + found)

    async def _completed(
        self, tx: Tx, rows: Sequence[Record], wanted: Sequence[str]
    ) -> list[ShownRecord]:
        records = [self._codec.show(row) for row in rows]
        if rows and self._codec.resource.attached:
            await self._attach(tx, rows, records)
        for name in wanted:
            child, children = self._children[name]
            await _add_children(tx, name, child, children, records)
        return records

    async def _attach(self, tx: Tx, rows: Sequence[Record], records: Sequence[ShownRecord]) -> None:
        attached = self._codec.resource.attached
        assert attached is not None, "the caller looked"
        key = attached.key.key
        keys = {value for row in rows if (value := getattr(row, key)) is not None}
        found: Mapping[int, Mapping[str, Any]] = await attached.load(tx, keys) if keys else {}
        for row, record in zip(rows, records, strict=True):
            for name, value in found.get(getattr(row, key), {}).items():
                record.setdefault(name, value)


def _asked_for(resource: Resource, records: Iterable[ShownRecord], params: Params) -> None:
    """Leaves out of the records what a parameter would have to ask for."""
    on_request = resource.on_request.items()
    hidden = [name for name, parameter in on_request if not is_set(params, parameter)]
    for record in records if hidden else ():
        for name in hidden:
            record.pop(name, None)


def _children(child: Child) -> Select[Any]:
    codec = codec_of(child.resource)
    return (
        select(*codec.selected, child.parent.label(_PARENT))
        .where(any_of(codec.table.c[child.parent.key], "ids"))
        .order_by(*child.order)
    )


async def _add_children(
    tx: Tx,
    name: str,
    child: Child,
    children: Select[Any],
    records: Sequence[ShownRecord],
) -> None:
    of_parent: dict[int, list[ShownRecord]] = {record["id"]: [] for record in records}
    codec = codec_of(child.resource)
    if of_parent:
        for row in await tx.execute(children, {"ids": list(of_parent)}):
            of_parent[getattr(row, _PARENT)].append(codec.show(row))
    for record in records:
        record[name] = of_parent[record["id"]]
