"""Heavy work leaves the event loop: one thread parses, serializes and dumps, another one prints.

The loop answers Stripe, and a list of a thousand records would keep it for half a second. One
thread each, because threads that compute at the same time only take Python's lock from the loop.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import CursorResult, Row

P = ParamSpec("P")
T = TypeVar("T")

# Rows above which work is handed to the thread; fewer take less time than the way there.
HEAVY_ROWS = 50

# A thread that computes gives Python's lock up after so long, not after Python's own 5 ms: the loop
# asks for it back a dozen times for one webhook.
SWITCH_S = 0.0001
_SWITCH_S_ALONE = sys.getswitchinterval()

_COMPUTING = ThreadPoolExecutor(1, thread_name_prefix="paydue-compute")
_PRINTING = ThreadPoolExecutor(1, thread_name_prefix="paydue-print")
_working = 0


async def compute(rows: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of the work, which is done in the thread when it is about many rows."""
    if rows <= HEAVY_ROWS:
        return work(*args, **kwargs)
    return await _in_thread(_COMPUTING, partial(work, *args, **kwargs))


async def all_rows(result: CursorResult[Any]) -> Sequence[Row[Any]]:
    """All rows of the result; the thread makes the rows when they turn out to be many."""
    first = result.fetchmany(HEAVY_ROWS)
    if len(first) < HEAVY_ROWS:
        return first
    return [*first, *await _in_thread(_COMPUTING, result.fetchall)]


async def print_document(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of the work; one document is printed at a time."""
    return await _in_thread(_PRINTING, partial(work, *args, **kwargs))


async def _in_thread(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    global _working  # noqa: PLW0603 - Python has one switch interval a process, and so do we
    _working += 1
    sys.setswitchinterval(SWITCH_S)
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    finally:
        _working -= 1
        if not _working:
            sys.setswitchinterval(_SWITCH_S_ALONE)
