"""The fast lane: statements of one text each, compiled once, given straight to the driver.

SQLAlchemy's work per statement costs several times what the database's own does: it writes a text
for every number of values, names every parameter of every row, and crosses into a greenlet each
time. Here a statement is written with SQLAlchemy, compiled once per engine, and from then on the
driver of the open transaction runs it with plain tuples. This is for what every event, charge or
request needs; elsewhere plain SQLAlchemy is right.
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import BigInteger, Boolean, Dialect, Select, Table, Text, UpdateBase, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.storage.driver_errors import LostRace, is_duplicate
from app.storage.engines import Tx


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


RowValues = Mapping[str, Any]
_Convert = Callable[[Any], Any]


_Statement = Select[*tuple[Any, ...]] | UpdateBase


class PreparedStatement:
    """A statement on the fast lane. Its rows have the columns it answers as attributes.

    Its values stand in it or are given to `all` by name; many at once with `any_of`, never as
    IN (...). A statement that each engine spells its own way is a function of the dialect's name.
    """

    def __init__(self, statement: _Statement | Callable[[str], _Statement]) -> None:
        self._statement = statement
        self._made: dict[str, _Compiled] = {}

    async def all(self, tx: Tx, **given: Any) -> list[Any]:
        made = self._made.get(tx.dialect.name)
        if made is None:
            made = self._made[tx.dialect.name] = self._compiled(tx.dialect)
        found = await _fetched(tx, made.text, made.parameters(given))
        return [made.row(one) for one in found]

    def _compiled(self, dialect: Dialect) -> "_Compiled":
        given = self._statement
        statement = given if isinstance(given, Select | UpdateBase) else given(dialect.name)
        return _Compiled(statement, dialect)


def is_for_fast_lane(statement: _Statement, dialect: Dialect) -> bool:
    """Whether a statement that may read much can be a Query.

    It must have one text for all values. On SQLite a Query runs in the event loop, which is right
    only for what ends at once.
    """
    return dialect.name != "sqlite" and _MANY not in str(statement.compile(dialect=dialect))


# What SQLAlchemy leaves in a text until it knows how many values there are.
_MANY = "POSTCOMPILE"


class _Compiled:
    """A statement's text for one engine, with what turns values into it and rows out of it."""

    def __init__(self, statement: _Statement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.text = str(compiled)
        assert _MANY not in self.text, "many values are any_of(...) here"
        self._order = [(name, _bound(compiled, name, dialect)) for name in compiled.positiontup]
        binds = compiled.binds.items()
        self._standing = {name: one for name, one in binds if not one.required}
        columns: list[Any] = list(statement.exported_columns)
        kinds = (one.type.dialect_impl(dialect) for one in columns)
        self._converts = [kind.result_processor(dialect, None) for kind in kinds]
        # The names are the statement's, so no type checker can know them; what Python cannot call
        # by its name is read by its place.
        names = [one.key for one in columns]
        self._row: Any = namedtuple("Found", names, rename=True)  # type: ignore[misc]

    def parameters(self, given: Mapping[str, Any]) -> list[Any]:
        standing = {name: one.effective_value for name, one in self._standing.items()}
        values = {**standing, **given}
        return [
            values[name] if convert is None else convert(values[name])
            for name, convert in self._order
        ]

    def row(self, found: Sequence[Any]) -> Any:
        return self._row._make(
            value if convert is None else convert(value)
            for value, convert in zip(found, self._converts, strict=True)
        )


def _bound(compiled: Any, name: str, dialect: Dialect) -> _Convert | None:
    kind = compiled.binds[name].type.dialect_impl(dialect)
    convert: _Convert | None = kind.bind_processor(dialect)
    return convert


class BulkWrite:
    """One statement for many rows, each of which has the same columns.

    SQLite runs it row by row inside the process; PostgreSQL gets one array a column, once.
    """

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        self._table = table
        self._columns = [table.c[name] for name in names]
        self._made: dict[str, tuple[str, list[tuple[str, _Convert | None]]]] = {}

    async def run(self, tx: Tx, rows: Sequence[RowValues]) -> None:
        if not rows:
            return
        text, columns = self._of(tx)
        try:
            if tx.dialect.name == "sqlite":
                _ran_for_each(tx, text, [_tuple(row, columns) for row in rows])
            else:
                await _fetched(tx, text, [_list(rows, *one) for one in columns])
        except Exception as error:
            if not is_duplicate(error):
                raise
            # Whoever inserts here has looked before; so somebody else was quicker since.
            raise LostRace from error

    def _of(self, tx: Tx) -> tuple[str, list[tuple[str, _Convert | None]]]:
        """The statement's text for the engine of this transaction, and its columns."""
        made = self._made.get(tx.dialect.name)
        if made is None:
            made = self._made[tx.dialect.name] = self._compiled(tx.dialect)
        return made

    def _compiled(self, dialect: Dialect) -> tuple[str, list[tuple[str, _Convert | None]]]:
        text = self._by_row() if dialect.name == "sqlite" else self._by_column(dialect)
        return text, [
            (one.name, one.type.dialect_impl(dialect).bind_processor(dialect))
            for one in self._columns
        ]

    def _by_row(self) -> str:
        raise NotImplementedError

    def _by_column(self, dialect: Dialect) -> str:
        raise NotImplementedError

    def _unnested(self, dialect: Dialect) -> str:
        kinds = (one.type.dialect_impl(dialect).compile(dialect) for one in self._columns)
        return ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(kinds, start=1))


class BulkInsert(BulkWrite):
    """Inserts rows whose keys the caller found to be new; LostRace when one is not any more."""

    def _by_row(self) -> str:
        marks = ", ".join("?" for _ in self._columns)
        return f"INSERT INTO {self._table.name} ({self._names}) VALUES ({marks})"  # noqa: S608

    def _by_column(self, dialect: Dialect) -> str:
        return (
            f"INSERT INTO {self._table.name} ({self._names}) "  # noqa: S608  names of our own
            f"SELECT * FROM unnest({self._unnested(dialect)})"
        )

    @property
    def _names(self) -> str:
        return ", ".join(f'"{one.name}"' for one in self._columns)


class BulkInsertOnce(BulkInsert):
    """Inserts the rows whose key is not there yet, and answers the keys of the new ones.

    Give the rows in the order of their keys, so that two who insert the same never wait in a ring.
    """

    def __init__(self, table: Table, key: str, names: Sequence[str]) -> None:
        super().__init__(table, names)
        self._key = key

    async def new(self, tx: Tx, rows: Sequence[RowValues]) -> set[Any]:
        if not rows:
            return set()
        text, columns = self._of(tx)
        if tx.dialect.name == "sqlite":
            counts = _ran_for_each(tx, text, [_tuple(row, columns) for row in rows])
            return {row[self._key] for row, count in zip(rows, counts, strict=True) if count}
        found = await _fetched(tx, text, [_list(rows, *one) for one in columns])
        return {key for (key,) in found}

    def _by_row(self) -> str:
        return f"{super()._by_row()} ON CONFLICT ({self._key}) DO NOTHING"

    def _by_column(self, dialect: Dialect) -> str:
        once = f"ON CONFLICT ({self._key}) DO NOTHING RETURNING {self._key}"
        return f"{super()._by_column(dialect)} {once}"


class BulkUpdate(BulkWrite):
    """Overwrites columns of the rows that a key names; every row gives the key and all columns."""

    def __init__(self, table: Table, key: str, names: Sequence[str]) -> None:
        super().__init__(table, [*names, key])
        self._key = key
        self._set = names

    def _by_row(self) -> str:
        settings = ", ".join(f'"{name}" = ?' for name in self._set)
        return f"UPDATE {self._table.name} SET {settings} WHERE {self._key} = ?"  # noqa: S608

    def _by_column(self, dialect: Dialect) -> str:
        settings = ", ".join(f'"{name}" = given."{name}"' for name in self._set)
        names = ", ".join(f'"{one.name}"' for one in self._columns)
        return (
            f"UPDATE {self._table.name} AS old SET {settings} "  # noqa: S608  names of our own
            f"FROM unnest({self._unnested(dialect)}) AS given ({names}) "
            f"WHERE old.{self._key} = given.{self._key}"
        )


def _tuple(row: RowValues, converts: Sequence[tuple[str, _Convert | None]]) -> tuple[Any, ...]:
    return tuple([row[name] if made is None else made(row[name]) for name, made in converts])


def _list(rows: Sequence[RowValues], name: str, convert: _Convert | None) -> list[Any]:
    if convert is None:
        return [row[name] for row in rows]
    return [convert(row[name]) for row in rows]


# --- the driver of the open transaction --------------------------------------------------------


def _driver(tx: Tx) -> Any:
    connection = tx.sync_connection
    assert connection is not None, "a transaction is open"
    return connection.connection.driver_connection


def _sqlite(tx: Tx) -> sqlite3.Connection:
    driver: sqlite3.Connection = _driver(tx)._conn
    return driver


def _ran_for_each(tx: Tx, text: str, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """Runs a statement on SQLite once for each row; answers how many rows each run touched."""
    execute = _sqlite(tx).execute
    return [execute(text, row).rowcount for row in rows]


async def _fetched(tx: Tx, text: str, parameters: Sequence[Any]) -> Sequence[Any]:
    """The rows of a statement. SQLite's are read in place: nobody has to be waited for."""
    if not tx.in_transaction():  # SQLAlchemy begins with the first statement that it sees
        await tx.begin()
    if tx.dialect.name == "sqlite":
        return _sqlite(tx).execute(text, parameters).fetchall()
    driver = _driver(tx)
    if driver.is_closed():
        await tx.invalidate()
        raise ConnectionError("the connection to the database is closed")
    if not driver.is_in_transaction():
        await _begun(tx)
    try:
        rows: Sequence[Any] = await (await _statement(driver, text)).fetch(*parameters)
    except BaseException as error:
        if getattr(error, "sqlstate", None) is None or driver.is_closed():
            # No answer of the server's: SQLAlchemy's pool must not lend this connection again.
            # Not in peace, for that would wait for the same silent server.
            driver.terminate()
            await tx.invalidate()
        raise
    return rows


async def _statement(driver: Any, text: str) -> Any:
    prepared = _prepared.setdefault(driver, {})
    if text not in prepared:
        if len(prepared) >= PREPARED_MAX:  # lists have as many texts as callers ask for
            prepared.clear()
        prepared[text] = await driver.prepare(text)
    return prepared[text]


async def _begun(tx: Tx) -> None:
    """SQLAlchemy sends BEGIN with its first statement; on the fast lane there may be none."""
    connection = tx.sync_connection
    assert connection is not None, "a transaction is open"
    adapted: Any = connection.connection.dbapi_connection
    await adapted._start_transaction()


# Statements that one connection keeps; without them only speed is lost.
PREPARED_MAX = 500
# What each PostgreSQL connection has prepared; goes with the connection.
_prepared: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()
