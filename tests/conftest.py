"""Every test that touches data runs on SQLite and on PostgreSQL, each on a fresh migrated copy.

PostgreSQL is found as binaries on this machine or by PAYDUE_TEST_POSTGRES_URL. In CI its absence is
an error; elsewhere those tests are skipped with the reason.
"""

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import NoReturn

import asyncpg
import pytest
import structlog
from sqlalchemy import make_url

from app import logs
from app.sandbox.server import Sandbox
from app.settings import Settings
from app.storage import schema
from app.storage.engines import Database
from tests import leaks, postgres, stripe_mock
from tests.balance import StripeBalance, with_balance
from tests.gate import Gate, gated
from tests.harness import Paydue, settings_for
from tests.patience import wait_limit
from tests.service import Service, running

# Its modules hold the assertions of the tests that go through the published tables.
pytest.register_assert_rewrite("tests.published")

# Tests that kill processes, take things away while Paydue works, wait for a pace, or send requests
# and run schedules by the thousand: half of the suite's time. `.ci/run quick` leaves them out.
SLOW = (
    "tests/crash/",
    "tests/edge/",
    "tests/place/",
    "tests/simulation/",
    "tests/soak/",
    "tests/api/test_garbage.py",
    "tests/api/test_hostile_requests.py",
    "tests/api/test_schemathesis.py",
    "tests/test_alert_watch.py",
    "tests/test_bad_input.py",
    "tests/test_hostile_text.py",
    "tests/test_mail_pictures.py",
    "tests/test_pace.py",
    "tests/test_restore_drill.py",
    "tests/test_runbook.py",
    "tests/test_schema.py",
)

TEMPLATE = "paydue_template"
_numbers = itertools.count(1)


def pytest_xdist_auto_num_workers() -> int:
    """Tests wait for servers, disks and timers about as long as they compute."""
    return max(4, os.cpu_count() or 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    assert all((config.rootpath / one).exists() for one in SLOW), "SLOW follows renamed modules"
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        own = item.get_closest_marker("timeout")
        seconds = own.args[0] if own else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(wait_limit(seconds)), append=False)


def pytest_collection_finish() -> None:
    """Thousands of collected tests are no garbage; looked through every time, they cost minutes."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def logs_as_in_production() -> None:
    configure_logs()


def configure_logs() -> None:
    """Tests see the lines that a served Paydue writes; `capture_logs` finds every logger."""
    logs.configure(Settings(_env_file=None, PAYDUE_LOG_LEVEL="debug"))
    structlog.configure(cache_logger_on_first_use=False)
    logging.captureWarnings(capture=False)  # a warning is an error here


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport]:
    """A test whose output shows a secret or a person's data fails, whatever else it shows."""
    report = yield
    found = leaks.leaked("\n".join(text for _, text in report.sections))
    if found and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} printed {found}"
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class ForeignServer:
    """A PostgreSQL that somebody else runs."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    def url(self, database: str) -> str:
        return self._url.set(
            drivername="postgresql", database=database
        ).render_as_string(hide_password=False)  # fmt: skip

    def create(self, database: str) -> str:
        async def create() -> None:
            admin = await asyncpg.connect(self.url("postgres"))
            await admin.execute(f"DROP DATABASE IF EXISTS {database}")
            await admin.execute(f"CREATE DATABASE {database}")
            await admin.close()

        asyncio.run(create())
        return self.url(database)


Server = postgres.Postgres | ForeignServer


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "paydue.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    given = os.environ.get("PAYDUE_TEST_POSTGRES_URL")
    if given:
        server = ForeignServer(given)
        asyncio.run(_migrate(server.create(TEMPLATE + _worker())))
        yield server
    elif postgres.binaries() is None:
        absent("no PostgreSQL: no binaries here, and PAYDUE_TEST_POSTGRES_URL is not set")
    else:
        with postgres.in_memory() as own:
            asyncio.run(_migrate(own.create(TEMPLATE + _worker())))
            yield own


@pytest.fixture(scope="session")
def stripe_mock_url() -> Iterator[str]:
    with stripe_mock.running() as url:
        if url is None:
            absent(stripe_mock.MISSING)
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of the test's own, migrated and empty."""
    with fresh(request, tmp_path) as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def module_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database that the tests of a module share, migrated and empty at first."""
    with fresh(request, tmp_path_factory.mktemp("module")) as url:
        yield url


@contextlib.contextmanager
def fresh(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        yield f"sqlite:///{shutil.copy(template, folder / 'paydue.db')}"
        return
    server: Server = request.getfixturevalue("postgres_server")
    url = asyncio.run(copied(server))
    yield url
    asyncio.run(dropped(server, url))


@pytest.fixture(scope="module")
async def service(module_url: str) -> AsyncIterator[Service]:
    async with running(module_url) as one:
        yield one


async def copied(server: Server) -> str:
    name = f"test{_worker()}_{os.getpid()}_{next(_numbers)}"
    admin = await asyncpg.connect(server.url("postgres"))
    await admin.execute(f"DROP DATABASE IF EXISTS {name}")
    # From 15 on the default writes the copy to the log as well: three times as long.
    how = "STRATEGY file_copy" if admin.get_server_version().major >= 15 else ""
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}{_worker()} {how}")
    await admin.close()
    return server.url(name)


async def dropped(server: Server, url: str) -> None:
    admin = await asyncpg.connect(server.url("postgres"))
    await admin.execute(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")
    await admin.close()


def absent(what: str) -> NoReturn:
    """In CI everything is there. Not by assert: it would print the environment, keys and all."""
    if "CI" in os.environ:
        pytest.fail(what)
    pytest.skip(what)


def _worker() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "")


async def _migrate(url: str) -> None:
    database = Database(url)
    await schema.upgrade(database)
    await database.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def sandbox() -> Sandbox:
    """Stripe, with a ledger that says what was really charged."""
    return Sandbox(seed=0)


@pytest.fixture
async def stripe_url(sandbox: Sandbox) -> AsyncIterator[str]:
    async with sandbox.running() as url:
        yield url


@pytest.fixture
async def balance(sandbox: Sandbox, stripe_url: str) -> AsyncIterator[StripeBalance]:
    """The same Stripe, which keeps the balance transactions and payouts of an account as well."""
    async with with_balance(sandbox) as one:
        yield one


@pytest.fixture
async def gate(sandbox: Sandbox, stripe_url: str) -> AsyncIterator[Gate]:
    """Another way to the same Stripe, on which requests can be held back."""
    async with gated(sandbox) as one:
        yield one


@pytest.fixture
async def paydue(database_url: str, sandbox: Sandbox, stripe_url: str) -> AsyncIterator[Paydue]:
    """A served Paydue on loopback, with its worker's parts at hand, that talks to the sandbox."""
    async with Paydue.running(settings_for(database_url, stripe_url), sandbox) as house:
        yield house


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many rows of the published tables were shown to be true."""
    rows: Counter[tuple[str, str]] = Counter()
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            if name == "published_rows":
                engine, what, number = value
                rows[engine, what] += number
    told = [f"{number} {what} on {engine}" for (engine, what), number in sorted(rows.items())]
    if told:
        terminalreporter.write_line(f"published tables: {'; '.join(told)}")
