"""Many schedules, a few at a time, on databases made for them."""

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation import schedule, steps
from tests.simulation.world import place, switchboard

# One process and one core: more at a time only fills the waits.
AT_ONCE = 4
NewDatabase = Callable[[int], Awaitable[str]]
_MEMORY = next((one for one in (Path("/dev/shm"),) if one.is_dir()), None)


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

    def missing(self) -> set[str]:
        wanted = {*steps.KINDS, *(f"fault: {name}" for name in steps.FAULTS), "dispute won late"}
        return wanted - self.having.keys()

    def lines(self) -> list[str]:
        return [
            f"{self.having[name] / self.schedules:6.1%} of schedules  {self.steps[name]:7} times"
            f"  {name}"
            for name in sorted(self.having, key=lambda one: -self.having[one])
        ]


async def run_all(seeds: Iterable[int], new_database: NewDatabase) -> Coverage:
    """Runs the schedules; the first that fails ends the run and names its seed."""
    coverage = Coverage()
    left = iter(seeds)

    async with switchboard() as (board, url):

        async def work(number: int) -> None:
            database_url = await new_database(number)
            async with place(f"place{number}", database_url, board, url) as here:
                for seed in left:
                    coverage.add(await schedule.run(seed, here))

        workers = [asyncio.create_task(work(number)) for number in range(AT_ONCE)]
        try:
            await asyncio.gather(*workers)
        finally:
            for one in workers:
                one.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    return coverage


@contextlib.asynccontextmanager
async def sqlite_copies(template: Path) -> AsyncIterator[NewDatabase]:
    """Databases in memory where the system has a memory disk: nothing here is about fsync."""
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:

        async def new(number: int) -> str:
            return f"sqlite:///{shutil.copy(template, Path(folder) / f'{number}.db')}"

        yield new
