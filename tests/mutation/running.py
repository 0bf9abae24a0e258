"""Runs tests in forked processes: once to learn which test calls what, then once for each mutant.

The parent imports all libraries, and nothing of `app`; so a child imports the mutated module in the
place of its file, and no file is ever changed.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest

from tests.mutation.mutants import Mutant

ROOT = Path(__file__).parents[2]
# Imported before the first fork, for each child would spend a second on them.
LIBRARIES = """
    aiohttp aiosqlite alembic.command asyncpg hypothesis orjson prometheus_client
    pydantic_settings pypdf rich sqlalchemy.ext.asyncio starlette.applications stripe structlog
    typst uvicorn
""".split()
# A mutant that takes so much longer than the tests took before hangs.
SLOWER = 8
START_S = 30.0
POLL_S = 0.01
QUIET = """
    -n 0 -x -q -p no:cacheprovider --no-header --tb=no -W ignore::pytest.PytestAssertRewriteWarning
""".split()


class Verdict(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    TIMEOUT = "timeout"


@dataclass(slots=True)
class Tests:
    """What is known of the tests of a package: how long each takes and which functions it calls."""

    options: Sequence[str] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    callers: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))

    def calling(self, mutant: Mutant) -> list[str]:
        """The tests that call the mutant's function, those of the quickest files first.

        What a module does when it is imported concerns every test that calls anything in it, and
        those that call nothing at all: they look at constants.
        """
        found = set(self.callers.get((mutant.module, mutant.first_line), ()))
        if not mutant.first_line:
            found = (
                set(self.seconds)
                .difference(*self.callers.values())
                .union(
                    *(tests for place, tests in self.callers.items() if place[0] == mutant.module)
                )
            )
        of_file: dict[str, list[str]] = defaultdict(list)
        for test in sorted(found):
            of_file[test.split("::")[0]].append(test)
        files = sorted(of_file.values(), key=lambda tests: self.took(tests) / len(tests))
        return [test for tests in files for test in tests]

    def took(self, tests: Sequence[str]) -> float:
        return sum(self.seconds[test] for test in tests)


def import_libraries() -> None:
    """And the plugins of pytest, which it would import at each start."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        plugin.load()


def learned(options: Sequence[str], tests: Sequence[str]) -> Tests:
    """Runs the tests unchanged. They must pass, or nothing could be said of a mutant."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "learned.json"
        with _forked(lambda: _learn([*options, *tests], file)) as child:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != 0:
            raise SystemExit(
                f"the tests fail without a mutant: pytest {' '.join([*options, *tests])}"
            )
        found = json.loads(file.read_text())
    known = Tests(options, found["seconds"])
    for module, line, test in found["calls"]:
        known.callers[module, line].add(test)
    return known


def verdict(mutant: Mutant, known: Tests) -> Verdict:
    """Whether one of the tests fails on the mutant. No test at all: it survives."""
    tests = known.calling(mutant)
    if not tests:
        return Verdict.SURVIVED
    deadline = time.monotonic() + START_S + known.took(tests) * SLOWER
    with _forked(lambda: _try(mutant, [*known.options, *tests])) as child:
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return Verdict.SURVIVED if code == 0 else Verdict.KILLED
            time.sleep(POLL_S)
    return Verdict.TIMEOUT


@contextlib.contextmanager
def _forked(work: Callable[[], int]) -> Iterator[int]:
    """A child with a process group of its own; whatever it started ends with it."""
    child = os.fork()
    if child == 0:
        os.setsid()
        _silence()
        os._exit(_guarded(work))
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _guarded(work: Callable[[], int]) -> int:
    """The exit code of the work; an exception is a failure like any other."""
    try:
        return work()
    except BaseException:
        return 1


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _try(mutant: Mutant, arguments: Sequence[str]) -> int:
    sys.meta_path.insert(0, Mutated(mutant))
    return int(pytest.main([*QUIET, *arguments]))


def _learn(arguments: Sequence[str], file: Path) -> int:
    recorder = Recorder()
    code = int(pytest.main([*QUIET, *arguments], plugins=[recorder]))
    file.write_text(json.dumps({"seconds": recorder.seconds, "calls": sorted(recorder.calls)}))
    return code


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports the mutant's source in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = f"app.{mutant.module.removesuffix('.py').replace('/', '.')}"
        self._path = str(ROOT / "app" / mutant.module)
        self._source = mutant.source

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def get_source(self, fullname: str) -> str:
        return self._source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self._path, "exec", dont_inherit=True)


class Recorder:
    """A pytest plugin: which functions of `app` each test calls, and for how long it runs."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: set[tuple[str, int, str]] = set()
        self._of_code: dict[CodeType, tuple[str, int] | None] = {}
        self._codes: set[CodeType] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        started = time.monotonic()
        self._codes = set()
        sys.setprofile(self._note)
        try:
            return (yield)
        finally:
            sys.setprofile(None)
            self.seconds[item.nodeid] = time.monotonic() - started
            for place in map(self._place, self._codes):
                if place:
                    self.calls.add((*place, item.nodeid))

    def _note(self, frame: FrameType, what: str, _: Any) -> None:
        if what == "call":
            self._codes.add(frame.f_code)

    def _place(self, code: CodeType) -> tuple[str, int] | None:
        if code not in self._of_code:
            path = Path(code.co_filename)
            is_ours = path.is_relative_to(ROOT / "app")
            module = str(path.relative_to(ROOT / "app")) if is_ours else ""
            self._of_code[code] = (module, code.co_firstlineno) if is_ours else None
        return self._of_code[code]
