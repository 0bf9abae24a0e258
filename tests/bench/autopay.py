"""Does an autopay run keep its pace, how much memory does it hold, and what does a charge cost?

    python -m tests.bench.autopay                 pace, memory and CPU on SQLite, exit 1 when broken
    python -m tests.bench.autopay --part pace     one part alone
    python -m tests.bench.autopay --consolidate   10,000 invoices in 1,000 charges

Stripe is the sandbox in a process of its own, 200 ms away, with Stripe's own limit of 25 requests
a second to each endpoint.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import uvloop
from sqlalchemy import insert

from app.logs import configure
from app.node import open_stripe_node
from app.payments.autopay.report import OutcomeKind
from app.settings import Settings
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice
from tests import postgres

ROOT = Path(__file__).parents[2]
PACE = 25.0
PACE_KEPT = 0.95
# The growth of memory from 1,000 to 50,000 due invoices that still counts as flat.
FLAT_MIB = 24
CUSTOMERS = 200
# A run that charges all that a client owes at once: its clients, their invoices, and the seconds
# that the run and the dry run before it may take.
CLIENTS_AT_ONCE = 1_000
INVOICES_AT_ONCE = 10_000
RUN_S = 45.0
DRY_RUN_S = 10.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--part", choices=["pace", "memory", "cpu"], help="one part alone")
    options.add_argument("--consolidate", action="store_true", help="only charges of many invoices")
    options.add_argument("--child", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        asked = json.loads(given.child)
        part = {"prepared": prepared, "run": run}[asked["part"]]
        # As the command line runs it.
        print(json.dumps(uvloop.run(part(asked))))
        return
    parts = {"pace": pace, "memory": memory, "cpu": cpu}
    if given.consolidate:
        sys.exit(0 if consolidated() else 1)
    wanted = [given.part] if given.part else list(parts)
    sys.exit(0 if all([parts[name]() for name in wanted]) else 1)


def pace() -> bool:
    """400 invoices at 25 a second take 16 s; the first and the last second are not counted."""
    with sandbox(latency=0.2, pace=PACE) as url:
        found = child(url, invoices=400, pace=PACE, concurrency=32)
        limited = status(url)["rate_limited"]
    rate = found["steady_per_second"]
    kept = rate >= PACE * PACE_KEPT and limited == 0 and found["charged"] == 400
    print(f"pace: {rate:.1f} charges/s of {PACE:.0f} allowed, {limited} refused by the limiter "
          f"(>= {PACE_KEPT:.0%} and none) {word(kept)}")  # fmt: skip
    return kept


def memory() -> bool:
    """A dry run meets every due invoice as a run does, and keeps a report of all of them."""
    few, many = (due_invoices(count) for count in (1_000, 50_000))
    growth = many["peak_mib"] - few["peak_mib"]
    kept = growth <= FLAT_MIB
    print(f"memory: {few['peak_mib']:.0f} MiB for 1,000 due invoices, {many['peak_mib']:.0f} MiB "
          f"for 50,000 (at most {FLAT_MIB} MiB more) {word(kept)}")  # fmt: skip
    return kept


def due_invoices(count: int) -> dict[str, float]:
    with sandbox(latency=0, pace=None) as url:
        return child(url, invoices=count, pace=10_000, concurrency=32, dry=True)


def cpu() -> bool:
    with sandbox(latency=0, pace=None) as url:
        found = child(url, invoices=1_000, pace=10_000, concurrency=32)
    print(f"cpu: {found['cpu_ms_per_charge']:.2f} ms of ours per charged invoice, "
          f"{found['per_second']:.0f} charges/s with the pace lifted")  # fmt: skip
    return bool(found["charged"] == 1_000)


def consolidated() -> bool:
    """10 invoices of each client in one charge; memory is compared with a tenth of them."""
    few = at_once(INVOICES_AT_ONCE // 10, CLIENTS_AT_ONCE // 10)
    many = at_once(INVOICES_AT_ONCE, CLIENTS_AT_ONCE)
    growth = many["peak_mib"] - few["peak_mib"]
    kept = (
        many["seconds"] <= RUN_S
        and many["dry_seconds"] <= DRY_RUN_S
        and many["limited"] == 0
        and many["charged"] == INVOICES_AT_ONCE
        and many["charges"] == CLIENTS_AT_ONCE
        and growth <= FLAT_MIB
    )
    print(f"consolidated: {many['charged']:,} invoices in {many['charges']:,} charges took "
          f"{many['seconds']:.1f} s (at most {RUN_S:.0f}), the dry run {many['dry_seconds']:.1f} s "
          f"(at most {DRY_RUN_S:.0f}), {many['limited']} refused by the limiter, "
          f"{growth:.0f} MiB more than for a tenth (at most {FLAT_MIB}) {word(kept)}")  # fmt: skip
    return kept


def at_once(invoices: int, customers: int) -> dict[str, float]:
    with sandbox(latency=0.2, pace=PACE) as url:
        found = child(url, invoices=invoices, customers=customers, pace=PACE, concurrency=32,
                      consolidate=True)  # fmt: skip
        told = status(url)
    return {**found, "limited": told["rate_limited"], "charges": told["counts"]["charges"]}


def word(kept: bool) -> str:
    return "kept" if kept else "BROKEN"


def child(url: str, **what: object) -> dict[str, float]:
    """One run in a process of its own, so that its memory and CPU are its own."""
    with tempfile.TemporaryDirectory() as folder:
        asked = {"stripe": url, "database": f"sqlite:///{folder}/bench.db", **what}
        for part in ("prepared", "run"):
            command = [sys.executable, "-m", "tests.bench.autopay", "--child",
                       json.dumps({"part": part, **asked})]  # fmt: skip
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


async def run(asked: dict) -> dict[str, float]:
    settings = Settings(
        _env_file=None,
        PAYDUE_DATABASE_URL=asked["database"],
        PAYDUE_CREATE_DATABASE=True,
        PAYDUE_STRIPE_API_BASE=asked["stripe"],
        PAYDUE_STRIPE_PACE=asked["pace"],
        PAYDUE_STRIPE_CONCURRENCY=asked["concurrency"],
        PAYDUE_AUTOPAY_CONSOLIDATE=asked.get("consolidate", False),
        STRIPE_API_KEY="sk_test_bench",
        PAYDUE_LOG_LEVEL="warning",
    )
    configure(settings)
    times: list[float] = []
    async with open_stripe_node(settings) as node:
        way = node.autopay()
        dry_began = time.monotonic()
        if asked.get("consolidate"):
            (await way.dry_run()).close()
        dry_took = time.monotonic() - dry_began
        began, used = time.monotonic(), time.process_time()
        if asked.get("dry"):
            report = await way.dry_run()
        else:
            report = await way.run(tell=lambda _: times.append(time.monotonic()))
        took, used = time.monotonic() - began, time.process_time() - used
    charged = report.counts[OutcomeKind.CHARGED]
    report.close()
    return {
        "charged": charged,
        "seconds": took,
        "dry_seconds": dry_took,
        "per_second": charged / took,
        "steady_per_second": steady(times),
        "cpu_ms_per_charge": used * 1000 / charged,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def steady(times: list[float]) -> float:
    """Charges per second between the first and the last second of a run."""
    if len(times) < 2:
        return 0.0
    inside = [at for at in times if times[0] + 1 <= at <= times[-1] - 1]
    return (len(inside) - 1) / (inside[-1] - inside[0]) if len(inside) > 1 else 0.0


async def prepared(asked: dict) -> None:
    """Clients, their customers at Stripe, and invoices that are due today."""
    customers = asked.get("customers", CUSTOMERS)
    clients = [
        {"id": n, "name": f"Client {n}", "stripe_customer_id": f"cus_b{n}",
         "stripe_payment_method_id": f"pm_b{n}"}
        for n in range(1, customers + 1)
    ]  # fmt: skip
    for one in clients:
        body = {"id": one["stripe_customer_id"], "payment_method": one["stripe_payment_method_id"],
                "behaviour": ["succeed"]}  # fmt: skip
        posted(f"{asked['stripe']}/_sandbox/customers", body)
    today = datetime.now(UTC).date()
    rows = [
        {"client_id": n % customers + 1, "invoicenumber": f"B-{n}", "duedate": today,
         "total": Decimal(10), "amountdue": Decimal(10), "take_auto_payment": True}
        for n in range(asked["invoices"])
    ]  # fmt: skip
    database = Database(asked["database"])
    await schema.upgrade(database)
    async with database.transaction() as tx:
        await tx.execute(insert(table_of(Client)), clients)
        for start in range(0, len(rows), 5_000):
            await tx.execute(insert(table_of(Invoice)), rows[start : start + 5_000])
    await database.close()


@contextlib.contextmanager
def sandbox(*, latency: float, pace: float | None) -> Iterator[str]:
    port = postgres.free_port()
    command = [sys.executable, "-m", "app", "sandbox", "--port", str(port),
               "--latency", str(latency), *(["--pace", str(pace)] if pace else [])]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, env={**os.environ})
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(1_200):
            with contextlib.suppress(OSError):
                status(url)
                break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def status(url: str) -> dict:
    with urllib.request.urlopen(f"{url}/_sandbox/status", timeout=5) as answer:
        return json.load(answer)


def posted(url: str, body: dict) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=5) as answer:
        answer.read()


if __name__ == "__main__":
    main()
