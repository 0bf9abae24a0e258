"""How many rows a second does a run over templates write, and how much memory does it hold?

    python -m tests.bench.recurring                      50,000 templates of 5 lines, on SQLite
    python -m tests.bench.recurring --templates 5000     fewer
    python -m tests.bench.recurring --postgres           on a PostgreSQL that it starts and ends
    python -m tests.bench.recurring --url postgresql://  on an empty database of that server

Beside it the same rows of invoices and lines are inserted plainly, many at once. A run also locks,
plans, taxes, numbers, audits and journals, so it is slower by what those cost.
"""

import argparse
import asyncio
import contextlib
import resource
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select

from app.ledger.recurring_run import BillingOutcome, RecurringRun
from app.rules.home import Home
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Currency
from app.storage.tables.invoices import Invoice, InvoiceLine
from tests import postgres

INVOICES, LINES = table_of(Invoice), table_of(InvoiceLine)
LINES_EACH = 5
BATCH = 1_000
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


async def _fill(database: Database, count: int) -> None:
    async with database.transaction() as tx:
        currency = await tx.scalar(select(Currency.id).where(Currency.code == "usd"))
    for first in range(2, count + 2, BATCH):
        ids = range(first, min(first + BATCH, count + 2))
        templates = [
            {"id": -one, "period": 2, "nextcreationdate": NOW.replace(day=1), "currency_iso": "usd",
             "currency_code": currency, "is_recurring_invoice": True, "anchored_at": NOW}
            for one in ids
        ]  # fmt: skip
        lines = [
            {"ihid": -one, "sequenceid": place, "unit_price": Decimal(10), "tax_rate": Decimal(20)}
            for one in ids
            for place in range(LINES_EACH)
        ]
        async with database.transaction() as tx:
            await tx.execute(insert(INVOICES), templates)
            await tx.execute(insert(LINES), lines)


async def _plain(database: Database) -> float:
    """Seconds in which the rows that the run made are inserted again, and nothing else."""
    async with database.snapshot() as tx:
        invoices = await _rows(tx, select(INVOICES).where(INVOICES.c.id > 0))
        lines = await _rows(tx, select(LINES).where(LINES.c.ihid > 0))
    async with database.transaction() as tx:
        await tx.execute(delete(LINES).where(LINES.c.ihid > 0))
        await tx.execute(delete(INVOICES).where(INVOICES.c.id > 0))
    began = time.perf_counter()
    for first in range(0, len(invoices), BATCH):
        async with database.transaction() as tx:
            await tx.execute(insert(INVOICES), invoices[first : first + BATCH])
            part = lines[first * LINES_EACH : (first + BATCH) * LINES_EACH]
            await tx.execute(insert(LINES), part)
    return time.perf_counter() - began


async def _rows(tx: Any, statement: Any) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in await tx.execute(statement.order_by("id"))]


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def main(count: int, url: str) -> None:
    database = Database(url)
    await schema.upgrade(database)
    await _fill(database, count)
    before = _memory_mib()
    run = RecurringRun(database, Home("usd", "UTC"), lambda: NOW, asyncio.Event())
    began = time.perf_counter()
    report = await run.run()
    took = time.perf_counter() - began
    grown = _memory_mib() - before
    assert report.counts[BillingOutcome.CREATED] == count, report
    plain = await _plain(database)
    rows = count * (1 + LINES_EACH)
    print(f"run: {rows / took:,.0f} rows/s, {count / took:,.0f} invoices/s, {grown:.0f} MiB more")
    print(f"plain inserts: {rows / plain:,.0f} rows/s; the run reaches {plain / took:.2f} of them")
    await database.close()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--templates", type=int, default=50_000)
    options.add_argument("--url", default="")
    options.add_argument("--postgres", action="store_true")
    asked = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        given = asked.url or f"sqlite:///{Path(folder) / 'bench.db'}"
        if asked.postgres:
            server = stack.enter_context(postgres.running())
            server.create("bench")
            given = server.url("bench")
        asyncio.run(main(asked.templates, given))
