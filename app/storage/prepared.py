"""Prepared statements: written with SQLAlchemy, compiled once an engine, sent by the driver itself.

SQLAlchemy's work per statement costs several times what the database's own does: it writes a text
for every number of values, names every parameter of every row, and crosses into a greenlet each
time. Here the driver of the open transaction gets plain tuples, and each row comes back as the
NamedTuple that the statement declares, so that a misspelt column is an error of the type checker.
This is for what every event, charge or saved invoice needs; elsewhere plain SQLAlchemy is right.

SQLAlchemy's events (`before_cursor_execute`, `after_cursor_execute`) and its echo see these
statements too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

import orjson
from sqlalchemy import BigInteger, Boolean, Dialect, Select, Text, UpdateBase, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.storage.engines import Tx
from app.storage.open_transaction import fetch

# --- conditions ------------------------------------------------------------------------------


class _ListType(TypeDecorator[Any]):
    """A list in one parameter: an array for PostgreSQL, JSON for SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, of: type[TypeEngine[Any]]) -> None:
        super().__init__()
        self.of = of

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(ARRAY(self.of()))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        values = list(value)
        return orjson.dumps(values).decode() if dialect.name == "sqlite" else values


class _AnyOf(ColumnElement[bool]):
    inherit_cache = True
    # Otherwise SQLite is asked whether it `= 1`, and no index can answer that.
    _is_implicitly_boolean = True
    _traverse_internals = [  # noqa: RUF012  as SQLAlchemy reads it
        ("column", InternalTraversal.dp_clauseelement),
        ("values", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, column: ColumnElement[Any], values: BindParameter[Any]) -> None:
        self.column = column
        self.values = values
        self.type = Boolean()


def any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """The column is one of the values given as the parameter `name`, a list."""
    is_text = column.type.python_type is str
    kind = _ListType(Text if is_text else BigInteger)
    return _AnyOf(column, bindparam(name, type_=kind))


@compiles(_AnyOf, "postgresql")
def _as_array(element: _AnyOf, compiler: Any, **kw: Any) -> str:
    return f"{compiler.process(element.column, **kw)} = ANY ({compiler.process(element.values)})"


@compiles(_AnyOf, "sqlite")
def _as_json(element: _AnyOf, compiler: Any, **kw: Any) -> str:
    values = compiler.process(element.values)
    column = compiler.process(element.column, **kw)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608  a name and a bind


# --- parameters ---------------------------------------------------------------------------------


def named_binds(names: Iterable[str]) -> dict[str, BindParameter[Any]]:
    """Parameters of an INSERT or UPDATE: SQLAlchemy reserves a column's own name, so `to_` it."""
    return {name: bindparam(f"to_{name}") for name in names}


def named_values(values: Mapping[str, object]) -> dict[str, object]:
    """The values of `named_binds`, by the names of their parameters."""
    return {f"to_{name}": value for name, value in values.items()}


# --- statements that answer rows --------------------------------------------------------------


# Any NamedTuple: the declared shape of a row. The type system has no name for "any NamedTuple".
NamedRow = tuple[Any, ...]
RowT = TypeVar("RowT", bound=NamedRow)
Convert = Callable[[Any], Any]
Statement = Select[*tuple[Any, ...]] | UpdateBase


def projection(table: Any, row: type[NamedRow]) -> list[Any]:
    """The columns of a table, or of an alias of one, that a row type names, in its order."""
    return [table.c[name] for name in field_names(row)]


def field_names(row: type[NamedRow]) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(row, "_fields", ())
    return names


class PreparedStatement(Generic[RowT]):
    """A statement of one text for all values, and the type of the rows it answers.

    Parameters are given to `all` by name; many values at once with `any_of`, never as IN (...).
    A statement that each engine spells its own way is a function of the dialect's name.
    """

    def __init__(self, statement: Statement | Callable[[str], Statement], row: type[RowT]) -> None:
        self._statement = statement
        self._row = row
        self._compiled: dict[str, _Compiled[RowT]] = {}

    async def all(self, tx: Tx, **parameters: Any) -> list[RowT]:
        compiled = self._compiled.get(tx.dialect.name)
        if compiled is None:
            compiled = self._compiled[tx.dialect.name] = self.compile(tx.dialect)
        rows = await fetch(tx, compiled.text, compiled.ordered(parameters))
        return [compiled.row(one) for one in rows]

    def compile(self, dialect: Dialect) -> "_Compiled[RowT]":
        given = self._statement
        statement = given if isinstance(given, Select | UpdateBase) else given(dialect.name)
        return _Compiled(statement, dialect, self._row)


class _Compiled(Generic[RowT]):
    """A statement's text for one engine, with the converters of its parameters and columns."""

    def __init__(self, statement: Statement, dialect: Dialect, row: type[RowT]) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.text = str(compiled)
        assert "POSTCOMPILE" not in self.text, "many values are any_of(...) here"
        self._order = [
            (name, _bind_converter(compiled, name, dialect)) for name in compiled.positiontup
        ]
        binds = compiled.binds.items()
        self._constants = {name: one.effective_value for name, one in binds if not one.required}
        self.columns: list[Any] = list(statement.exported_columns)
        names = tuple(one.key for one in self.columns)
        assert names == field_names(row), f"{row.__name__} has other fields than {names}"
        kinds = (one.type.dialect_impl(dialect) for one in self.columns)
        converters = [kind.result_processor(dialect, None) for kind in kinds]
        # The few columns that are not as the driver gives them, by their places.
        self._converters = [(at, one) for at, one in enumerate(converters) if one is not None]
        self._make: Callable[[Iterable[Any]], RowT] = cast(Any, row)._make

    def ordered(self, parameters: Mapping[str, Any]) -> list[Any]:
        values = {**self._constants, **parameters}
        return [
            values[name] if convert is None else convert(values[name])
            for name, convert in self._order
        ]

    def row(self, found: Sequence[Any]) -> RowT:
        values = list(found)
        for at, convert in self._converters:
            values[at] = convert(values[at])
        return self._make(values)


def _bind_converter(compiled: Any, name: str, dialect: Dialect) -> Convert | None:
    kind = compiled.binds[name].type.dialect_impl(dialect)
    convert: Convert | None = kind.bind_processor(dialect)
    return convert
