"""`python -m tests.soak --hours 1 --engine postgresql`: prints what was run, and the verdict."""

import argparse
import asyncio
import platform
import sys

from tests.soak.running import Plan, Verdict, soak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--rate", type=float, default=100.0, help="events a second")
    parser.add_argument("--gap", type=float, nargs=2, default=(5.0, 40.0), metavar="SECONDS",
                        help="the shortest and the longest time between two faults")  # fmt: skip
    parser.add_argument("--run-every", type=float, default=60.0, help="seconds between two runs")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    seconds = given.hours * 3600 + given.minutes * 60
    if seconds <= 0:
        parser.error("say how long: --hours or --minutes")
    plan = Plan(
        given.engine, seconds, given.rate, tuple(given.gap), given.run_every, seed=given.seed
    )
    verdict = asyncio.run(soak(plan))
    show(verdict)
    sys.exit(bool(verdict.wrong))


def show(verdict: Verdict) -> None:
    print(verdict.plan)
    print(f"machine: {platform.machine()}, Python {platform.python_version()}")
    for name, value in verdict.figures.items():
        print(f"{name}: {value}")
    print(f"faults: {sum(verdict.faults.values())}")
    for name, count in sorted(verdict.faults.items()):
        print(f"  {name}: {count}")
    for one in verdict.tracebacks:
        print(f"a traceback: {one}")
    print("the judge: " + ("; ".join(verdict.wrong) or "0 lost, 0 doubled, the books agree"))


if __name__ == "__main__":
    main()
