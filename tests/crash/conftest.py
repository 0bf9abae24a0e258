"""Fresh databases by the hundred, warm processes to die in, and a count of the points tried."""

import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.conftest import Server, copied
from tests.crash.lives import Zygote, zygotes

# The machine has two cores.
LANES = 2
Fresh = Callable[[], Awaitable[str]]


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fresh_database(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Fresh:
    """The URL of one more database, migrated and empty."""
    if engine == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        numbers = itertools.count(1)

        async def copy() -> str:
            return f"sqlite:///{shutil.copy(template, tmp_path / f'paydue{next(numbers)}.db')}"

        return copy
    server: Server = request.getfixturevalue("postgres_server")
    return lambda: copied(server)


@pytest.fixture(scope="session")
async def lanes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sequence[Zygote]]:
    async with zygotes(LANES, tmp_path_factory.mktemp("zygotes")) as found:
        yield found


@pytest.fixture
def count_points(request: pytest.FixtureRequest, engine: str) -> Callable[[str, int], None]:
    """Says in the summary how many points were tried."""

    def count(what: str, number: int) -> None:
        said = f"{number} {what} on {engine}"
        request.node.user_properties.append(("crash_points", said))
        print(f"crash points: {said}")  # noqa: T201

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    said = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "crash_points"
    ]
    if said:
        terminalreporter.write_line("crash points: " + "; ".join(said))
