"""SQLite without threads, pool and greenlets: a schedule waits for nobody outside of its process.

Statements, types, transactions and translated errors are SQLAlchemy's and our own; only the way
from a statement to the driver is shorter, which is a third of a schedule's time.
"""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import StaticPool

from app.storage.driver_errors import translate_for_sqlalchemy
from app.storage.engines import Database

# Nothing here is about durability, so no commit waits for a disk.
_PRAGMAS = ("journal_mode=WAL", "synchronous=OFF", "foreign_keys=ON", "cache_size=-65536")


async def run_inline(database: Database) -> None:
    """Every later transaction of this database runs in the event loop."""
    for name, writes in (("_writer", True), ("_reader", False)):
        engine: AsyncEngine = getattr(database, name)
        await engine.dispose()
        setattr(database, name, InlineEngine(engine, writes=writes))


class InlineDriver(sqlite3.Connection):
    """The driver's connection, with the names by which `app/storage` reaches it in aiosqlite's."""

    @property
    def _conn(self) -> "InlineDriver":
        return self


class InlineConnection(AsyncConnection):
    """A connection whose statements are run where they are sent."""

    async def begin(self) -> None:  # type: ignore[override]
        self._sync.begin()

    async def execute(self, *given: Any, **more: Any) -> Any:
        return self._sync.execute(*given, **more)

    async def scalar(self, *given: Any, **more: Any) -> Any:
        return self._sync.scalar(*given, **more)

    async def scalars(self, *given: Any, **more: Any) -> Any:
        return self._sync.scalars(*given, **more)

    @property
    def _sync(self) -> Connection:
        assert self.sync_connection is not None, "it is open"
        return self.sync_connection


class InlineEngine:
    """One of a database's two engines. Its connections are lent in turn and stay open."""

    def __init__(self, replaced: AsyncEngine, *, writes: bool) -> None:
        self._replaced = replaced
        self._open = partial(_opened, str(replaced.url.database), writes=writes)
        self._begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._free: list[InlineConnection] = []
        self._all: list[Engine] = []

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[InlineConnection]:
        """A connection that begins with its first statement and ends without a commit."""
        connection = self._free.pop() if self._free else self._new()
        try:
            yield connection
        finally:
            found = connection._sync.get_transaction()
            if found is not None:
                found.rollback()
            self._free.append(connection)

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[InlineConnection]:
        async with self.connect() as connection:
            transaction = connection._sync.begin()
            yield connection
            transaction.commit()

    def _new(self) -> InlineConnection:
        engine = create_engine("sqlite://", creator=self._open, poolclass=StaticPool)
        event.listen(engine, "handle_error", translate_for_sqlalchemy)
        event.listen(engine, "begin", self._begun)
        self._all.append(engine)
        return InlineConnection(self._replaced, engine.connect())

    def _begun(self, connection: Connection) -> None:
        connection.connection.driver_connection.execute(self._begin)  # type: ignore[union-attr]

    async def dispose(self) -> None:
        for connection in self._free:
            connection._sync.close()
        for engine in self._all:
            engine.dispose()


def _opened(path: str, *, writes: bool) -> InlineDriver:
    opened = sqlite3.connect(path, isolation_level=None, factory=InlineDriver)
    for pragma in _PRAGMAS if writes else (*_PRAGMAS, "query_only=ON"):
        opened.execute(f"PRAGMA {pragma}")
    return opened
