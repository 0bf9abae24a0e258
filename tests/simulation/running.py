"""Many schedules, one after the other on each of several cores, on databases made for them."""

import asyncio
import contextlib
import ctypes
import gc
import multiprocessing
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulation import schedule, steps
from tests.simulation.schedule import ScheduleFailed
from tests.simulation.skipping_loop import SkippingLoop
from tests.simulation.world import place

_MEMORY = next((one for one in (Path("/dev/shm"),) if one.is_dir()), None)
# A schedule's garbage goes with its world; looked for every 700 objects, it costs a tenth.
_GARBAGE = (100_000, 50, 50)
_ENDLESS = 2**62


@dataclass
class Coverage:
    """In how many schedules each kind of step occurred, and how often in all."""

    schedules: int = 0
    having: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)

    def add(self, did: Counter[str]) -> None:
        self.schedules += 1
        self.steps += did
        self.having.update(did.keys())

    def __add__(self, other: "Coverage") -> "Coverage":
        schedules = self.schedules + other.schedules
        return Coverage(schedules, self.having + other.having, self.steps + other.steps)

    def missing(self) -> set[str]:
        wanted = {*steps.KINDS, *(f"fault: {name}" for name in steps.FAULTS), "dispute won late"}
        wanted |= {"copy without a cursor restored", "copy older than the keys restored"}
        wanted |= {"pay link opened", "pay link waits", "screen waits", "customer lease lost"}
        return wanted - self.having.keys()

    def lines(self) -> list[str]:
        return [
            f"{self.having[name] / self.schedules:6.1%} of schedules  {self.steps[name]:7} times"
            f"  {name}"
            for name in sorted(self.having, key=lambda one: -self.having[one])
        ]


@dataclass
class Played:
    """The part of one core: what its schedules covered, and the one that failed, if one did."""

    coverage: Coverage
    failure: ScheduleFailed | None = None


def play_sqlite(seeds: Sequence[int], template: Path, jobs: int = 1) -> Coverage:
    """Plays the schedules on copies of a migrated database; the first that fails is raised.

    It is the first by its seed, not by the clock, so that the number of jobs changes no answer.
    """
    jobs = max(1, min(jobs, len(seeds)))
    if jobs == 1:
        parts = [_play_part(seeds, template)]
    else:
        with _pool(jobs) as pool:
            parts = list(
                pool.map(_play_part, [seeds[one::jobs] for one in range(jobs)], [template] * jobs)
            )
    failures = [one.failure for one in parts if one.failure is not None]
    if failures:
        raise min(failures, key=lambda failure: failure.seed)
    return sum((one.coverage for one in parts), Coverage())


async def play(
    seeds: Sequence[int], database_url: str, goes_on: Callable[[int], bool] = lambda _: True
) -> Coverage:
    """Plays the schedules one by one in the running loop."""
    coverage = Coverage()
    async with place(database_url) as here:
        for seed in seeds:
            if not goes_on(seed):
                break
            coverage.add(await schedule.run(seed, here))
    return coverage


async def play_side_by_side(
    seeds: Sequence[int], new_database: Callable[[], Awaitable[str]], crowd: int
) -> Coverage:
    """Plays them on several databases at a time, for a server that is waited for."""
    urls = [await new_database() for _ in range(crowd)]
    try:
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(play(seeds[at::crowd], url)) for at, url in enumerate(urls)]
    except* ScheduleFailed as failures:
        raise failures.exceptions[0] from None
    return sum((one.result() for one in parts), Coverage())


# --- one core of several -----------------------------------------------------------------------


def _play_part(seeds: Sequence[int], template: Path) -> Played:
    """A core's schedules, up to the first that failed on any core."""
    first_failed = _first_failed

    def goes_on(seed: int) -> bool:
        return first_failed is None or seed < first_failed.value

    with (
        _sqlite_copy(template) as url,
        _less_garbage_collection(),
        asyncio.Runner(loop_factory=SkippingLoop) as runner,
    ):
        try:
            return Played(runner.run(play(seeds, url, goes_on)))
        except ScheduleFailed as failure:
            if first_failed is not None:
                with first_failed.get_lock():
                    first_failed.value = min(first_failed.value, failure.seed)
            return Played(Coverage(), failure)


# The lowest seed that failed, in memory that the cores share.
_first_failed: Any = None


def _pool(jobs: int) -> ProcessPoolExecutor:
    # To fork is to import once; where that is not offered, each imports for itself.
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in ways else None)
    shared = context.Value(ctypes.c_longlong, _ENDLESS)
    return ProcessPoolExecutor(jobs, context, initializer=_share, initargs=(shared,))


def _share(first_failed: Any) -> None:
    global _first_failed  # noqa: PLW0603  a process of the pool is given it once
    _first_failed = first_failed


@contextlib.contextmanager
def _sqlite_copy(template: Path) -> Iterator[str]:
    """A database in memory where the system has a memory disk: nothing here is about fsync."""
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        yield f"sqlite:///{shutil.copy(template, Path(folder) / 'paydue.db')}"


@contextlib.contextmanager
def _less_garbage_collection() -> Iterator[None]:
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
