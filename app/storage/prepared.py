"""Prepared statements: written with SQLAlchemy, compiled once an engine, sent by the driver itself.

SQLAlchemy's work per statement costs several times what the database's own does: it writes a text
for every number of values, names every parameter of every row, and crosses into a greenlet each
time. Here the driver of the open transaction gets plain tuples, and each row comes back as the
NamedTuple that the statement declares, so that a misspelt column is an error of the type checker.
This is for what every event, charge or saved invoice needs; elsewhere plain SQLAlchemy is right.

SQLAlchemy's events (`before_cursor_execute`, `after_cursor_execute`) and its echo see these
statements too.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NoReturn, TypeVar, cast
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import BigInteger, Boolean, Dialect, Select, Table, Text, UpdateBase, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.storage.driver_errors import DuplicateKey, LostRace, is_wrong_value, translated
from app.storage.engines import Tx

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
        rows = await _fetch(tx, compiled.text, compiled.ordered(parameters))
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


# --- many rows in one statement -----------------------------------------------------------------

Values = Mapping[str, object]
"""A row to be written: its values by column name."""


class BulkWrite:
    """One statement for many rows, each of which has the same columns.

    Its text is made of the names of our own tables and columns; every value is a parameter.
    SQLite runs it row by row inside the process; PostgreSQL gets one array a column, once.
    """

    def __init__(self, table: Table, names: Iterable[str]) -> None:
        self.table = table
        self._columns = [table.c[name] for name in names]
        self.width = len(self._columns)
        self._compiled: dict[str, tuple[str, list[tuple[str, Convert | None]]]] = {}

    async def run(self, tx: Tx, rows: Sequence[Values]) -> None:
        """Write the rows. LostRace when a key has appeared since the caller looked for it."""
        if rows:
            await self._run(tx, [_column(rows, *one) for one in self._for_engine(tx)[1]])

    async def run_columns(self, tx: Tx, columns: Sequence[Sequence[object]]) -> None:
        """The same for values that come by column, in the order of the names."""
        converted = [
            list(values) if convert is None else [convert(one) for one in values]
            for values, (_, convert) in zip(columns, self._for_engine(tx)[1], strict=True)
        ]
        await self._run(tx, converted)

    async def _run(self, tx: Tx, columns: Sequence[Sequence[Any]]) -> None:
        text, _ = self._for_engine(tx)
        try:
            if tx.dialect.name == "sqlite":
                _run_for_all(tx, text, columns)
            else:
                await _fetch(tx, text, columns)
        except DuplicateKey as error:
            raise LostRace(str(error)) from error

    def _for_engine(self, tx: Tx) -> tuple[str, list[tuple[str, Convert | None]]]:
        """The statement's text for the engine of this transaction, and its columns."""
        compiled = self._compiled.get(tx.dialect.name)
        if compiled is None:
            compiled = self._compiled[tx.dialect.name] = self._compile(tx.dialect)
        return compiled

    def _compile(self, dialect: Dialect) -> tuple[str, list[tuple[str, Convert | None]]]:
        text = self._by_row() if dialect.name == "sqlite" else self.by_column(dialect)
        return text, [
            (one.name, one.type.dialect_impl(dialect).bind_processor(dialect))
            for one in self._columns
        ]

    def arrays(self, tx: Tx, rows: Sequence[Values]) -> list[list[Any]]:
        """The rows as PostgreSQL gets them, an array a column."""
        _, columns = self._for_engine(tx)
        return [_column(rows, *one) for one in columns]

    def _by_row(self) -> str:
        raise NotImplementedError

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        """PostgreSQL's text of the statement; its parameters are numbered from `first` on."""
        raise NotImplementedError

    def _unnest(self, dialect: Dialect, first: int) -> str:
        kinds = (one.type.dialect_impl(dialect).compile(dialect) for one in self._columns)
        return ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(kinds, start=first))


class BulkInsert(BulkWrite):
    """Inserts rows whose keys the caller found to be new; LostRace when one is not any more."""

    def _by_row(self) -> str:
        marks = ", ".join("?" for _ in self._columns)
        return f"INSERT INTO {self.table.name} ({self._names}) VALUES ({marks})"  # noqa: S608  ours

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        return (
            f"INSERT INTO {self.table.name} ({self._names}) "  # noqa: S608  ours
            f"SELECT * FROM unnest({self._unnest(dialect, first)})"
        )

    @property
    def _names(self) -> str:
        return ", ".join(f'"{one.name}"' for one in self._columns)


class BulkInsertOnce(BulkInsert):
    """Inserts the rows whose key is not there yet, and answers the keys of the new ones.

    Rows are inserted in key order, so that two writers of the same rows cannot deadlock.
    """

    def __init__(self, table: Table, key: str, names: Iterable[str]) -> None:
        super().__init__(table, names)
        self._key = key

    async def insert_new(self, tx: Tx, rows: Sequence[Values]) -> set[str]:
        if not rows:
            return set()
        ordered = sorted(rows, key=lambda row: str(row[self._key]))
        text, columns = self._for_engine(tx)
        if tx.dialect.name == "sqlite":
            counts = _run_for_each(tx, text, [_values(row, columns) for row in ordered])
            return {
                str(row[self._key]) for row, count in zip(ordered, counts, strict=True) if count
            }
        found = await _fetch(tx, text, [_column(ordered, *one) for one in columns])
        return {key for (key,) in found}

    def _by_row(self) -> str:
        return f"{super()._by_row()} ON CONFLICT ({self._key}) DO NOTHING"

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        once = f"ON CONFLICT ({self._key}) DO NOTHING RETURNING {self._key}"
        return f"{super().by_column(dialect, first)} {once}"


class BulkUpdate(BulkWrite):
    """Overwrites columns of the rows that a key names; every row gives the key and all columns."""

    def __init__(self, table: Table, key: str, names: Iterable[str]) -> None:
        self._set = list(names)
        super().__init__(table, [*self._set, key])
        self._key = key

    def _by_row(self) -> str:
        settings = ", ".join(f'"{name}" = ?' for name in self._set)
        return f"UPDATE {self.table.name} SET {settings} WHERE {self._key} = ?"  # noqa: S608  ours

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        settings = ", ".join(f'"{name}" = given."{name}"' for name in self._set)
        names = ", ".join(f'"{one.name}"' for one in self._columns)
        return (
            f"UPDATE {self.table.name} AS old SET {settings} "  # noqa: S608  ours
            f"FROM unnest({self._unnest(dialect, first)}) AS given ({names}) "
            f"WHERE old.{self._key} = given.{self._key}"
        )


class BulkDelete(BulkWrite):
    """Deletes the rows that a key names."""

    def __init__(self, table: Table, key: str) -> None:
        super().__init__(table, [key])
        self._key = key

    def _by_row(self) -> str:
        return f"DELETE FROM {self.table.name} WHERE {self._key} = ?"  # noqa: S608  ours

    def by_column(self, dialect: Dialect, first: int = 1) -> str:
        keys = self._unnest(dialect, first)
        return f"DELETE FROM {self.table.name} WHERE {self._key} = ANY ({keys})"  # noqa: S608  ours


# --- rows of several tables ---------------------------------------------------------------------

TableWrite = tuple[BulkWrite, Sequence[Values]]
"""A statement and the rows that it writes."""


async def write_all(tx: Tx, writes: Iterable[TableWrite]) -> None:
    """Write rows of several tables, in this order. LostRace as `BulkWrite.run` says.

    PostgreSQL gets them in one statement, for each costs a round trip; only where a table comes
    twice it gets a second, since the parts of one statement are carried out in no certain order.
    """
    pending = [one for one in writes if one[1]]
    while pending:
        together = _of_different_tables(pending) if tx.dialect.name != "sqlite" else pending[:1]
        pending = pending[len(together) :]
        if len(together) == 1:
            statement, rows = together[0]
            await statement.run(tx, rows)
        else:
            await _run_together(tx, together)


def _of_different_tables(writes: Sequence[TableWrite]) -> list[TableWrite]:
    """The first of the writes, up to the one whose table has come already."""
    found: list[TableWrite] = []
    for one in writes:
        if any(one[0].table is earlier.table for earlier, _ in found):
            break
        found.append(one)
    return found


async def _run_together(tx: Tx, writes: Sequence[TableWrite]) -> None:
    statements = tuple(statement for statement, _ in writes)
    if statements not in _together:
        _together[statements] = _text_of_all(tx.dialect, statements)
    arrays = [array for statement, rows in writes for array in statement.arrays(tx, rows)]
    try:
        await _fetch(tx, _together[statements], arrays)
    except DuplicateKey as error:
        raise LostRace(str(error)) from error


# PostgreSQL's texts of the statements that are sent together: a handful.
_together: dict[tuple[BulkWrite, ...], str] = {}


def _text_of_all(dialect: Dialect, statements: Sequence[BulkWrite]) -> str:
    texts, first = [], 1
    for one in statements:
        texts.append(one.by_column(dialect, first))
        first += one.width
    *before, last = texts
    return f"WITH {', '.join(f'w{n} AS ({text})' for n, text in enumerate(before))} {last}"


def _values(row: Values, columns: Sequence[tuple[str, Convert | None]]) -> tuple[Any, ...]:
    return tuple(
        [row[name] if convert is None else convert(row[name]) for name, convert in columns]
    )


def _column(rows: Sequence[Values], name: str, convert: Convert | None) -> list[Any]:
    if convert is None:
        return [row[name] for row in rows]
    return [convert(row[name]) for row in rows]


# --- the driver of the open transaction --------------------------------------------------------


def _run_for_all(tx: Tx, text: str, columns: Sequence[Sequence[Any]]) -> None:
    """Runs a statement on SQLite for all rows in one call, when no row's count is asked for."""
    connection = _connection(tx)
    rows = list(zip(*columns, strict=True))
    with _Execution(connection, text, rows, is_many=True):
        _sqlite(connection).executemany(text, rows)


def _run_for_each(tx: Tx, text: str, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """Runs a statement on SQLite once for each row; answers how many rows each run touched."""
    connection = _connection(tx)
    with _Execution(connection, text, rows, is_many=True):
        execute = _sqlite(connection).cursor().execute
        return [execute(text, row).rowcount for row in rows]


async def _fetch(tx: Tx, text: str, parameters: Sequence[Any]) -> Sequence[Any]:
    """The rows of a statement. SQLite's are read in place: there is nobody to wait for."""
    if not tx.in_transaction():  # SQLAlchemy begins with the first statement that it sees
        await tx.begin()
    connection = _connection(tx)
    with _Execution(connection, text, parameters):
        if tx.dialect.name == "sqlite":
            return _sqlite(connection).execute(text, parameters).fetchall()
        return await _fetch_from_postgres(tx, connection, text, parameters)


async def _fetch_from_postgres(
    tx: Tx, connection: Connection, text: str, parameters: Sequence[Any]
) -> Sequence[Any]:
    driver: Any = connection.connection.driver_connection
    if driver.is_closed():
        await tx.invalidate()
        raise ConnectionError("the connection to the database is closed")
    try:
        if not driver.is_in_transaction():
            await _begin(connection)
        rows: Sequence[Any] = await (await _prepare(driver, text)).fetch(*parameters)
    except BaseException as error:
        if _has_broken(driver, error):
            # SQLAlchemy's pool must not lend this connection again. It is not closed in peace,
            # for that would wait for the same silent server.
            driver.terminate()
            await tx.invalidate()
        raise
    return rows


def _has_broken(driver: Any, error: BaseException) -> bool:
    """Whether the connection is of no more use: it ended without an answer of the server's."""
    is_answer = getattr(error, "sqlstate", None) is not None or is_wrong_value(error)
    return not is_answer or driver.is_closed()


class _Execution:
    """Tells SQLAlchemy's listeners of a statement, and translates what the driver raises."""

    def __init__(
        self, connection: Connection, text: str, parameters: Any, *, is_many: bool = False
    ) -> None:
        self._connection = connection
        self._told = (None, text, parameters, self, is_many)

    def __enter__(self) -> None:
        dispatch: Any = self._connection.dispatch
        if dispatch.before_cursor_execute:
            dispatch.before_cursor_execute(self._connection, *self._told)
        if self._connection._echo:
            self._connection._log_info(self._told[1])

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            self._raise(error)
        dispatch: Any = self._connection.dispatch
        if dispatch.after_cursor_execute:
            dispatch.after_cursor_execute(self._connection, *self._told)

    def _raise(self, error: BaseException) -> NoReturn:
        if isinstance(error, Exception):
            raise translated(error) from error
        raise error


async def _prepare(driver: Any, text: str) -> Any:
    """The connection's prepared statement of this text; our texts are few, so all are kept."""
    statements = _prepared.setdefault(driver, {})
    if text not in statements:
        statements[text] = await driver.prepare(text)
    return statements[text]


# The statements that each PostgreSQL connection has prepared; they go with the connection.
_prepared: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


async def _begin(connection: Connection) -> None:
    """SQLAlchemy sends BEGIN with the first statement of its own; here there may be none."""
    adapted: Any = connection.connection.dbapi_connection
    await adapted._start_transaction()


def _connection(tx: Tx) -> Connection:
    connection = tx.sync_connection
    assert connection is not None, "a transaction is open"
    return connection


def _sqlite(connection: Connection) -> sqlite3.Connection:
    driver: Any = connection.connection.driver_connection
    raw: sqlite3.Connection = driver._conn
    return raw
