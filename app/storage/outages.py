"""Work that goes on once the database is back, as after its restart or a failover."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import DatabaseRefused, DatabaseUnavailable

T = TypeVar("T")

# Patroni promotes a standby within 40 s, managed databases within two minutes.
PATIENCE_S = 120.0
POLL_S = 1.0


async def begin_again(
    work: Callable[[], Awaitable[T]],
    stop: asyncio.Event,
    tell: Callable[[DatabaseUnavailable], None],
    patience_s: float = PATIENCE_S,
) -> T:
    """The result of work that may be repeated: it begins again while the database is away.

    Its last DatabaseUnavailable is raised after the patience, counted from the first, or once the
    stop signal is set. Each other one is told. A DatabaseRefused is raised at once.
    """
    deadline: float | None = None
    while True:
        try:
            return await work()
        except DatabaseRefused:
            raise
        except DatabaseUnavailable as error:
            deadline = deadline or time.monotonic() + patience_s
            if stop.is_set() or time.monotonic() >= deadline:
                raise
            tell(error)
        await _pause(stop)


async def _pause(stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), POLL_S)
