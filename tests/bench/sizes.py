"""The bytes that a number of events takes on disk, before and after purges, on both databases.

    python -m tests.bench.sizes --events 100000
    python -m tests.bench.sizes --events 1000000 --only postgresql

Realistic events over 1,000 invoices go through the inbox, as webhooks do. Then they are made old:
once enough to be compressed, and once enough to be dropped. SQLite's file is measured after VACUUM,
PostgreSQL's tables after VACUUM FULL, so that only what is kept is counted.
"""

import argparse
import asyncio
import itertools
import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import make_url, update

from app import logs
from app.errors import Unavailable
from app.node import Node, open_node
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.tables.stripe_events import StripeEvent
from tests import postgres
from tests.bench import load
from tests.bench.webhooks import TEMPLATE, prepared
from tests.harness import NO_STRIPE, settings_for

EVENTS = table_of(StripeEvent)
AT_ONCE = 200
AGAIN_S = 1.0
PATIENT_S = 600.0  # nobody waits for an answer here
COMPRESS_AFTER, DROP_AFTER = 30, 400
SHOWN = 8

Sizes = Mapping[str, int]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=100_000)
    options.add_argument("--only", default="sqlite,postgresql")
    given = options.parse_args()
    logs.configure(Settings(_env_file=None, PAYDUE_LOG_LEVEL="error"))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for engine in given.only.split(","):
            url = f"sqlite:///{folder}/sizes.db"
            if engine == "postgresql":
                url = stack.enter_context(postgres.running()).create("sizes")
            asyncio.run(prepared(url))
            show(engine, given.events, asyncio.run(measured(url, given.events)))


async def measured(url: str, count: int) -> dict[str, Sizes]:
    """The bytes of each table with its indexes, by the moment."""
    settings = settings_for(
        url, NO_STRIPE, PAYDUE_COMPRESS_EVENTS_AFTER=COMPRESS_AFTER,
        PAYDUE_DROP_EVENTS_AFTER=DROP_AFTER,
    )  # fmt: skip
    async with open_node(settings, answer_limit_s=PATIENT_S) as node:
        began = time.monotonic()
        await fill(node, count)
        print(f"{count} events in {time.monotonic() - began:.0f} s")
    found = {"before": await sizes(url)}
    for name, days in (("compressed", COMPRESS_AFTER + 1), ("dropped", DROP_AFTER + 1)):
        async with open_node(settings) as node:
            await make_old(node, days)
            began = time.monotonic()
            result = await node.purge(from_start=True).run()
            print(f"purge: {result}; {time.monotonic() - began:.0f} s")
        found[name] = await sizes(url)
    return found


async def fill(node: Node, count: int) -> None:
    bodies = made(count)
    while some := list(itertools.islice(bodies, AT_ONCE)):
        await asyncio.gather(*(_delivered(node, body) for body in some))


async def _delivered(node: Node, body: bytes) -> None:
    """As Stripe delivers: what a busy machine does not store comes again."""
    while True:
        try:
            return await node.inbox.receive(json.loads(body), body, "webhook")
        except Unavailable:
            await asyncio.sleep(AGAIN_S)


def made(count: int) -> Iterator[bytes]:
    """Distinct succeeded PaymentIntents, as `tests.bench.load` posts them."""
    for first in range(0, count, AT_ONCE):
        some = min(AT_ONCE, count - first)
        for request in load.requests(TEMPLATE.read_bytes(), some, f"{first:09d}"):
            yield request.partition(b"\r\n\r\n")[2]


async def make_old(node: Node, days: int) -> None:
    async with node.database.transaction() as tx:
        received = node.database.now() - timedelta(days=days)
        await tx.execute(update(EVENTS).values(received_at=received))


async def sizes(url: str) -> Sizes:
    if url.startswith("sqlite"):
        return await asyncio.to_thread(_sqlite_sizes, make_url(url).database or "")
    connection = await asyncpg.connect(url)
    await connection.execute("VACUUM FULL")
    rows = await connection.fetch(
        "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    await connection.close()
    return {row[0]: int(row[1]) for row in rows}


def _sqlite_sizes(file: str) -> Sizes:
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        opened.execute("VACUUM")
        rows = opened.execute(
            "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name) "
            "GROUP BY tbl_name"
        ).fetchall()
    found = {name: int(size) for name, size in rows}
    return {**found, "(the file)": Path(file).stat().st_size}


def show(engine: str, count: int, found: Mapping[str, Sizes]) -> None:
    totals: dict[str, Any] = {
        name: one.get("(the file)", sum(one.values())) for name, one in found.items()
    }
    print(f"\n{engine}, {count} events; MB (bytes an event)")
    print(f"{'table':24}" + "".join(f"{name:>22}" for name in found))
    tables = [name for name in found["before"] if name != "(the file)"]
    tables.sort(key=lambda name: -found["before"][name])
    for table in tables[:SHOWN]:
        print(f"{table:24}" + "".join(_cell(one.get(table, 0), count) for one in found.values()))
    print(f"{'all':24}" + "".join(_cell(one, count) for one in totals.values()))


def _cell(size: int, count: int) -> str:
    return f"{f'{size / 1e6:,.1f} ({size / count:,.0f})':>22}"


if __name__ == "__main__":
    main()
