"""python -m tests.planted [--only NAME] [--schedules 1000] [--jobs 2]"""

import argparse
import compileall
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.planted.planting import PARTS, ROOT, Verdict, try_out
from tests.planted.plants import PLANTS, Plant

# Of forty, two may hide from a thousand schedules; more is a hole in the simulation.
FOUND_OF_FORTY = 38
# Seconds a schedule, on a machine that has much else to do.
_PATIENCE_S = 10.0
_START_S = 120.0


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    asked.add_argument("--only", help="the plants whose names have this in them")
    asked.add_argument("--schedules", type=int, default=1000)
    asked.add_argument("--jobs", type=int, default=1, help="how many plants are tried at a time")
    given = asked.parse_args()
    for part in PARTS:
        compileall.compile_dir(ROOT / part, quiet=1)
    chosen = [one for one in PLANTS if not given.only or given.only in one.name]

    def verdict(plant: Plant) -> Verdict:
        one = try_out(plant, given.schedules, _START_S + given.schedules * _PATIENCE_S)
        sys.stdout.write(f"{_line(one)}\n")
        sys.stdout.flush()
        return one

    with ThreadPoolExecutor(given.jobs) as pool:
        verdicts = list(pool.map(verdict, chosen))
    return _summary(verdicts)


def _line(one: Verdict) -> str:
    where = "MISSED" if one.found_at is None else f"at {one.found_at}"
    return f"{where:>8}  {one.seconds:6.1f} s  {one.plant.name:40}  {one.invariant[:110]}"


def _summary(verdicts: Sequence[Verdict]) -> int:
    missed = [one for one in verdicts if one.found_at is None]
    sys.stdout.write(f"\n{len(verdicts) - len(missed)} of {len(verdicts)} found\n")
    for one in missed:
        sys.stdout.write(f"  missed: {one.plant.name}: {one.plant.reason} ({one.plant.file})\n")
    return 0 if len(missed) * 40 <= len(verdicts) * (40 - FOUND_OF_FORTY) else 1


if __name__ == "__main__":
    sys.exit(main())
