"""A copy of the tree with one bug in it, and the simulation's answer to it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.planted.plants import Plant

ROOT = Path(__file__).parents[2]
PARTS = ("app", "tests")
_FAILED = re.compile(r"^schedule (\d+) failed: (.*)$", re.MULTILINE)


class DoesNotApply(Exception):
    """The correct text does not stand exactly once in its file: the code has moved on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the simulation found a plant, at which schedule, and by which invariant."""

    plant: Plant
    found_at: int | None
    invariant: str
    seconds: float


def planted(plant: Plant, source: str) -> str:
    """The file's text with the bug in it."""
    times = source.count(plant.old)
    if times != 1:
        raise DoesNotApply(f"{plant.name}: the text stands {times} times in {plant.file}")
    return source.replace(plant.old, plant.new)


def try_out(plant: Plant, schedules: int, patience_s: float) -> Verdict:
    """Plays schedules on a tree with this bug until one fails."""
    started = time.monotonic()
    with _copy_with(plant) as tree:
        asked = ["-m", "tests.simulation", "--schedules", str(schedules)]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        try:
            run = subprocess.run(
                [sys.executable, *asked], cwd=tree, env=environment, timeout=patience_s,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Verdict(plant, None, "no end within its time", time.monotonic() - started)
    took = time.monotonic() - started
    if run.returncode == 0:
        return Verdict(plant, None, "", took)
    found = _FAILED.search(run.stderr)
    if found is None:
        return Verdict(plant, None, f"the simulation broke: {run.stderr[-500:]}", took)
    return Verdict(plant, int(found[1]), found[2], took)


@contextmanager
def _copy_with(plant: Plant) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        tree = Path(folder)
        for part in PARTS:
            # With its compiled files: to compile all anew costs more than most bugs take to find.
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("published"))
        path = tree / plant.file
        path.write_text(planted(plant, path.read_text()))
        yield tree
