"""A Resource declares how a table is offered by the API; everything else in halo reads it.

A column without a Field is neither shown nor accepted. Every property says its own text, which is
its description in the OpenAPI document.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement

from app.halo.engine.filters import Filter, Params, TableColumn
from app.halo.engine.json_schema import Schema
from app.halo.engine.parsing import Parser
from app.storage.column_types import Row
from app.storage.engines import Record, Tx

Serializer = Callable[[Any], Any]
"""Turns a column's value into the one that JSON shows."""

LIST, SAVE, READ, REMOVE = "list", "save", "read", "remove"
ALL_VERBS = (LIST, SAVE, READ, REMOVE)


@dataclass(frozen=True, slots=True)
class Field:
    """A column as the API offers it, or an instruction to the writer that only a POST takes.

    Without `parse` and `serialize` the column's type says how it is read and shown.
    """

    about: str
    parse: Parser | None = None
    serialize: Serializer | None = None
    # Shown, and silently ignored on input.
    read_only: bool = False
    # The schema of what `parse` accepts, where it is neither the type's nor a known parser's.
    schema: Schema | None = None


@dataclass(frozen=True, slots=True)
class Property:
    """A property that is only shown, and is no column: its schema and its text."""

    schema: Schema
    about: str


@dataclass(frozen=True, slots=True)
class Derived:
    """A read-only property that the same SELECT computes."""

    about: str
    expression: ColumnElement[Any] | TableColumn


@dataclass(frozen=True, slots=True)
class Constant:
    """A property that has one value in every single record; clients fail without it."""

    about: str
    value: Any


@dataclass(frozen=True, slots=True)
class Child:
    """Records of another table that are shown inside their parent."""

    about: str
    resource: "Resource"
    parent: TableColumn
    order: tuple[TableColumn, ...]
    # The parameter that adds them to a list, and the one that adds them to a single record.
    in_list: str | None = None  # None: they are always there
    in_one: str | None = None


@dataclass(frozen=True, slots=True)
class InputList:
    """A list of another resource's records that a record may bring."""

    about: str
    resource: "Resource"
    # Records that it may hold at most; None where only the rows of the whole request are bounded.
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """Properties that are computed from a row, in Python."""

    properties: Mapping[str, Property]
    compute: Callable[[Record], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Attached:
    """Properties that one more statement loads for a whole page, by a column of its rows.

    Where the row has a value of its own under the same name, that one is shown.
    """

    properties: Mapping[str, Property]
    key: TableColumn
    load: Callable[[Tx, Collection[Any]], Awaitable[Mapping[Any, Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Details:
    """Properties that a single record gets when its details are asked for."""

    properties: Mapping[str, Property]
    add: Callable[[Tx, dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WrapperFields:
    """Properties of a list's wrapper that depend on the request's parameters."""

    properties: Mapping[str, Property]
    load: Callable[[Tx, Params], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """How the records are listed."""

    filters: Mapping[str, Filter] = field(default_factory=dict)
    # The list's key in its wrapper; None for a bare array.
    envelope: str | None = None
    wrapper: WrapperFields | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Properties that a record shows besides its columns."""

    derived: Mapping[str, Derived] = field(default_factory=dict)
    computed: Computed | None = None
    attached: Attached | None = None
    details: Details | None = None
    # Properties that the details of its parent add to it.
    from_parent: Mapping[str, Property] = field(default_factory=dict)
    children: Mapping[str, Child] = field(default_factory=dict)
    # The value that a single record shows where a property has none.
    sentinels: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Constant] = field(default_factory=dict)
    # Properties that a GET shows only when the parameter named here is set.
    on_request: Mapping[str, str] = field(default_factory=dict)

    @property
    def placeholders(self) -> Mapping[str, Any]:
        """Sentinels and constants by name: a single record shows them where it says nothing."""
        return {**self.sentinels, **{name: one.value for name, one in self.constants.items()}}

    @property
    def further(self) -> Mapping[str, Property]:
        """Every property that is neither a column nor part of the SELECT."""
        sources = (self.computed, self.attached, self.details)
        brought = [source.properties for source in sources if source]
        return {name: one for part in (*brought, self.from_parent) for name, one in part.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Properties that a record takes besides its columns."""

    lists: Mapping[str, InputList] = field(default_factory=dict)
    # Instructions to the writer, such as the `change_seq` that its caller has seen.
    instructions: Mapping[str, Field] = field(default_factory=dict)
    # Properties of HaloPSA's wider schema that are kept and given back.
    passthrough: Mapping[str, Field] = field(default_factory=dict)
    # Where nobody published the wider schema, every property is kept.
    keeps_unknown: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Resource:
    """A table with its path, its fields and its verbs."""

    path: str
    table: type[Row]
    fields: Mapping[str, Field]
    verbs: tuple[str, ...] = (LIST, SAVE, READ)
    # Scopes `read:` and `edit:` of this group open it.
    group: str = "invoices"
    saved_status: int = 200
    # The records of the table that it offers; all of them when it names no condition.
    only: tuple[ColumnElement[bool], ...] = ()
    # Columns, as "table.column", that hold this record's id without a foreign key: a record that
    # one of them names cannot be deleted.
    held_by: tuple[str, ...] = ()
    listing: Listing = field(default_factory=Listing)
    output: Output = field(default_factory=Output)
    input: Input = field(default_factory=Input)
