"""Five hundred schedules on two databases: whatever the order and the faults, the money adds up."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.conftest import Server, copied
from tests.simulation.running import run_all, sqlite_copies

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

# In three parts, so that three processes can share them.
ON_SQLITE = [range(start, start + 150) for start in (0, 150, 300)]
ON_POSTGRES = range(450, 500)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A schedule's log is only wanted with `python -m tests.simulation --verbose`."""
    level = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=level)
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("seeds", ON_SQLITE, ids=str)
async def test_schedules_on_sqlite_end_as_stripe_says(seeds: range, sqlite_template: Path) -> None:
    async with sqlite_copies(sqlite_template) as new_database:
        coverage = await run_all(seeds, new_database)

    print(*coverage.lines(), sep="\n")  # noqa: T201  shown by pytest -s and when it fails
    assert coverage.schedules == len(seeds)
    assert coverage.missing() == set()


async def test_schedules_on_postgres_end_as_stripe_says(postgres_server: Server) -> None:
    async def new_database(_: int) -> str:
        return await copied(postgres_server)

    coverage = await run_all(ON_POSTGRES, new_database)

    assert coverage.schedules == len(ON_POSTGRES)
