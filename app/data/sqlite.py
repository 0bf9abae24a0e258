"""aiosqlite with fewer hops between the event loop and its thread.

Plain aiosqlite hops four times a statement: cursor, execute, fetch, close. A hop costs ten times
what a small statement costs. Here a statement hops once; and inside a write transaction, which has
the database to itself and holds nothing but short statements, only the commit hops, for it waits
for the disk.
"""

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from aiosqlite.core import Connection
from aiosqlite.cursor import Cursor

# aiosqlite's default number of rows a chunk; nothing of ours reads in chunks.
_CHUNK = 64


class OneHopCursor(Cursor):
    """Executes and fetches in one go; closing is left to the garbage collector."""

    _rows: list[Any]

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> "OneHopCursor":
        arguments = (sql,) if parameters is None else (sql, parameters)
        self._rows = await self._execute(_fetched, self._cursor, arguments)  # type: ignore[no-untyped-call]
        return self

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        self._cursor.close()


class OneHop(Connection):
    """A connection for readers."""

    def cursor(self) -> Any:
        return OneHopCursor(self, self._conn.cursor())


class InPlace(OneHop):
    """A connection for the writer: inside its transaction, statements run in the event loop."""

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        conn = self._conn
        if conn.in_transaction and fn not in (conn.commit, conn.rollback, conn.close):
            return fn(*args, **kwargs)
        return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]


def connector(path: Path, kind: type[OneHop], timeout: float) -> Callable[..., OneHop]:
    """What SQLAlchemy calls to make a connection of this kind."""

    def connect(*_: Any, **__: Any) -> OneHop:
        opened = partial(
            sqlite3.connect, path, timeout=timeout, isolation_level=None, check_same_thread=False
        )
        made = kind(opened, _CHUNK)
        made._thread.daemon = True
        return made

    return connect


def _fetched(cursor: sqlite3.Cursor, arguments: tuple[Any, ...]) -> list[Any]:
    cursor.execute(*arguments)
    return cursor.fetchall() if cursor.description else []
