"""Is a payment found as fast among a million as among ten thousand?

    python -m tests.bench.lookup                  both sizes on SQLite; exit 1 when broken
    python -m tests.bench.lookup --postgres       on PostgreSQL

Measured over HTTP: GET /api/InvoicePayment?intent_id=, and `paydue payment find`'s own lookup.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import aiohttp
from sqlalchemy import insert, text

from app.halo.access.api_credentials import create_credential
from app.node import open_node
from app.payments import lookup
from app.serving import serve_in_loop
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_payments import StripePayment
from tests import postgres
from tests.harness import settings_for

SIZES = (10_000, 1_000_000)
GROWTH_MAX = 1.5
LOOKUPS = 4_000
WARMING = 200
CHUNK = 20_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--postgres", action="store_true")
    options.add_argument("--sizes", type=int, nargs=2, default=SIZES)
    given = options.parse_args()
    with contextlib.ExitStack() as stack:
        if given.postgres:
            server = stack.enter_context(postgres.running())
            urls = [server.create(f"bench{size}") for size in given.sizes]
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            urls = [f"sqlite:///{folder}/{size}.db" for size in given.sizes]
        found = asyncio.run(compared(urls, given.sizes))
    kept = True
    for name in ("api", "find"):
        small, large = (one[name] for one in found)
        holds = large / small <= GROWTH_MAX
        kept &= holds
        print(f"{name}: p99 {small:.2f} ms at {given.sizes[0]:,}, {large:.2f} ms at "
              f"{given.sizes[1]:,}: {large / small:.2f} times (<= {GROWTH_MAX}) "
              f"{'kept' if holds else 'BROKEN'}")  # fmt: skip
    sys.exit(0 if kept else 1)


async def compared(urls: list[str], sizes: tuple[int, int]) -> list[dict[str, float]]:
    """Both sizes are asked in turn, lookup by lookup, so that a slow moment meets both."""
    for url, size in zip(urls, sizes, strict=True):
        await filled(url, size)
    async with contextlib.AsyncExitStack() as stack:
        places = [
            await stack.enter_async_context(opened(url, size))
            for url, size in zip(urls, sizes, strict=True)
        ]
        for _ in range(LOOKUPS):
            for place in places:
                await place.look_up()
        return [{"api": p99(place.api), "find": p99(place.find)} for place in places]


async def filled(url: str, size: int) -> None:
    database = Database(url)
    await schema.upgrade(database)
    now = datetime.now(UTC)
    async with database.transaction() as tx:
        await tx.execute(insert(table_of(Invoice)), [{"id": n} for n in range(1, 1001)])
    for start in range(0, size, CHUNK):
        shares = [
            {"invoice_id": n % 1000 + 1, "date": now, "amount": Decimal(n % 5000),
             "intent_id": intent(n)}
            for n in range(start, start + CHUNK)
        ]  # fmt: skip
        intents = [
            {"intent_id": one["intent_id"], "state": 5, "state_at": now, "amount": one["amount"],
             "currency_iso": "usd", "charge_id": f"ch_{n:024d}"}
            for n, one in enumerate(shares, start)
        ]  # fmt: skip
        async with database.transaction() as tx:
            await tx.execute(insert(table_of(StripePayment)), intents)
            await tx.execute(insert(table_of(InvoicePayment)), shares)
    async with database.transaction() as tx:
        await tx.execute(text("ANALYZE"))
    await database.close()


@dataclass
class Place:
    """One database, served, and how long each lookup in it took, in seconds."""

    picks: Iterator[str]
    http: aiohttp.ClientSession
    tx: Tx
    api: list[float] = field(default_factory=list)
    find: list[float] = field(default_factory=list)

    async def look_up(self) -> None:
        one = next(self.picks)
        self.api.append(await asked(self.http, one))
        began = time.perf_counter()
        assert len(await lookup.find_intents(self.tx, one)) == 1
        self.find.append(time.perf_counter() - began)


@contextlib.asynccontextmanager
async def opened(url: str, size: int) -> AsyncIterator[Place]:
    """The database served over HTTP, after some lookups that are not counted."""
    settings = settings_for(url, "http://127.0.0.1:9")
    chosen = random.Random(size)
    picks = iter([intent(chosen.randrange(size)) for _ in range(WARMING + LOOKUPS)])
    async with contextlib.AsyncExitStack() as stack:
        node = await stack.enter_async_context(open_node(settings))
        base = await stack.enter_async_context(serve_in_loop(node.web_application()))
        http = await stack.enter_async_context(aiohttp.ClientSession(base))
        http.headers["Authorization"] = f"Bearer {await token(node.database, http)}"
        place = Place(picks, http, await stack.enter_async_context(node.database.snapshot()))
        for _ in range(WARMING):
            await place.look_up()
        place.api.clear()
        place.find.clear()
        yield place


async def token(database: Database, http: aiohttp.ClientSession) -> str:
    async with database.transaction() as tx:
        client_id, secret = await create_credential(tx, "bench", ["all"], datetime.now(UTC))
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    async with http.post("/auth/token", data=form) as answer:
        found: str = (await answer.json())["access_token"]
    return found


async def asked(http: aiohttp.ClientSession, intent_id: str) -> float:
    began = time.perf_counter()
    async with http.get("/api/InvoicePayment", params={"intent_id": intent_id}) as answer:
        (found,) = await answer.json()
        assert found["intent_id"] == intent_id
    return time.perf_counter() - began


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)] * 1000


def intent(number: int) -> str:
    return f"pi_{number * 7919 % 10**9:024d}"


if __name__ == "__main__":
    main()
