"""How a table is offered by the API: said once per resource, read by everything under app/halo."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Date, bindparam, or_
from sqlalchemy.orm import InstrumentedAttribute

from app.errors import InvalidField
from app.halo.engine import json_schema, parsing, serializing
from app.halo.engine.json_schema import Schema
from app.storage.column_types import Row
from app.storage.engines import Record, Tx
from app.storage.fulltext import TRIGRAM, like_pattern, search_parameters

Params = Mapping[str, Sequence[str]]
"""Query parameters: names in lower case and without `[]`, each with all its values."""

LIST, SAVE, READ, REMOVE = "list", "save", "read", "remove"
ALL_VERBS = (LIST, SAVE, READ, REMOVE)


class ListCondition(NamedTuple):
    """One condition of a list. Statements are built once per combination of keys, then reused."""

    key: str
    clause: Callable[[], ColumnElement[bool]]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What OpenAPI says of a query parameter."""

    schema: Schema
    about: str


@dataclass(frozen=True, slots=True)
class Filter:
    """The condition a query parameter puts on a list, and what OpenAPI says of the parameter."""

    condition: Callable[[str, Params], ListCondition | None]
    schema: Schema
    about: str
    # Parameters that it reads besides its own.
    beside: Mapping[str, Parameter] = field(default_factory=dict)

    def __call__(self, name: str, params: Params) -> ListCondition | None:
        return self.condition(name, params)


Attachable = InstrumentedAttribute[Any]


@dataclass(frozen=True, slots=True)
class Child:
    """Records of another table that are shown inside their parent."""

    resource: "Resource"
    parent: Attachable
    order: tuple[Attachable, ...]
    # The parameter that adds them to a list, and the one that adds them to a single record.
    in_list: str | None = None  # None: always there
    in_one: str | None = None


@dataclass(frozen=True, slots=True)
class AttachedFields:
    """Fields that one more statement brings for a whole page. A value of the row's own wins."""

    key: Attachable
    load: Callable[[Tx, Collection[Any]], Awaitable[Mapping[Any, Mapping[str, Any]]]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Resource:
    """A table, and everything the API needs to know to offer it."""

    path: str
    table: type[Row]
    verbs: tuple[str, ...] = (LIST, SAVE, READ)
    # Scopes `read:` and `edit:` of this group open it.
    group: str = "invoices"
    # The list's key in its wrapper; None for a bare array.
    envelope: str | None = None
    saved_status: int = 200
    only: tuple[ColumnElement[bool], ...] = ()
    filters: Mapping[str, Filter] = field(default_factory=dict)
    # Read-only fields that the same SELECT brings, and those computed from a row.
    derived: Mapping[str, ColumnElement[Any] | Attachable] = field(default_factory=dict)
    computed: Callable[[Record], Mapping[str, Any]] | None = None
    # For OpenAPI: what `computed` and `attached` bring, and instructions of more than one value.
    further: Mapping[str, Schema] = field(default_factory=dict)
    # Columns that are read or shown otherwise than their type says.
    readers: Mapping[str, parsing.Parser] = field(default_factory=dict)
    showers: Mapping[str, serializing.Serializer] = field(default_factory=dict)
    # What a single record shows where it has nothing.
    sentinels: Mapping[str, Any] = field(default_factory=dict)
    children: Mapping[str, Child] = field(default_factory=dict)
    attached: AttachedFields | None = None
    # What a single record shows besides, when its details are asked for.
    details: Callable[[Tx, dict[str, Any]], Awaitable[None]] | None = None
    # What a list's wrapper says besides, by what was asked for.
    beside: Callable[[Tx, Params], Awaitable[Mapping[str, Any]]] | None = None
    brings: Mapping[str, Schema] = field(default_factory=dict)  # its names, for OpenAPI
    # Further input: lists of another resource's records, and instructions to the writer.
    nested: Mapping[str, "Resource"] = field(default_factory=dict)
    instructions: Mapping[str, parsing.Parser] = field(default_factory=dict)
    # Names of HaloPSA's wider schema that are kept and given back; where nobody published the
    # schema, every name is.
    wider: Mapping[str, parsing.Parser] = field(default_factory=dict)
    keeps_all: bool = False
    # Fields that a GET shows only when the parameter named here is set.
    on_request: Mapping[str, str] = field(default_factory=dict)
    # Columns, as "table.column", that hold this record's id without a foreign key: what they
    # name cannot be deleted.
    held_by: tuple[str, ...] = ()


def parameter_value(params: Params, name: str) -> str | None:
    """The last value of a parameter; None when it is absent or says nothing."""
    said = params.get(name)
    return said[-1] if said and said[-1].strip().lower() not in ("", "undefined", "null") else None


def is_set(params: Params, name: str) -> bool:
    return bool(parsing.flag(name, parameter_value(params, name)))


def equals(column: Attachable, about: str = "") -> Filter:
    read = _reader(column)

    def condition(name: str, params: Params) -> ListCondition | None:
        wanted = read(name, parameter_value(params, name))
        if wanted is None:  # nothing said, or 0 for a reference to none
            return None
        return ListCondition(
            name, lambda: column == bindparam(name, type_=column.type), {name: wanted}
        )

    return Filter(condition, _shape(column), about or f"Only those whose `{column.key}` is this.")


# A longer list is a mistake, and databases bound the number of parameters.
IDS_MAX = 1000


def one_of(column: Attachable, about: str = "") -> Filter:
    """Any of several values: comma-separated, repeated, or as a JSON array of plain values."""
    read = _reader(column)

    def condition(name: str, params: Params) -> ListCondition | None:
        parts = ",".join(params.get(name, ())).strip("[] ").split(",")
        said = [part.strip() for part in parts if part.strip().lower() not in ("", "undefined")]
        if not said:
            return None
        if len(said) > IDS_MAX:
            raise InvalidField(name, f"holds more than {IDS_MAX} values")
        wanted = [one for part in said if (one := read(name, part)) is not None]
        if not wanted:
            return None
        return ListCondition(
            name,
            lambda: column.in_(bindparam(name, type_=column.type, expanding=True)),
            {name: wanted},
        )

    schema = {"type": "array", "items": _shape(column), "maxItems": IDS_MAX}
    return Filter(condition, schema, about or f"Only those whose `{column.key}` is one of these.")


def when_set(
    clause: ColumnElement[bool], about: str = "Only those of which this is true."
) -> Filter:
    def condition(name: str, params: Params) -> ListCondition | None:
        return ListCondition(name, lambda: clause, {}) if is_set(params, name) else None

    return Filter(condition, json_schema.FLAG, about)


def since(columns: Mapping[str, Attachable]) -> Filter:
    """At or after a date, of the column `datesearch` names (the first when it names none)."""
    return _dated(columns, is_start=True)


def until(columns: Mapping[str, Attachable]) -> Filter:
    """At or before a date; a date without a time is that whole day."""
    return _dated(columns, is_start=False)


def _dated(columns: Mapping[str, Attachable], *, is_start: bool) -> Filter:
    def condition(name: str, params: Params) -> ListCondition | None:
        said = parameter_value(params, name)
        # Published as booleans, and some clients believe it.
        if said is None or said.lower() in ("true", "false"):
            return None
        chosen = parameter_value(params, "datesearch") or next(iter(columns))
        if len(columns) == 1:
            chosen = next(iter(columns))
        if chosen not in columns:
            raise InvalidField("datesearch", f"{chosen!r} is not one of {', '.join(columns)}")
        column = columns[chosen]
        bound = bindparam(name, type_=column.type)
        return ListCondition(
            f"{name} {chosen}",
            lambda: column >= bound if is_start else column <= bound,
            {name: _bound(column, name, said, is_start)},
        )

    which = "the date that `datesearch` names" if len(columns) > 1 else f"`{next(iter(columns))}`"
    end = "at or after this" if is_start else "at or before this, a day without a time included"
    return Filter(
        condition, json_schema.MOMENT, f"Only those with {which} {end}.", _datesearch(columns)
    )


def _datesearch(columns: Mapping[str, Attachable]) -> Mapping[str, Parameter]:
    if len(columns) == 1:
        return {}
    schema = {"type": "string", "enum": list(columns), "default": next(iter(columns))}
    return {"datesearch": Parameter(schema, "Which date `start_date` and `end_date` mean.")}


def _bound(column: Attachable, name: str, said: str, is_start: bool) -> date | datetime | None:
    if isinstance(column.type, Date):
        return parsing.day(name, said)
    found = parsing.instant(name, said)
    if found is None or is_start or len(said.strip()) > len("2026-01-31"):
        return found
    return datetime.combine(found.date(), time.max, UTC)


def searched(
    search: Callable[[ColumnElement[str]], Sequence[ColumnElement[bool]]],
    by_index: Callable[[str], ColumnElement[bool]] | None = None,
) -> Filter:
    """Free text, found anywhere in what `search` looks at; `by_index` finds the same faster."""

    def condition(name: str, params: Params) -> ListCondition | None:
        said = parameter_value(params, name)
        if said is None:
            return None
        parsing.short(name, said)
        if by_index and len(said) >= TRIGRAM:
            indexed = by_index
            return ListCondition(
                f"{name} indexed", lambda: indexed(name), search_parameters(name, said)
            )
        bound: ColumnElement[str] = bindparam(name)
        return ListCondition(name, lambda: or_(*search(bound)), {name: like_pattern(said)})

    schema = json_schema.parser_schema(parsing.short)
    return Filter(condition, schema, "Only those that hold this text, in any case of letters.")


def contains(column: Any, pattern: ColumnElement[str]) -> ColumnElement[bool]:
    clause: ColumnElement[bool] = column.ilike(pattern, escape="\\")
    return clause


def _reader(column: Attachable) -> parsing.Parser:
    return parsing.parser_of(column.property.columns[0])


def _shape(column: Attachable) -> Schema:
    return json_schema.parser_schema(_reader(column))
