"""The driver of the open transaction gets a statement's text and plain tuples.

SQLite answers in place. What SQLAlchemy would do around it is done here: the transaction begins
with its first statement, listeners hear of it, and the driver's errors are translated.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Connection

from app.storage.driver_errors import is_wrong_value, translated
from app.storage.engines import Tx


def run_for_all(tx: Tx, text: str, columns: Sequence[Sequence[Any]]) -> None:
    """Runs a statement on SQLite for all rows in one call, when no row's count is asked for."""
    connection = _connection(tx)
    rows = list(zip(*columns, strict=True))
    with _Execution(connection, text, rows, is_many=True):
        _sqlite(connection).executemany(text, rows)


def run_for_each(tx: Tx, text: str, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """Runs a statement on SQLite once for each row; answers how many rows each run touched."""
    connection = _connection(tx)
    with _Execution(connection, text, rows, is_many=True):
        execute = _sqlite(connection).cursor().execute
        return [execute(text, row).rowcount for row in rows]


async def fetch(tx: Tx, text: str, parameters: Sequence[Any]) -> Sequence[Any]:
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
