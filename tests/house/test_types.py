"""A misspelt column on the way of the money is an error of the type checker."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Misspelling:
    """A name, misspelt wherever a file has it in this text."""

    file: str
    text: str
    name: str
    misspelt: str


MISSPELLINGS = [
    Misspelling("app/payments/autopay/charge.py", "attempt.{} ==", "step", "stepp"),
    Misspelling(
        "app/payments/autopay/charge.py", "one.{}", "replaces_intent_id", "replaces_intent"
    ),
    Misspelling(
        "app/payments/autopay/charge.py", "            {}=AttemptStep.PREPARED", "step", "stepped"
    ),
    Misspelling("app/payments/autopay/attempts.py", "attempt.{}", "lease_until", "leased_until"),
    Misspelling("app/payments/autopay/candidates.py", "row.{}", "payments_pending", "pending"),
    Misspelling("app/payments/webhook/inbox.py", '"{}": arrival', "object_id", "object"),
    Misspelling("app/ledger/settlement.py", "invoice.{}", "currency_iso", "currency_isoo"),
]


@dataclass(frozen=True)
class TypeErrorReport:
    file: str
    first_line: int
    last_line: int
    message: str


# All of the app is checked from nothing, on a machine whose cores other tests keep busy.
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_misspelt_column_is_a_type_error_wherever_it_stands(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    misspelt = [(one, line) for one in MISSPELLINGS for line in _misspell(tmp_path / one.file, one)]

    reports = list(_type_errors(tmp_path))

    assert {one for one, _ in misspelt} == set(MISSPELLINGS), "a text is no longer in its file"
    unnoticed = [
        f"{one.file}:{line} {one.misspelt}"
        for one, line in misspelt
        if not any(_is_about(report, one, line) for report in reports)
    ]
    assert unnoticed == [], reports


def _misspell(file: Path, one: Misspelling) -> list[int]:
    """Misspell the name in every line that has it, and answer the lines' numbers."""
    before = file.read_text().splitlines()
    right, wrong = one.text.format(one.name), one.text.format(one.misspelt)
    after = [re.sub(rf"{re.escape(right)}(?!\w)", wrong, line) for line in before]
    file.write_text("\n".join(after))
    return [number for number, line in enumerate(after, start=1) if line != before[number - 1]]


def _type_errors(directory: Path) -> Iterator[TypeErrorReport]:
    files = sorted({one.file for one in MISSPELLINGS})
    command = [sys.executable, "-m", "mypy", "--cache-dir=/dev/null", "--show-error-end", *files]
    checked = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert not checked.stderr, checked.stderr
    for found in re.finditer(
        r"^(.+?):(\d+):\d+:(\d+):\d+: error: (.*)$", checked.stdout, re.MULTILINE
    ):
        file, first, last, message = found.groups()
        yield TypeErrorReport(file, int(first), int(last), message)


def _is_about(report: TypeErrorReport, one: Misspelling, line: int) -> bool:
    is_there = report.file == one.file and report.first_line <= line <= report.last_line
    return is_there and f'"{one.misspelt}"' in report.message
