"""Query parameters to SELECT: the resource's filters, order and page.

A statement is built once for each combination of filters and order, and then runs with other
values: building and fingerprinting one costs more than most lists take in the database.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import BigInteger, ColumnElement, Integer, Select, bindparam, func, select

from app.errors import InvalidField
from app.halo.engine.codec import RecordCodec
from app.halo.engine.parsing import small
from app.halo.engine.resource import ListCondition, Params, is_set, parameter_value
from app.storage.engines import Record, Tx

PAGE_SIZE = 50
# HaloPSA's clients ask for at most 100.
PAGE_SIZE_MAX = 100
# Without paging HaloPSA answers everything; this many invoices are a megabyte or two.
LIST_MAX = 1000
# One parameter is one filter; a thousand of them is an attack.
PARAMETERS_MAX = 200
# Combinations of filters and orders in use at once; a client that invents more only loses speed.
_STATEMENTS_MAX = 256


@dataclass(frozen=True, slots=True)
class Page:
    size: int
    number: int = 1
    is_asked_for: bool = False

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list was asked for."""

    conditions: Sequence[ListCondition]
    order: tuple[tuple[str, bool], ...]
    page: Page
    ids_only: bool

    @property
    def shape(self) -> tuple[object, ...]:
        keys = tuple(one.key for one in self.conditions)
        return (keys, self.order, self.ids_only, self.page.is_asked_for)

    def list(self, path: str) -> Hashable:
        """What tells this list from others, whatever page of it."""
        said = ((one.key, *map(_hashable, one.values.values())) for one in self.conditions)
        return (path, *said)

    @property
    def is_walk(self) -> bool:
        """Page by page in the order of the ids."""
        return self.page.is_asked_for and not self.order

    @property
    def values(self) -> dict[str, Any]:
        return {name: value for one in self.conditions for name, value in one.values.items()}


def query_parameters(query_string: bytes) -> Params:
    """Names in lower case, `paymentstatuses[]` as `paymentstatuses`, every value kept."""
    try:
        pairs = parse_qsl(
            query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX
        )
    except ValueError:
        raise InvalidField("query", f"holds more than {PARAMETERS_MAX} parameters") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name.lower().removesuffix("[]"), []).append(value)
    return found


def parse_list_query(codec: RecordCodec, params: Params) -> ListQuery:
    filters = codec.resource.filters
    found = [filters[name](name, params) for name in params if name in filters]
    return ListQuery(
        conditions=sorted((one for one in found if one), key=lambda one: one.key),
        order=_order(codec, params),
        page=_page(params),
        ids_only=is_set(params, "idonly"),
    )


class ListStatements:
    """A resource's SELECTs, each built when it is first asked for."""

    def __init__(self, codec: RecordCodec) -> None:
        self._codec = codec
        self._rows: dict[tuple[object, ...], Select[Any]] = {}
        self._counts: dict[tuple[object, ...], Select[Any]] = {}

    async def rows(self, tx: Tx, query: ListQuery, after: int | None) -> Sequence[Record]:
        """The page's rows; those behind an id where the place of the page is known."""
        shape = (*query.shape, after is None)
        statement = self._rows.get(shape)
        if statement is None:
            statement = _kept(self._rows, shape, self._build(query, after is not None))
        place = {"_offset": query.page.offset} if after is None else {"_after": after}
        values = {**query.values, "_limit": query.page.size, **place}
        found: Sequence[Record] = (await tx.execute(statement, values)).all()
        return found

    def count(self, query: ListQuery) -> tuple[Select[Any], Mapping[str, Any]]:
        shape = query.shape[:1]
        statement = self._counts.get(shape)
        if statement is None:
            counted = select(func.count()).select_from(self._codec.table)
            statement = _kept(self._counts, shape, counted.where(*self._where(query)))
        return statement, query.values

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
        # What is skipped and sorted is narrow, often an index alone; whole rows are read for one
        # page only.
        return select(*self._codec.selected).where(row_id.in_(found)).order_by(*order)

    def _where(self, query: ListQuery) -> list[ColumnElement[bool]]:
        return [*self._codec.resource.only, *(one.clause() for one in query.conditions)]

    def _order_by(self, query: ListQuery) -> list[ColumnElement[Any]]:
        """The id comes last, in the direction of the last column, so that pages never overlap."""
        order = dict(query.order)
        descending = list(order.values())[-1] if order else False
        order.setdefault("id", descending)
        shown = self._codec.shown
        return [shown[name].desc() if down else shown[name].asc() for name, down in order.items()]


def _hashable(value: Any) -> Hashable:
    return tuple(value) if isinstance(value, list) else value


def _kept(
    statements: dict[tuple[object, ...], Select[Any]],
    shape: tuple[object, ...],
    statement: Select[Any],
) -> Select[Any]:
    if len(statements) >= _STATEMENTS_MAX:
        statements.clear()
    statements[shape] = statement
    return statement


def _order(codec: RecordCodec, params: Params) -> tuple[tuple[str, bool], ...]:
    """`order` to `order5`. A name that is no field is ignored, as HaloPSA does."""
    found: dict[str, bool] = {}
    for suffix in ("", "2", "3", "4", "5"):
        name = (parameter_value(params, f"order{suffix}") or "").lower()
        if name in codec.shown:
            found.setdefault(name, is_set(params, f"orderdesc{suffix}"))
    return tuple(found.items())


def _page(params: Params) -> Page:
    if not is_set(params, "pageinate"):
        return Page(_count(params))
    size = _positive(params, "page_size", PAGE_SIZE)
    number = _positive(params, "page_no", 1)
    return Page(min(size, PAGE_SIZE_MAX), number, is_asked_for=True)


def _positive(params: Params, name: str, default: int) -> int:
    said = small(name, parameter_value(params, name))
    if said is None:
        return default
    if said < 1:
        raise InvalidField(name, f"{said} is less than 1")
    return int(said)


def _count(params: Params) -> int:
    """Clients send `count=true` as well; what is no number is not meant."""
    said = (parameter_value(params, "count") or "").strip()
    return min(int(said), LIST_MAX) if _is_count(said) else LIST_MAX


def _is_count(said: str) -> bool:
    return said.isascii() and said.isdigit() and len(said) < 10 and int(said) > 0
