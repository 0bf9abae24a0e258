"""Durable webhooks per second: Paydue on both databases, against a floor and the ordinary way.

    python -m tests.bench.webhooks            all four, a table, exit 1 when a promise is broken
    python -m tests.bench.webhooks --only a,c --events 5000

Each server is one process on this machine, the load comes from another: 32 connections, realistic
events over 1,000 invoices. What is compared is the ratio within one run.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from sqlalchemy import func, insert, select

from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_events import StripeEvent
from tests import postgres
from tests.bench import load

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "tests/bench/event.json"
PROMISES = (("a", "c", 0.5), ("a", "d", 6.0), ("b", "c", 0.4))


@dataclass(frozen=True)
class Target:
    name: str
    command: list[str]
    share: float  # of the events: the slow ones get fewer


def serve(module: str) -> list[str]:
    return [sys.executable, "-m", "uvicorn", f"{module}:app", "--http", "httptools", "--loop",
            "uvloop", "--no-access-log", "--log-level", "warning", "--port"]  # fmt: skip


TARGETS = {
    "a": Target("Paydue on SQLite", [sys.executable, "-m", "app", "serve", "--port"], 1.0),
    "b": Target("Paydue on PostgreSQL", [sys.executable, "-m", "app", "serve", "--port"], 1.0),
    "c": Target("the floor", serve("tests.bench.floor"), 1.0),
    "d": Target("the ordinary way", serve("tests.bench.ordinary"), 0.1),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3, help="the median round counts")
    options.add_argument("--only", default="a,b,c,d")
    given = options.parse_args()
    wanted = given.only.split(",")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in wanted}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres.running()) if "b" in wanted else None
        for turn in range(given.rounds):
            for name in wanted:  # in turn, so that a slow moment of the machine meets all of them
                count = max(500, int(given.events * TARGETS[name].share))
                found = measured(name, TARGETS[name], count, server, turn)
                results[name].append(found)
                print(f"  round {turn + 1} {TARGETS[name].name:22} {found['per_second']:8.0f}/s",
                      file=sys.stderr)  # fmt: skip
    medians = {name: median(rounds) for name, rounds in results.items()}
    show(medians)
    sys.exit(0 if kept(medians) else 1)


def measured(
    name: str, target: Target, count: int, server: postgres.Postgres | None, turn: int
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/bench.db"
        url = server.create(f"bench{turn}") if name == "b" and server else f"sqlite:///{file}"
        if name in "ab":
            asyncio.run(prepared(url))
        with running(target.command, file, url) as port:
            found = loaded(port, count)
        if name in "ab":
            asyncio.run(checked(url, count))
    assert found["not_200"] == 0, (
        f"{target.name}: {found['not_200']} requests were not answered 200"
    )
    return found


def loaded(port: int, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.load", "--template", str(TEMPLATE),
               "--port", str(port), "--count"]  # fmt: skip
    subprocess.run([*command, "300", "--run", "w"], check=True, capture_output=True, cwd=ROOT)
    done = subprocess.run([*command, str(count)], check=True, capture_output=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def running(command: list[str], file: str, url: str) -> Iterator[int]:
    port = postgres.free_port()
    environment = {
        **os.environ,
        "BENCH_DATABASE": file,
        "PAYDUE_DATABASE_URL": url,
        "PAYDUE_CREATE_DATABASE": "true",
        "PAYDUE_STRIPE_API_BASE": "http://127.0.0.1:9",
        "PAYDUE_LOG_LEVEL": "warning",
        "STRIPE_API_KEY": "sk_test_bench",
        "STRIPE_WEBHOOK_SECRET": load.SECRET,
    }
    process = subprocess.Popen([*command, str(port)], env=environment, cwd=ROOT)
    try:
        wait_for(port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def wait_for(port: int) -> None:
    for _ in range(1200):
        with contextlib.suppress(OSError):
            with contextlib.suppress(urllib.error.HTTPError):  # an answer, whatever it says
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
            return
        time.sleep(0.05)
    raise RuntimeError("the server did not start")


async def prepared(url: str) -> None:
    """1,000 invoices that stay unpaid however much arrives."""
    database = Database(url)
    await schema.upgrade(database)
    total = Decimal(10_000_000)
    rows = [
        {"id": number, "invoicenumber": f"B-{number}", "total": total, "amountdue": total,
         "client_id": number % 50 + 1}
        for number in range(1, load.INVOICES + 1)
    ]  # fmt: skip
    # A payment counts only where its Stripe customer is the client's own.
    customer = json.loads(TEMPLATE.read_bytes())["data"]["object"]["customer"]
    clients = [
        {"id": number, "name": f"Client {number}", "stripe_customer_id": customer}
        for number in range(1, 51)
    ]
    async with database.transaction() as tx:
        await tx.execute(insert(table_of(Client)), clients)
        await tx.execute(insert(table_of(Invoice)), rows)
    await database.close()


async def checked(url: str, count: int) -> None:
    """Every event is there once, every payment counts once: speed that loses nothing."""
    database = Database(url)
    async with database.snapshot() as tx:
        events = await tx.scalar(select(func.count()).select_from(table_of(StripeEvent)))
        payments = await tx.scalar(select(func.sum(table_of(InvoicePayment).c.counted)))
        paid = await tx.scalar(select(func.sum(table_of(Invoice).c.amountpaid)))
    await database.close()
    warm = 300
    assert events == count + warm, f"{events} events stored of {count + warm}"
    assert payments == paid == Decimal(load.AMOUNT * (count + warm)) / 100, (payments, paid)


def median(rounds: list[dict[str, float]]) -> dict[str, float]:
    return sorted(rounds, key=lambda one: one["per_second"])[len(rounds) // 2]


def show(medians: dict[str, dict[str, float]]) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, 32 connections, "
          f"events of {TEMPLATE.stat().st_size} bytes")  # fmt: skip
    for name, found in medians.items():
        print(f"({name}) {TARGETS[name].name:22} {found['per_second']:8.0f} events/s   "
              f"p50 {found['p50_ms']:6.1f} ms   p99 {found['p99_ms']:6.1f} ms")  # fmt: skip


def kept(medians: dict[str, dict[str, float]]) -> bool:
    all_kept = True
    for ours, other, least in PROMISES:
        if ours in medians and other in medians:
            ratio = medians[ours]["per_second"] / medians[other]["per_second"]
            all_kept &= ratio >= least
            word = "kept" if ratio >= least else "BROKEN"
            print(f"{TARGETS[ours].name} / {TARGETS[other].name}: {ratio:.2f} (>= {least}) {word}")
    return all_kept


if __name__ == "__main__":
    main()
