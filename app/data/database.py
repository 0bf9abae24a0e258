"""The one database, in one of two engines. The only module that knows there are two.

SQLite: one writer connection, several readers, `BEGIN IMMEDIATE`, and a lock file beside the
database that puts the writers of several processes in turn. The lock file also keeps two
processes from writing and checkpointing at once, which corrupts a WAL before SQLite 3.51.3.
PostgreSQL: a pool; row locks order the writers.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlalchemy import Row, Table, event, insert, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    ProgrammingError,
    TimeoutError as PoolTimeout,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.elements import ColumnElement

from app.data.sqlite import connector
from app.errors import ConfigurationError, DatabaseUnavailable


class LostRace(Exception):
    """Another node did the same first. The transaction is run again and sees what it wrote."""


Record = Row[*tuple[Any, ...]]
"""One row of an answer."""

Tx = AsyncConnection
"""An open transaction. Whoever starts the work opens it; nobody inside commits or rolls back."""

T = TypeVar("T")

# A race is won the second time, unless many nodes want the same rows all the time.
RACES_MAX = 5
# A caller is told within five seconds that the database is away; each wait below stays under that.
WAIT_S = 4.0
READERS = 4
# Two pools: however much is read, a webhook's commit finds a connection.
POSTGRES_CONNECTIONS = 6
POSTGRES_READERS = 6
# How many transactions of webhooks are under way at once.
POSTGRES_WRITERS = 2
# A writer finds its rows by keys. One plan for all values saves a third of the server's work; that
# it never reads a whole table keeps the plan right when a small table has grown.
_PLANS_OF_WRITERS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}
# A reader's filters say what the best plan is: a new one each time.
_PLANS_OF_READERS = {
    "plan_cache_mode": "force_custom_plan",
    "default_transaction_read_only": "on",
    "jit": "off",
}
_LOCK_POLL_S = 0.002
# SQLSTATE classes that blame the statement or its values. All others blame the place.
_OUR_FAULT = ("22", "23", "42")
# 23503: a record that was there when we looked is deleted; looking again says which.
_TRY_AGAIN = frozenset({"40001", "40P01", "23503"})


class Database:
    """Opens transactions and snapshots. Closes with `close()`."""

    def __init__(self, url: str) -> None:
        self.url = normalized(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # How many transactions of one process may write at once without waiting for each other.
        self.writers = 1 if self.is_sqlite else POSTGRES_WRITERS
        if self.is_sqlite:
            self._turns: _Turns | None = _Turns(_file(self.url))
            self._writer = _sqlite_engine(self.url, writes=True)
            self._reader = _sqlite_engine(self.url, writes=False)
        else:
            self._turns = None
            self._writer = _postgres_engine(self.url, POSTGRES_CONNECTIONS, _PLANS_OF_WRITERS)
            self._reader = _postgres_engine(
                self.url, POSTGRES_READERS, _PLANS_OF_READERS, isolation_level="REPEATABLE READ"
            )

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Everything inside becomes durable together, or DatabaseUnavailable and nothing does."""
        async with self._turn(), _explained(), self._writer.begin() as tx:
            yield tx

    async def decided(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """What `work` answers in a transaction of its own, run again when it lost a race."""
        for race in range(RACES_MAX + 1):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except Exception as error:
                if race == RACES_MAX or not is_worth_retrying(error):
                    raise
        raise AssertionError("the last race either ends or raises")

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Tx]:
        """Reading only: every statement sees the same moment, so no record is seen by halves."""
        async with _explained(), self._reader.connect() as tx:
            yield tx

    def _turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        return self._turns.turn() if self._turns else contextlib.nullcontext()

    async def close(self) -> None:
        await self._reader.dispose()
        if self._turns:
            async with self._turns.turn():  # the last connection to close writes a checkpoint
                await self._writer.dispose()
            self._turns.close()
        else:
            await self._writer.dispose()


async def clock(tx: Tx) -> datetime:
    """The database's own time: one clock for every node."""
    if tx.dialect.name == "sqlite":
        return datetime.now(UTC)
    found = await tx.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(found, datetime)
    return found.astimezone(UTC)


async def insert_once(
    tx: Tx,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[ColumnElement[Any]],
    returning: Sequence[ColumnElement[Any]],
) -> Sequence[Record]:
    """Insert the rows whose key is not there yet; answer the new ones only."""
    statement = _insert_once(tx.dialect.name, table, tuple(key), tuple(returning))
    return (await tx.execute(statement, list(rows))).all()


@lru_cache(maxsize=64)
def _insert_once(
    dialect: str,
    table: Table,
    key: tuple[ColumnElement[Any], ...],
    returning: tuple[ColumnElement[Any], ...],
) -> Any:
    """Built once for each use: building costs more than running it."""
    return (
        insert_of(dialect)(table).on_conflict_do_nothing(index_elements=key).returning(*returning)
    )


async def upsert(
    tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]], *, key: Iterable[ColumnElement[Any]]
) -> None:
    """Insert the rows, or overwrite all given columns of those whose key is there."""
    statement = insert_of(tx.dialect.name)(table)
    keys = list(key)
    names = {column.key for column in keys}
    given = {name: statement.excluded[name] for name in rows[0] if name not in names}
    await tx.execute(statement.on_conflict_do_update(index_elements=keys, set_=given), list(rows))


def insert_of(dialect: str) -> Callable[[Table], Any]:
    """An engine's own INSERT: the two spell ON CONFLICT alike, but SQLAlchemy has one of each."""
    return sqlite.insert if dialect == "sqlite" else postgresql.insert


async def insert_many(tx: Tx, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await tx.execute(insert(table), list(rows))


def normalized(url: str) -> URL:
    """The URL with the asynchronous driver that we use for its engine."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except Exception as error:
        raise ConfigurationError(f"PAYDUE_DATABASE_URL is not a database URL: {error}") from None
    match backend:
        case "sqlite":
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+asyncpg")
        case _:
            raise ConfigurationError(
                f"PAYDUE_DATABASE_URL names {backend!r}; sqlite and postgresql are supported"
            )


def is_duplicate(error: BaseException) -> bool:
    """Whether a unique key was there already, as either driver says it."""
    return (
        _sqlstate(error) == "23505"
        or getattr(error, "sqlite_errorname", "") in _SQLITE_DUPLICATE
        or getattr(getattr(error, "orig", None), "sqlite_errorname", "") in _SQLITE_DUPLICATE
    )


_SQLITE_DUPLICATE = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")


def is_worth_retrying(error: BaseException) -> bool:
    """Whether the transaction lost a race that the database itself broke up."""
    return isinstance(error, LostRace) or _sqlstate(error) in _TRY_AGAIN


@contextlib.asynccontextmanager
async def _explained() -> AsyncIterator[None]:
    """Turns a failure of the place into DatabaseUnavailable; our own faults pass as they are."""
    try:
        yield
    except (IntegrityError, DataError, ProgrammingError, *_SQLITE_OURS):
        raise
    except (PoolTimeout, TimeoutError, OSError, sqlite3.Error) as error:
        raise DatabaseUnavailable(_reason(error)) from error
    except Exception as error:
        if not _is_of_the_place(error):
            raise
        raise DatabaseUnavailable(_reason(getattr(error, "orig", None) or error)) from error


_SQLITE_OURS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)


def _is_of_the_place(error: Exception) -> bool:
    """Whether the database, not our statement, is at fault: wrapped, or as asyncpg says it."""
    if is_worth_retrying(error) or (_sqlstate(error) or "").startswith(_OUR_FAULT):
        return False
    return isinstance(error, DBAPIError) or type(error).__module__.startswith(_DRIVERS)


_DRIVERS = ("asyncpg", "sqlalchemy.dialects.postgresql")


def _sqlstate(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def _reason(error: BaseException) -> str:
    said = str(error).strip() or type(error).__name__
    said = said.removeprefix("<class 'asyncpg.exceptions.").splitlines()[0]
    return f"the database cannot be used now: {said}"


def _file(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise ConfigurationError("PAYDUE_DATABASE_URL must name a file: sqlite:///paydue.db")
    return Path(url.database)


def _sqlite_engine(url: URL, *, writes: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=1 if writes else READERS,
        max_overflow=0,
        pool_timeout=WAIT_S,
        connect_args={
            "async_creator_fn": connector(_file(url), WAIT_S, writes=writes),
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configured(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-65536")  # KiB
        cursor.execute("PRAGMA wal_autocheckpoint=4000")  # pages: fewer, longer checkpoints
        if not writes:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres_engine(url: URL, size: int, options: Mapping[str, str], **more: Any) -> AsyncEngine:
    try:
        engine = create_async_engine(
            url,
            pool_size=size,
            max_overflow=0,
            pool_timeout=WAIT_S,
            pool_use_lifo=True,
            connect_args={
                "timeout": WAIT_S,
                "command_timeout": WAIT_S,
                "server_settings": dict(options),
            },
            **more,
        )
    except ModuleNotFoundError:
        raise ConfigurationError(
            "PostgreSQL needs one more package: pip install '.[postgres]'"
        ) from None
    event.listen(engine.sync_engine, "checkout", _alive)
    return engine


def _alive(connection: Any, *_: Any) -> None:
    """A connection that the server has closed meanwhile is not lent; a new one takes its place."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


class _Turns:
    """One writer at a time: first come, first served inside the process, a lock file between."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + "-lock")
        self._file: IO[bytes] | None = None
        self._inside = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with _soon(self._inside):
            await self._take()
            try:
                yield
            finally:
                self._give()

    async def _take(self) -> None:
        import fcntl

        deadline = asyncio.get_running_loop().time() + WAIT_S
        while True:
            try:
                fcntl.flock(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() > deadline:
                    raise DatabaseUnavailable("another process keeps the database busy") from None
                await asyncio.sleep(_LOCK_POLL_S)
            except OSError as error:
                raise DatabaseUnavailable(f"{self._path}: {error.strerror}") from error
            else:
                return

    def _give(self) -> None:
        import fcntl

        if self._file:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
        return self._file

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


@contextlib.asynccontextmanager
async def _soon(lock: asyncio.Lock) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(WAIT_S):
            await lock.acquire()
    except TimeoutError:
        raise DatabaseUnavailable("too many writers are waiting for the database") from None
    try:
        yield
    finally:
        lock.release()
