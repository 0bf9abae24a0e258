"""Statements for many rows at once, compiled once per engine and always of the same text.

SQLAlchemy writes a new text for every number of values, and works out every parameter of every row
by its name; on the way of a webhook that costs more than the database does. `any_of` and `Bulk`
have one text whatever the number, so that PostgreSQL prepares it once, and rows become tuples.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Dialect, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.data.database import LostRace, Tx


class _Listed(TypeDecorator[Any]):
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
        given = list(value)
        return orjson.dumps(given).decode() if dialect.name == "sqlite" else given


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
    kind = _Listed(Text if is_text else BigInteger)
    return _AnyOf(column, bindparam(name, type_=kind))


@compiles(_AnyOf, "postgresql")
def _as_array(element: _AnyOf, compiler: Any, **kw: Any) -> str:
    return f"{compiler.process(element.column, **kw)} = ANY ({compiler.process(element.values)})"


@compiles(_AnyOf, "sqlite")
def _as_json(element: _AnyOf, compiler: Any, **kw: Any) -> str:
    values = compiler.process(element.values)
    column = compiler.process(element.column, **kw)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608  a name and a bind


Row = Mapping[str, Any]
_Convert = Callable[[Any], Any]


class Bulk:
    """One INSERT or UPDATE, run for many rows. Every row names the same columns."""

    def __init__(self, statement: Any, names: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._names = names
        self._compiled: dict[str, tuple[str, list[tuple[str, _Convert | None]]]] = {}

    async def run(self, tx: Tx, rows: Sequence[Row]) -> None:
        if not rows:
            return
        made = self._compiled.get(tx.dialect.name)
        if made is None:
            made = self._compiled[tx.dialect.name] = self._made(tx.dialect)
        sql, columns = made
        tuples = [
            tuple(
                [row[name] if convert is None else convert(row[name]) for name, convert in columns]
            )
            for row in rows
        ]
        try:
            await tx.exec_driver_sql(sql, tuples)
        except IntegrityError as error:
            # Whoever inserts here has looked before; so somebody else was quicker since.
            raise LostRace from error

    def _made(self, dialect: Dialect) -> tuple[str, list[tuple[str, _Convert | None]]]:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._names)
        names = compiled.positiontup
        kinds = [compiled.binds[name].type.dialect_impl(dialect) for name in names]
        converts = [kind.bind_processor(dialect) for kind in kinds]
        return str(compiled), list(zip(names, converts, strict=True))
