"""Reads records with their children and attached fields.

The number of statements does not depend on the number of records.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sqlalchemy import Select, select

from app.errors import InvalidField, NotFound
from app.halo.engine.codec import RecordCodec, codec_of
from app.halo.engine.filters import Params, is_set
from app.halo.engine.heavy_work import HEAVY_ROWS, all_rows, compute
from app.halo.engine.list_query import ListQuery, parse_list_query
from app.halo.engine.pagination import ListReader
from app.halo.engine.resource import Attached, Child, Resource
from app.storage.engines import Record, Tx
from app.storage.prepared import any_of

ShownRecord = dict[str, Any]
# Rows that one answer holds, those inside its records included: 1,000 invoices of twenty lines.
ANSWER_ROWS_MAX = 20_000
# Bytes of a list: its longest with usual records has a tenth of them, but a thousand records that
# keep all they may would take twice as many, for whoever takes them slowly.
ANSWER_BYTES_MAX = 32 * 1024 * 1024
# The column of a child's SELECT that names its parent.
_PARENT = "parent_id"


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of a list; `wrapper` are the further properties of the list's envelope."""

    query: ListQuery
    records: Sequence[ShownRecord]
    total: int
    wrapper: Mapping[str, Any] = field(default_factory=dict)


def row_count(records: Sequence[ShownRecord]) -> int:
    """The records, with those that stand inside them; these are not counted where it is many."""
    if len(records) > HEAVY_ROWS:
        return len(records)
    return sum(
        1 + sum(len(value) for value in record.values() if isinstance(value, list))
        for record in records
    )


class TooManyRows(InvalidField):
    """An answer that would take too long to make; fewer records a page have fewer rows."""

    def __init__(self, field: str) -> None:
        why = f"the answer would hold more than {ANSWER_ROWS_MAX} rows; ask for fewer records"
        super().__init__(field, why)


class AnswerTooLong(InvalidField):
    """A list whose records keep much; fewer records a page are shorter."""

    def __init__(self) -> None:
        why = f"the answer would take more than {ANSWER_BYTES_MAX} bytes; ask for fewer records"
        super().__init__("page_size", why)


class RecordQueries:
    """Reads the records of one resource: a page of them, some by their ids, or a single one."""

    def __init__(self, codec: RecordCodec) -> None:
        self._codec = codec
        self._output = codec.resource.output
        self._placeholders = codec.resource.output.placeholders
        self._list = ListReader(codec)
        self._by_ids = select(*codec.selected).where(
            any_of(codec.table.c.id, "ids"), *codec.resource.only
        )
        self._children = {
            name: _select_children(child) for name, child in self._output.children.items()
        }

    async def list_page(self, tx: Tx, params: Params) -> RecordPage:
        query = parse_list_query(self._codec, params)
        rows = await self._list.page(tx, query)
        total = await self._list.total(tx, query, len(rows))
        wrapper = self._codec.resource.listing.wrapper
        further = await wrapper.load(tx, params) if wrapper else {}
        if query.ids_only:
            return RecordPage(query, [{"id": row.id} for row in rows], total, further)
        wanted = [
            name
            for name, child in self._output.children.items()
            if child.in_list is None or is_set(params, child.in_list)
        ]
        records = await self._complete(tx, rows, wanted)
        for name in wanted:
            children = chain.from_iterable(one[name] for one in records)
            _remove_unrequested(self._output.children[name].resource, children, params)
        _remove_unrequested(self._codec.resource, records, params)
        return RecordPage(query, records, total, further)

    async def by_ids(
        self, tx: Tx, ids: Collection[int], *, detailed: bool
    ) -> dict[int, ShownRecord]:
        """Whole records, as a GET of each would show them."""
        rows = await all_rows(await tx.execute(self._by_ids, {"ids": sorted(ids)}))
        wanted = [
            name
            for name, child in self._output.children.items()
            if child.in_one is None or detailed
        ]
        records = await self._complete(tx, rows, wanted)
        return {record["id"]: {**self._placeholders, **record} for record in records}

    async def one(self, tx: Tx, record_id: int, params: Params) -> ShownRecord:
        requests = (child.in_one for child in self._output.children.values() if child.in_one)
        detailed = any(is_set(params, name) for name in requests)
        found = await self.by_ids(tx, [record_id], detailed=detailed)
        if record_id not in found:
            raise NotFound(self._codec.resource.path, record_id)
        if detailed and self._output.details:
            await self._output.details.add(tx, found[record_id])
        _remove_unrequested(self._codec.resource, [found[record_id]], params)
        return found[record_id]

    async def _complete(
        self, tx: Tx, rows: Sequence[Record], wanted: Sequence[str]
    ) -> list[ShownRecord]:
        records = await compute(len(rows), _serialize, self._codec, rows)
        if rows and self._output.attached:
            await _attach(tx, self._output.attached, rows, records)
        for name in wanted:
            child = self._output.children[name]
            await _add_children(tx, name, child.resource, self._children[name], records)
        return records


def _serialize(codec: RecordCodec, rows: Sequence[Record]) -> list[ShownRecord]:
    return [codec.serialize(row) for row in rows]


async def _attach(
    tx: Tx, attached: Attached, rows: Sequence[Record], records: Sequence[ShownRecord]
) -> None:
    key = attached.key.key
    keys = {value for row in rows if (value := getattr(row, key)) is not None}
    found: Mapping[int, Mapping[str, Any]] = await attached.load(tx, keys) if keys else {}
    for row, record in zip(rows, records, strict=True):
        for name, value in found.get(getattr(row, key), {}).items():
            record.setdefault(name, value)


def _remove_unrequested(resource: Resource, records: Iterable[ShownRecord], params: Params) -> None:
    """Remove the properties that are shown only when a parameter asks for them, and none does."""
    on_request = resource.output.on_request.items()
    hidden = [name for name, parameter in on_request if not is_set(params, parameter)]
    for record in records if hidden else ():
        for name in hidden:
            record.pop(name, None)


def _select_children(child: Child) -> Select[Any]:
    codec = codec_of(child.resource)
    return (
        select(*codec.selected, child.parent.label(_PARENT))
        .where(any_of(codec.table.c[child.parent.key], "ids"))
        .order_by(*child.order)
        .limit(ANSWER_ROWS_MAX + 1)
    )


async def _add_children(
    tx: Tx, name: str, resource: Resource, statement: Select[Any], records: Sequence[ShownRecord]
) -> None:
    of_parent: dict[int, list[ShownRecord]] = {record["id"]: [] for record in records}
    codec = codec_of(resource)
    if of_parent:
        result = await tx.execute(statement, {"ids": list(of_parent)})
        rows = await all_rows(result)
        if len(rows) + len(records) > ANSWER_ROWS_MAX:
            raise TooManyRows(name)
        shown = await compute(len(rows), _serialize, codec, rows)
        if resource.output.attached:
            await _attach(tx, resource.output.attached, rows, shown)
        for row, record in zip(rows, shown, strict=True):
            of_parent[getattr(row, _PARENT)].append(record)
    for record in records:
        record[name] = of_parent[record["id"]]
