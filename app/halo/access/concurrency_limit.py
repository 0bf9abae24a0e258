"""Concurrency limit: how many answers one credential may have made for it at the same time.

A long list holds a connection and a processor for seconds. Whoever asks for many of them at once
waits for its own, so that the connections stay free for everybody else.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from starlette.requests import Request

from app.errors import AppError
from app.halo.access.authenticator import Caller
from app.storage.engines import STATEMENT_S, Database, Tx

# Of the four connections that read SQLite, one credential never holds more than half.
IN_FLIGHT_MAX = 2
WAIT_S = 4.0


class TooManyAtOnce(AppError):
    """The credential's earlier requests have not ended, and this one has waited long enough."""

    status = 429
    retry_after_s = 1

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most} lists or documents at once; wait for their answers")


class ConcurrencyLimit:
    """Semaphores by credential, kept only while somebody holds or waits for one."""

    def __init__(self, most: int = IN_FLIGHT_MAX, wait_s: float = WAIT_S) -> None:
        self._most = most
        self._wait_s = wait_s
        self._semaphores: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def hold(self, access_id: int) -> AsyncIterator[None]:
        """Hold one of the credential's places, or TooManyAtOnce."""
        semaphore = self._semaphores.get(access_id)
        if semaphore is None:
            semaphore = self._semaphores[access_id] = asyncio.Semaphore(self._most)
        try:
            async with asyncio.timeout(self._wait_s):
                await semaphore.acquire()
        except TimeoutError:
            raise TooManyAtOnce(self._most) from None
        try:
            yield
        finally:
            semaphore.release()


@contextlib.asynccontextmanager
async def reading_place(request: Request, caller: Caller) -> AsyncIterator[None]:
    """One of the caller's places, until its answer is made."""
    limit: ConcurrencyLimit = request.app.state.concurrency_limit
    async with limit.hold(caller.access_id):
        yield


@contextlib.asynccontextmanager
async def bounded_snapshot(request: Request) -> AsyncIterator[Tx]:
    """A snapshot whose statements end after STATEMENT_S, whatever a caller has asked for."""
    database: Database = request.app.state.database
    async with database.snapshot(statement_limit_s=STATEMENT_S) as tx:
        yield tx
