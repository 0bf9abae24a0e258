"""SQLite without threads: a schedule does one thing at a time, so a hop to a thread only waits."""

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.engines import Database
from app.storage.sqlite_driver import ReaderConnection, connection_factory


async def run_inline(database: Database) -> None:
    """Every later connection of this database runs its statements in the event loop."""
    path = Path(database.url.database or "")
    for engine, writes in ((database._writer, True), (database._reader, False)):
        await engine.dispose()
        _connect_by(engine, partial(_inline_connection, connection_factory(path, 0, writes=writes)))


def _connect_by(engine: AsyncEngine, factory: Callable[[], ReaderConnection]) -> None:
    @event.listens_for(engine.sync_engine, "do_connect")
    def do_connect(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
        parameters["async_creator_fn"] = lambda *_, **__: factory()


def _inline_connection(open_one: Callable[[], ReaderConnection]) -> ReaderConnection:
    return InlineConnection(open_one()._connector, 64)


class InlineConnection(ReaderConnection):
    """A connection whose thread never starts."""

    def __await__(self) -> Generator[Any, None, "InlineConnection"]:
        self._connection = self._connector()
        return self
        yield  # a generator, as `await` wants one

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    def stop(self) -> None:
        self._running = False
