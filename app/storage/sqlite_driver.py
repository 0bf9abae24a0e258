"""SQLite as Paydue drives it: aiosqlite with fewer thread hops, and writers that take turns.

Plain aiosqlite hops four times a statement: cursor, execute, fetch, close. A hop costs ten times
what a small statement costs, and more while the loop is busy. Here a statement hops once; and a
write transaction, which has the database to itself and holds nothing but short statements, hops
only for the commit, for that waits for the disk.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO, Any

from aiosqlite.core import Connection
from aiosqlite.cursor import Cursor

from app.errors import DatabaseRefused, DatabaseUnavailable
from app.storage.driver_errors import needs_a_person

# aiosqlite's default number of rows a chunk; nothing of ours reads in chunks.
_CHUNK = 64
_POLL_S = 0.002
# Steps of SQLite's machine between two looks at the clock, a millisecond or two: each look waits
# for Python's lock.
_STEPS = 100_000


class ReaderCursor(Cursor):
    """Executes and fetches in one go; closing is left to the garbage collector."""

    _conn: "ReaderConnection"
    _rows: list[Any]

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> "ReaderCursor":
        arguments = (sql,) if parameters is None else (sql, parameters)
        limit_s = self._conn.statement_limit_s
        # aiosqlite gives this method of its own no types; what it answers is what `_fetched` does.
        self._rows = await self._execute(_fetched, self._cursor, arguments, limit_s)  # type: ignore[no-untyped-call]
        return self

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        self._cursor.close()


class ReaderConnection(Connection):
    """A connection for readers. Neither the begin nor the end of a snapshot takes a hop."""

    # Seconds that one statement may take; None is no limit.
    statement_limit_s: float | None = None

    def begin(self) -> None:
        """Begin a snapshot. A deferred BEGIN reads no file; the first SELECT does, in its hop."""
        self._conn.execute("BEGIN")

    async def rollback(self) -> None:
        self._conn.rollback()

    def cursor(self) -> Any:
        return ReaderCursor(self, self._conn.cursor())


class InlineWriterConnection(ReaderConnection):
    """A connection for the writer: its statements run in the event loop, only the commit hops.

    It never waits inside SQLite for another writer, for that would stop the loop: BEGIN is tried
    again instead. None of its statements is interrupted after a time: SQLite would roll back all
    that came before it, and commit one by one what follows (sqlite.org/c3ref/interrupt.html).
    """

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        conn = self._conn
        if fn in (conn.commit, conn.close):
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        if conn.in_transaction:
            return fn(*args, **kwargs)
        return await self._without_waiting(partial(fn, *args, **kwargs))

    async def _without_waiting(self, begin: Callable[[], Any]) -> Any:
        deadline = asyncio.get_running_loop().time() + self.patience
        while True:
            try:
                return begin()
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(_POLL_S)

    patience = 0.0


def connection_factory(
    path: Path, patience: float, *, writes: bool
) -> Callable[..., ReaderConnection]:
    """The factory of connections for SQLAlchemy; `patience` is in seconds."""

    def connect(*_: Any, **__: Any) -> ReaderConnection:
        opened = partial(
            _open_private,
            path,
            timeout=0 if writes else patience,
            isolation_level=None,
            check_same_thread=False,
        )
        made: ReaderConnection
        if writes:
            made = InlineWriterConnection(opened, _CHUNK)
            made.patience = patience
        else:
            made = ReaderConnection(opened, _CHUNK)
        made._thread.daemon = True
        return made

    return connect


# Files that SQLite keeps beside a database.
SIDE_FILES = ("-wal", "-shm", "-journal")
# Payments and people's addresses are in the files, and whoever may open the lock file can hold it.
_OWNER_ONLY = 0o600


def _open_private(path: Path, **options: Any) -> sqlite3.Connection:
    """Open the database; a new file is its owner's only, and SQLite makes those beside it alike.

    A file that is there is never opened here: closing it would give up every lock that SQLite holds
    on it in this process, and another's commits would be lost (sqlite.org/howtocorrupt.html, 2.2).
    """
    with contextlib.suppress(OSError):  # it is there, or SQLite says what is wrong with the path
        create_private(path)
    opened: sqlite3.Connection = sqlite3.connect(path, **options)
    return opened


def create_private(path: Path) -> None:
    """Make an empty file that is its owner's only, or OSError: it is there, or cannot be made."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY))


def _fetched(
    cursor: sqlite3.Cursor, arguments: tuple[Any, ...], limit_s: float | None
) -> list[Any]:
    if limit_s is None:
        return _rows(cursor, arguments)
    deadline = time.monotonic() + limit_s
    connection = cursor.connection
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        return _rows(cursor, arguments)
    finally:
        connection.set_progress_handler(None, 0)


def _rows(cursor: sqlite3.Cursor, arguments: tuple[Any, ...]) -> list[Any]:
    cursor.execute(*arguments)
    return cursor.fetchall() if cursor.description else []


class WriterLock:
    """One writer at a time: first come, first served inside the process, lock files between.

    Who waits holds the place in the queue, so a process that writes again and again lets another
    one in between.
    """

    def __init__(self, database: Path) -> None:
        self._queue = _LockFile(database.with_name(database.name + "-queue"))
        self._turn = _LockFile(database.with_name(database.name + "-lock"))
        self._inside = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def hold(self, patience_s: float) -> AsyncIterator[None]:
        async with _hold_within(self._inside, patience_s):
            deadline = asyncio.get_running_loop().time() + patience_s
            await _until_taken(self._queue, deadline)
            try:
                await _until_taken(self._turn, deadline)
            finally:
                self._queue.give()
            try:
                yield
            finally:
                self._turn.give()

    def close(self) -> None:
        self._queue.close()
        self._turn.close()


class _LockFile:
    """A file that one process at a time has locked. It is made when it is locked first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def try_take(self) -> bool:
        """Whether this process has it now; DatabaseUnavailable where there can be no such file."""
        import fcntl

        try:
            fcntl.flock(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            fault = DatabaseRefused if needs_a_person(error) else DatabaseUnavailable
            raise fault(f"{self._path}: {error.strerror}") from error
        return True

    def give(self) -> None:
        import fcntl

        if self._file:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _open(self) -> IO[bytes]:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._path, flags, _OWNER_ONLY), "ab")
        return self._file


async def _until_taken(file: _LockFile, deadline: float) -> None:
    while not file.try_take():
        if asyncio.get_running_loop().time() > deadline:
            raise DatabaseUnavailable("another process keeps the database busy")
        await asyncio.sleep(_POLL_S)


@contextlib.asynccontextmanager
async def _hold_within(lock: asyncio.Lock, patience_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(patience_s):
            await lock.acquire()
    except TimeoutError:
        raise DatabaseUnavailable("too many writers are waiting for the database") from None
    try:
        yield
    finally:
        lock.release()
