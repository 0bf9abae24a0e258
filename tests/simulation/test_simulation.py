"""Five hundred schedules on two databases: whatever the order and the faults, the money adds up."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog

from tests.conftest import Server, copied
from tests.simulation.running import play_side_by_side, play_sqlite

pytestmark = pytest.mark.timeout(600)

# In three parts, so that three processes can share them.
ON_SQLITE = [range(start, start + 150) for start in (0, 150, 300)]
ON_POSTGRES = range(450, 500)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A schedule's log is only wanted with `python -m tests.simulation --verbose`."""
    level = structlog.make_filtering_bound_logger(logging.CRITICAL)
    before = structlog.get_config()
    structlog.configure(wrapper_class=level)
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("seeds", ON_SQLITE, ids=str)
def test_schedules_on_sqlite_end_as_stripe_says(seeds: range, sqlite_template: Path) -> None:
    coverage = play_sqlite(seeds, sqlite_template)

    print(*coverage.lines(), sep="\n")  # noqa: T201  shown by pytest -s and when it fails
    assert coverage.schedules == len(seeds)
    assert coverage.missing() == set()


@pytest.mark.anyio
async def test_schedules_on_postgres_end_as_stripe_says(postgres_server: Server) -> None:
    coverage = await play_side_by_side(ON_POSTGRES, partial(copied, postgres_server), crowd=4)

    assert coverage.schedules == len(ON_POSTGRES)
