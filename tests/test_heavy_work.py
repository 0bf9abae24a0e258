"""Heavy work leaves the event loop, and the loop gets Python's lock back soon."""

import asyncio
import sys
import threading

import pytest

from app.halo.engine import heavy_work
from app.halo.engine.heavy_work import HEAVY_ROWS, SWITCH_S, compute, print_document


def where() -> tuple[str, float]:
    return threading.current_thread().name, sys.getswitchinterval()


def test_few_rows_are_computed_where_they_are() -> None:
    alone = sys.getswitchinterval()
    assert asyncio.run(compute(HEAVY_ROWS, where)) == (threading.current_thread().name, alone)


@pytest.mark.parametrize(
    "work", [lambda: compute(HEAVY_ROWS + 1, where), lambda: print_document(where)]
)
def test_heavy_work_has_a_thread_that_gives_the_lock_up_soon(work) -> None:
    alone = sys.getswitchinterval()
    thread, interval = asyncio.run(work())
    assert thread.startswith("paydue-")
    assert interval == pytest.approx(SWITCH_S)
    assert sys.getswitchinterval() == alone


def test_the_last_work_that_ends_restores_the_interval() -> None:
    alone, go_on = sys.getswitchinterval(), threading.Event()

    async def two_at_once() -> list[float]:
        printed = asyncio.create_task(print_document(go_on.wait, 60))
        computed = await compute(HEAVY_ROWS + 1, sys.getswitchinterval)
        while_printing = sys.getswitchinterval()
        go_on.set()
        await printed
        return [computed, while_printing, sys.getswitchinterval()]

    assert asyncio.run(two_at_once()) == pytest.approx([SWITCH_S, SWITCH_S, alone])


def test_work_that_fails_restores_the_interval() -> None:
    alone = sys.getswitchinterval()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(print_document(lambda: 1 / 0))
    assert sys.getswitchinterval() == alone
    assert heavy_work._working == 0
