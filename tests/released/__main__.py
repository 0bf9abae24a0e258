"""`python -m tests.released FOLDER`: play some days, and keep both databases."""

import argparse
import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import orjson

from app.cli.import_file import import_records
from app.ledger import audit_chain
from app.sandbox.server import Sandbox
from app.storage import schema
from app.storage.engines import Database
from tests import postgres
from tests.harness import Paydue, event, intent, settings_for
from tests.ledger_acts import RandomActs
from tests.released import dumps

ACTS = 80
DEMO = Path(__file__).parents[2] / "fixtures" / "demo.json"


async def play(database_url: str) -> None:
    """Invoices charged, declined, refunded, voided and paid by hand; events applied and parked."""
    sandbox = Sandbox(seed=0)
    async with sandbox.running() as stripe_url:
        settings = settings_for(database_url, stripe_url)
        async with Paydue.running(settings, sandbox) as paydue:
            acts = RandomActs(paydue.database, seed=5)
            await acts.begin()
            for _ in range(ACTS):
                await acts.act()
            raw = DEMO.read_bytes()
            for one in orjson.loads(raw)["clients"]:
                card = one.get("sandbox")
                if card:
                    sandbox.add_customer(
                        one["stripe_customer_id"], payment_method=card["payment_method"],
                        behaviour=card["behaviour"][0],
                    )  # fmt: skip
            await import_records(paydue.database, settings, raw)
            await paydue.autopay()
            await paydue.deliver(*sandbox.events)
            await paydue.deliver(event("payment_intent.succeeded", intent(999_999)))
            await paydue.access()
            await paydue.reconcile()
            await audit_chain.seal(paydue.database)


async def keep(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place, postgres.in_memory() as server:
        for engine, url in (
            ("sqlite", f"sqlite:///{place}/paydue.db"),
            ("postgres", server.create("paydue")),
        ):
            async with migrated(url):
                await play(url)
            dumps.write(url, folder / f"{schema.head()}.{engine}.gz")


@contextlib.asynccontextmanager
async def migrated(url: str) -> AsyncIterator[None]:
    database = Database(url)
    await schema.upgrade(database)
    await database.close()
    yield


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    asyncio.run(keep(parser.parse_args().folder))
