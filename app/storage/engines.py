"""The one database, in one of two engines. The only module that knows there are two.

SQLite: one writer connection, several readers, `BEGIN IMMEDIATE`, and a lock file beside the
database that puts the writers of several processes in turn. The lock file also keeps two
processes from writing and checkpointing at once, which corrupts a WAL before SQLite 3.51.3.
PostgreSQL: a pool; row locks order the writers.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from prometheus_client import Gauge
from sqlalchemy import Row, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DisconnectionError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.errors import ConfigurationError, DatabaseUnavailable
from app.storage.driver_errors import (
    CONNECTION_ERRORS,
    LostRace,
    translate_for_sqlalchemy,
    translated,
)
from app.storage.postgres_hosts import hosts_as_options, primary_of
from app.storage.postgres_tls import encryption_of, transport_security
from app.storage.sqlite_driver import ReaderConnection, WriterLock, connection_factory

Record = Row[*tuple[Any, ...]]
"""One row of an answer."""

Tx = AsyncConnection
"""An open transaction. Whoever starts the work opens it; nobody inside commits or rolls back."""

T = TypeVar("T")

IN_USE = Gauge(
    "paydue_database_connections_in_use",
    "Connections that a pool has lent.",
    ["pool"],
    multiprocess_mode="livesum",
)

# A race is won the second time, unless many nodes want the same rows all the time.
RACES_MAX = 5
# A caller is told within five seconds that the database is away; each wait below stays under that.
WAIT_S = 4.0
# A record that somebody else holds is waited for a little less, so that the server's own error
# comes, which spares the connection and says that only this record is not to be had.
LOCK_WAIT_S = 3.0
# A statement that reads for a caller is given up after so long; on PostgreSQL every reader's is,
# by the server, a little before the driver would leave the connection for lost.
STATEMENT_S = 3.5
# Nothing slow happens inside a transaction: one that says nothing for so long belongs to a host
# that is frozen or gone, and the server ends it, with all its locks. A reader holds none, but it
# keeps the server from clearing away old rows.
WRITER_SILENT_S = 10
READER_SILENT_S = 300
# The database's time is asked for so often; in between the host's monotonic clock counts on.
CLOCK_LASTS_S = 30.0
READERS = 4
# Two pools: however much is read, a webhook's commit finds a connection.
POSTGRES_CONNECTIONS = 6
POSTGRES_READERS = 6
# How many transactions of webhooks are under way at once.
POSTGRES_WRITERS = 2
# How many of the API's requests write at once; the others are for jobs and their charges.
CLIENTS_WRITERS = 2
# A writer finds its rows by keys. One plan for all values saves a third of the server's work; that
# it never reads a whole table keeps the plan right when a small table has grown.
_WRITERS = {
    "lock_timeout": f"{LOCK_WAIT_S:.0f}s",
    "idle_in_transaction_session_timeout": f"{WRITER_SILENT_S}s",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}
# A migration rewrites whole tables, and a node that starts waits for another's to end.
MIGRATION_S = 600.0
_MIGRATIONS = {"idle_in_transaction_session_timeout": f"{MIGRATION_S:.0f}s"}
# A reader's filters say what the best plan is: a new one each time.
_READERS = {
    "lock_timeout": f"{LOCK_WAIT_S:.0f}s",
    "statement_timeout": f"{STATEMENT_S * 1000:.0f}ms",
    "idle_in_transaction_session_timeout": f"{READER_SILENT_S}s",
    "plan_cache_mode": "force_custom_plan",
    "default_transaction_read_only": "on",
    "jit": "off",
}


# In one message of the simple protocol, for a pooler keeps no prepared statement.
_FIND_PROBE = """
DO $$ BEGIN
    IF current_setting('paydue.probe', true) = 'set' THEN RAISE EXCEPTION 'shared'; END IF;
END $$
"""
_RAISED = "P0001"


class DatabaseClock:
    """The database's time, one clock for all its nodes, without a question for every reading.

    A host's own clock may be an hour ahead: a lease that it writes by that clock would outlive it
    by an hour. SQLite has no other clock than its host's.
    """

    def __init__(self, host_time: Callable[[], datetime]) -> None:
        self._host_time = host_time
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        if self._known is None:
            return self._host_time()
        at, then = self._known
        return at + timedelta(seconds=time.monotonic() - then)

    def is_stale(self) -> bool:
        return self._known is None or time.monotonic() - self._known[1] > CLOCK_LASTS_S

    def set(self, at: datetime, then: float) -> None:
        """The database's time, and the host's monotonic time when it was asked for."""
        self._known = at, then


def _host_time() -> datetime:
    return datetime.now(UTC)


class Database:
    """Opens transactions and snapshots. Closes with `close()`."""

    def __init__(self, url: str, host_time: Callable[[], datetime] = _host_time) -> None:
        self.url = normalize_url(url)
        self._clock = DatabaseClock(host_time)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        # How many transactions of one process may write at once without waiting for each other.
        self.writers = 1 if self.is_sqlite else POSTGRES_WRITERS
        if self.is_sqlite:
            self._lock: WriterLock | None = WriterLock(_file(self.url))
            self._clients_turn = asyncio.Semaphore(1)
            self._writer = _sqlite_engine(self.url, writes=True)
            self._reader = _sqlite_engine(self.url, writes=False)
            self._by_key = _sqlite_engine(self.url, writes=False, size=1)
        else:
            self._lock = None
            self._clients_turn = asyncio.Semaphore(CLIENTS_WRITERS)
            self._writer = _postgres_engine(self.url, POSTGRES_CONNECTIONS, _WRITERS)
            self._reader = _postgres_engine(
                self.url, POSTGRES_READERS, _READERS, isolation_level="REPEATABLE READ"
            )
            self._by_key = _postgres_engine(self.url, 1, _READERS)
        for name in ("writer", "reader", "by_key"):
            _count_lent(getattr(self, f"_{name}"), name)

    def expect_file(self, *, create: bool) -> None:
        """Raises ConfigurationError, with the mend, where SQLite's file or folder is missing."""
        if not self.is_sqlite:
            return
        file = _file(self.url).absolute()
        if not file.parent.is_dir():
            raise ConfigurationError(
                f"PAYDUE_DATABASE_URL: there is no folder {file.parent}; make it, or name another"
            )
        if not create and not file.exists():
            raise ConfigurationError(
                f"there is no database at {file}; go to its folder, or let "
                "PAYDUE_DATABASE_URL name it, or make a new one with: paydue db init"
            )

    def now(self) -> datetime:
        """The time of the one clock that all nodes share: leases are reckoned by it."""
        return self._clock.now()

    async def _set_clock(self, tx: Tx) -> None:
        if not self.is_sqlite and self._clock.is_stale():
            then = time.monotonic()  # before the question: a slow answer puts nobody behind
            self._clock.set(await database_time(tx), then)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Everything inside becomes durable together, or DatabaseUnavailable and nothing does."""
        async with self._turn():
            try:
                async with self._writer.begin() as tx:
                    await self._set_clock(tx)
                    yield tx
            except CONNECTION_ERRORS as error:
                raise translated(error) from error

    @contextlib.asynccontextmanager
    async def migration(self) -> AsyncIterator[Tx]:
        """A transaction whose statements may take long, and which waits long for its turn.

        On PostgreSQL it has a connection of its own, for the limit of a statement is the driver's.
        """
        async with self._turn(MIGRATION_S):
            engine = self._writer if self.is_sqlite else _migration_engine(self.url)
            try:
                async with engine.begin() as tx:
                    yield tx
            except CONNECTION_ERRORS as error:
                raise translated(error) from error
            finally:
                if engine is not self._writer:
                    await engine.dispose()

    @contextlib.asynccontextmanager
    async def clients_turn(self) -> AsyncIterator[None]:
        """Held by a request of the API while it writes, so that the money path waits for few.

        On SQLite for one at most, and on PostgreSQL there is always a connection for it.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                await self._clients_turn.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("too many writers are waiting for the database") from None
        try:
            yield
        finally:
            self._clients_turn.release()

    async def with_retry(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `work` in a transaction of its own, again when it lost a race; answer its result."""
        for race in range(RACES_MAX + 1):
            try:
                async with self.transaction() as tx:
                    try:
                        return await work(tx)
                    except LostRace:  # by a reserved id, perhaps, of before a restore
                        reserved_ids(tx).clear()
                        raise
            except LostRace:
                if race == RACES_MAX:
                    raise
        raise AssertionError("the last race either ends or raises")

    @contextlib.asynccontextmanager
    async def snapshot(self, statement_limit_s: float | None = None) -> AsyncIterator[Tx]:
        """Reading only: every statement sees the same moment, so no record is seen by halves.

        A statement that takes longer than the limit ends in StatementTimeout. PostgreSQL limits
        every reader's by itself.
        """
        try:
            async with self._reader.connect() as tx:
                await self._set_clock(tx)
                if self.is_sqlite:
                    await _limit_statements(tx, statement_limit_s)
                yield tx
        except CONNECTION_ERRORS as error:
            raise translated(error) from error

    @contextlib.asynccontextmanager
    async def key_snapshot(self) -> AsyncIterator[Tx]:
        """For a row or two by their key, on a connection that no list ever holds."""
        try:
            async with self._by_key.connect() as tx:
                yield tx
        except CONNECTION_ERRORS as error:
            raise translated(error) from error

    async def expect_own_sessions(self) -> None:
        """ConfigurationError where two connections share a session, as by a transaction's pooler.

        There the settings and prepared statements of one connection would be another's.
        """
        if self.is_sqlite:
            return
        try:
            async with self._reader.connect() as one, self._writer.connect() as other:
                raw = [await each.get_raw_connection() for each in (one, other)]
                if await _share_a_session(*(each.driver_connection for each in raw)):
                    raise ConfigurationError(
                        "PAYDUE_DATABASE_URL leads through a pooler in transaction mode, which "
                        "Paydue cannot use: set pgbouncer's pool_mode = session"
                    )
        except CONNECTION_ERRORS as error:
            raise translated(error) from error

    async def encryption(self) -> str | None:
        """The protocol and cipher of a connection to PostgreSQL; None in clear text."""
        if self.is_sqlite:
            return None
        async with self.snapshot() as tx:
            raw = await tx.get_raw_connection()
            return encryption_of(raw.driver_connection)

    def _turn(self, wait_s: float = WAIT_S) -> contextlib.AbstractAsyncContextManager[None]:
        return self._lock.hold(wait_s) if self._lock else contextlib.nullcontext()

    async def close(self) -> None:
        await self._reader.dispose()
        await self._by_key.dispose()
        if self._lock:
            async with self._lock.hold(WAIT_S):  # the last connection to close writes a checkpoint
                await self._writer.dispose()
            self._lock.close()
        else:
            await self._writer.dispose()


def reserved_ids(tx: Tx) -> dict[str, deque[int]]:
    """The ids that this connection has reserved and not used yet, by table."""
    found: dict[str, deque[int]] = tx.info.setdefault("reserved_ids", {})
    return found


async def limit_lock_wait(tx: Tx, milliseconds: int) -> None:
    """For the rest of this transaction a record that is held is given up sooner: RecordLocked.

    On SQLite there are no locks of single records; who writes has waited for its turn already.
    """
    if tx.dialect.name != "sqlite":
        await tx.execute(text(f"SET LOCAL lock_timeout = {milliseconds:d}"))


async def database_time(tx: Tx) -> datetime:
    """The database's own time: one clock for every node."""
    if tx.dialect.name == "sqlite":
        return datetime.now(UTC)
    found = await tx.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(found, datetime)
    return found.astimezone(UTC)


def normalize_url(url: str) -> URL:
    """The URL with the asynchronous driver that we use for its engine."""
    try:
        parsed = make_url(hosts_as_options(url))
        backend = parsed.get_backend_name()
    except Exception:  # its message may quote the URL, password and all
        raise ConfigurationError(
            "PAYDUE_DATABASE_URL is not a database URL, such as sqlite:///paydue.db or "
            "postgresql://user:password@host/paydue, without quotation marks"
        ) from None
    match backend:
        case "sqlite":
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+asyncpg")
        case _:
            raise ConfigurationError(
                f"PAYDUE_DATABASE_URL names {backend!r}; sqlite and postgresql are supported"
            )


def shown_url(url: URL) -> str:
    """The URL without any password, wherever it stands; a file by its whole path."""
    if url.get_backend_name() == "sqlite" and url.database:
        return f"sqlite:///{Path(url.database).absolute()}"
    secret = [name for name in url.query if "password" in name.lower()]
    masked = url.update_query_dict({name: "***" for name in secret}) if secret else url
    return masked.render_as_string(hide_password=True)


def _file(url: URL) -> Path:
    name = url.database or ""
    if name == ":memory:" or name.endswith("/") or not Path(name).name or Path(name).is_dir():
        raise ConfigurationError("PAYDUE_DATABASE_URL must name a file: sqlite:///paydue.db")
    return Path(name)


async def _limit_statements(tx: Tx, limit_s: float | None) -> None:
    """For this snapshot alone: each sets its own limit, or none, when it begins."""
    raw = await tx.get_raw_connection()
    cast(ReaderConnection, raw.driver_connection).statement_limit_s = limit_s


def _sqlite_engine(url: URL, *, writes: bool, size: int = READERS) -> AsyncEngine:
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=1 if writes else size,
        max_overflow=0,
        pool_timeout=WAIT_S,
        connect_args={
            "async_creator_fn": connection_factory(_file(url), WAIT_S, writes=writes),
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

    event.listen(engine.sync_engine, "handle_error", translate_for_sqlalchemy)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        if writes:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.connection.driver_connection.begin()

    return engine


def _migration_engine(url: URL) -> AsyncEngine:
    return _postgres_engine(url, 1, _MIGRATIONS, statement_limit_s=None)


def _postgres_engine(
    url: URL,
    size: int,
    options: Mapping[str, str],
    statement_limit_s: float | None = WAIT_S,
    **more: Any,
) -> AsyncEngine:
    try:
        name = url.query.get("application_name")
        shown = {"application_name": str(name)} if name else {}
        bare, security = transport_security(primary_of(url))
        engine = create_async_engine(
            bare,
            hide_parameters=True,
            pool_size=size,
            max_overflow=0,
            pool_timeout=WAIT_S,
            pool_use_lifo=True,
            connect_args={
                "timeout": WAIT_S,
                "command_timeout": statement_limit_s,
                "server_settings": shown,
                **security,
            },
            **more,
        )
    except ModuleNotFoundError:
        raise ConfigurationError(
            "PostgreSQL needs one more package: pip install '.[postgres]'"
        ) from None
    event.listen(engine.sync_engine, "handle_error", translate_for_sqlalchemy)
    event.listen(engine.sync_engine, "checkout", _refuse_unusable)
    # Not as parameters of the start: pgbouncer refuses those that it does not know, or drops them.
    settings = "; ".join(f"SET {key} = '{value}'" for key, value in options.items())

    @event.listens_for(engine.sync_engine, "connect")
    def configured(connection: Any, _: Any) -> None:
        try:
            connection.run_async(lambda driver: driver.execute(settings))
        except Exception as error:  # the driver's own: no statement of SQLAlchemy's failed
            raise translated(error) from error

    return engine


async def _share_a_session(one: Any, other: Any) -> bool:
    """Whether the one sets what the other finds. A pooler's newest idle session is used first."""
    await one.execute("SET paydue.probe = 'set'")
    try:
        await other.execute(_FIND_PROBE)
    except Exception as error:
        if getattr(error, "sqlstate", None) != _RAISED:
            raise
        return True
    finally:
        await one.execute("RESET paydue.probe")
    return False


def _count_lent(engine: AsyncEngine, pool: str) -> None:
    lent = IN_USE.labels(pool)
    event.listen(engine.sync_engine, "checkout", lambda *_: lent.inc())
    event.listen(engine.sync_engine, "checkin", lambda *_: lent.dec())


def _refuse_unusable(connection: Any, *_: Any) -> None:
    """A connection that the server has closed meanwhile is not lent; a new one takes its place.

    Nor is one that is inside a transaction: whoever was cancelled between BEGIN and SQLAlchemy's
    note of it left it so, and what is written in there is answered as durable and never committed.
    """
    driver = connection.driver_connection
    if driver.is_closed() or driver.is_in_transaction():
        raise DisconnectionError
