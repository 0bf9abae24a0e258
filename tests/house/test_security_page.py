"""docs/security.md names tests and files that exist, and each row of ASVS 5.0.0, level 2."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
SPAN = re.compile(r"`((?:tests|app|docs|\.ci)/[\w./*-]+?)(?:::(\w+))?`")
ROW = re.compile(r"^\| (\d[\d.-]*) \| ([^|]+) \| (\w[\w/]*) \| ([^|]+) \|$", re.MULTILINE)
VERDICTS = {"holds", "operator", "n/a", "partly", "open"}

# The requirements of levels 1 and 2: of each section, how many. They run from 1 on, for those of
# level 3 alone stand behind them.
LEVEL_2 = """
1.1:2 1.2:9 1.3:11 1.4:3 1.5:2 2.1:3 2.2:3 2.3:4 2.4:1 3.2:2 3.3:4 3.4:6 3.5:5 3.7:2 4.1:3 4.2:1
4.3:2 4.4:4 5.1:1 5.2:3 5.3:2 5.4:3 6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3 6.8:4 7.1:3 7.2:4 7.3:2
7.4:5 7.5:2 7.6:2 8.1:2 8.2:3 8.3:1 8.4:1 9.1:3 9.2:4 10.1:2 10.2:2 10.3:4 10.4:11 10.5:5 10.6:2
10.7:3 11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1 12.1:3 12.2:2 12.3:4 13.1:1 13.2:5 13.3:2 13.4:5
14.1:2 14.2:4 14.3:3 15.1:3 15.2:3 15.3:7 16.1:1 16.2:5 16.3:4 16.4:3 16.5:3 17.1:1 17.2:4 17.3:2
"""


def _requirements() -> list[str]:
    counts = (one.split(":") for one in LEVEL_2.split())
    return [f"{section}.{one}" for section, last in counts for one in range(1, int(last) + 1)]


def _numbers(cell: str) -> Iterator[str]:
    """`6.2.1-6.2.3` are three."""
    first, _, last = cell.partition("-")
    section, _, start = first.rpartition(".")
    end = last.rpartition(".")[2] or start
    yield from (f"{section}.{one}" for one in range(int(start), int(end) + 1))


def test_each_requirement_has_one_row() -> None:
    rows = [number for cell, *_ in ROW.findall(PAGE) for number in _numbers(cell)]

    assert rows == _requirements()


def test_each_row_has_a_verdict_and_a_reason() -> None:
    lines = [line for line in PAGE.splitlines() if re.match(r"\| \d", line)]

    assert len(ROW.findall(PAGE)) == len(lines)
    assert {verdict for _, _, verdict, _ in ROW.findall(PAGE)} <= VERDICTS


@pytest.mark.parametrize(("path", "name"), sorted(set(SPAN.findall(PAGE))))
def test_a_file_or_a_test_that_is_named_exists(path: str, name: str) -> None:
    files = list(ROOT.glob(path))

    assert files, path
    assert not name or name in _functions(files[0]), f"{path} has no {name}"


def test_the_sheet_names_many_tests() -> None:
    assert sum(path.startswith("tests/") for path, _ in SPAN.findall(PAGE)) > 60


def _functions(path: Path) -> set[str]:
    nodes = ast.parse(path.read_text()).body
    return {one.name for one in nodes if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))}
