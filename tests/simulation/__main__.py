"""python -m tests.simulation --schedules 10000 [--seed N] [--verbose]"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog
import uvloop

from app.storage import schema
from app.storage.engines import Database
from tests.simulation.running import Coverage, run_all, sqlite_copies
from tests.simulation.schedule import ScheduleFailed


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("--schedules", type=int, default=10_000)
    asked.add_argument("--seed", type=int, default=0, help="of the first schedule")
    asked.add_argument("--verbose", action="store_true", help="show what the service logs")
    given = asked.parse_args()
    level = logging.DEBUG if given.verbose else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    started = time.monotonic()
    try:
        coverage = uvloop.run(_run(range(given.seed, given.seed + given.schedules)))
    except ScheduleFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    took = time.monotonic() - started
    sys.stdout.write("\n".join(coverage.lines()))
    sys.stdout.write(f"\n{coverage.schedules} schedules in {took:.1f} s, all as Stripe says\n")
    return 0


async def _run(seeds: range) -> Coverage:
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.db"
        database = Database(f"sqlite:///{template}")
        await schema.upgrade(database)
        await database.close()
        async with sqlite_copies(template) as new_database:
            return await run_all(seeds, new_database)


if __name__ == "__main__":
    sys.exit(main())
