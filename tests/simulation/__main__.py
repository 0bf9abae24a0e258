"""python -m tests.simulation --schedules 10000 [--seed N] [--jobs N] [--postgres] [--verbose]"""

import argparse
import asyncio
import logging
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import structlog

from app.storage import schema
from app.storage.engines import Database
from tests import postgres
from tests.conftest import TEMPLATE, copied
from tests.simulation.running import Coverage, play_side_by_side, play_sqlite
from tests.simulation.schedule import ScheduleFailed

# As many schedules are under way at a time on PostgreSQL.
CROWD = 4


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("--schedules", type=int, default=10_000)
    asked.add_argument("--seed", type=int, default=0, help="of the first schedule")
    asked.add_argument("--jobs", type=int, default=1, help="how many cores share the schedules")
    asked.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own")
    asked.add_argument("--verbose", action="store_true", help="show what the service logs")
    given = asked.parse_args()
    level = logging.DEBUG if given.verbose else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.db"
        asyncio.run(_migrate(Database(f"sqlite:///{template}")))
        started = time.monotonic()
        try:
            seeds = range(given.seed, given.seed + given.schedules)
            if given.postgres:
                coverage = _play_postgres(seeds)
            else:
                coverage = play_sqlite(seeds, template, given.jobs)
        except ScheduleFailed as error:
            sys.stderr.write(f"{error}\n")
            return 1
    took = time.monotonic() - started
    sys.stdout.write("\n".join(coverage.lines()))
    each_ms = _processor_s() / coverage.schedules * 1000
    pace = f"{coverage.schedules / took:.1f} a second, {each_ms:.0f} ms of processor each"
    sys.stdout.write(f"\n{coverage.schedules} schedules in {took:.1f} s ({pace}), as Stripe says\n")
    return 0


def _play_postgres(seeds: range) -> Coverage:
    """In one process, several databases at a time: it is the server that is waited for."""
    with postgres.in_memory() as server:
        asyncio.run(_migrate(Database(server.create(TEMPLATE))))
        return asyncio.run(
            play_side_by_side(seeds, partial(copied, server), min(CROWD, len(seeds)))
        )


def _processor_s() -> float:
    """Of this process and of those that shared the schedules: it tells more on a busy machine."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


async def _migrate(database: Database) -> None:
    await schema.upgrade(database)
    await schema.installation(database)
    await database.close()


if __name__ == "__main__":
    sys.exit(main())
