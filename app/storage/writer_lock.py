"""SQLite's writers take turns: in order inside a process, by a lock file between processes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from app.errors import DatabaseUnavailable

_LOCK_POLL_S = 0.002


class WriterLock:
    """One writer at a time: first come, first served inside the process, a lock file between."""

    def __init__(self, database: Path, patience_s: float) -> None:
        self._path = database.with_name(database.name + "-lock")
        self._patience_s = patience_s
        self._file: IO[bytes] | None = None
        self._inside = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        async with _held_within(self._inside, self._patience_s):
            await self._take()
            try:
                yield
            finally:
                self._give()

    async def _take(self) -> None:
        import fcntl

        deadline = asyncio.get_running_loop().time() + self._patience_s
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
async def _held_within(lock: asyncio.Lock, patience_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(patience_s):
            await lock.acquire()
    except TimeoutError:
        raise DatabaseUnavailable("too many writers are waiting for the database") from None
    try:
        yield
    finally:
        lock.release()
