"""One soak: its place, its load, its runs, its faults one by one, its end and its verdict."""

import asyncio
import contextlib
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import orjson

from app.cli.import_file import import_records
from app.errors import AppError
from app.sandbox.server import Sandbox
from app.storage.engines import Database
from tests.harness import NO_STRIPE, SECRET, settings_for
from tests.patience import wait_limit
from tests.place import books
from tests.place.programs import program
from tests.postgres import free_port
from tests.soak import databases, judge
from tests.soak.databases import SoakedDatabase
from tests.soak.deliveries import Deliveries
from tests.soak.faults import Faults
from tests.soak.processes import SteppedClock, Supervised

RECEIVERS = 40  # invoices that the load pays, a dollar at a time
RECEIVABLE = "9000000.00"
SERVERS = {"SQLite": 1, "PostgreSQL": 2}
REST_S = 240.0
PATIENCE_S = 120.0
POLL_S = 0.2

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a soak does. Times are in seconds."""

    engine: str
    seconds: float
    rate: float = 100.0
    gap: tuple[float, float] = (5.0, 40.0)
    run_every: float = 60.0
    invoices_a_run: int = 20
    seed: int = 1


@dataclass
class Verdict:
    """What was done, and what came of it."""

    plan: Plan
    wrong: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    figures: dict[str, Any] = field(default_factory=dict)
    tracebacks: list[str] = field(default_factory=list)


async def soak(plan: Plan) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="paydue-soak-") as folder:
        place = databases.sqlite if plan.engine == "sqlite" else databases.postgresql
        async with place(Path(folder)) as database:
            return await Soak(plan, database, Path(folder)).run()


class Soak:
    """The parts of one soak, and the order in which they begin and end."""

    def __init__(self, plan: Plan, database: SoakedDatabase, folder: Path) -> None:
        self._plan, self._database, self._folder = plan, database, folder
        self._rng = random.Random(plan.seed)
        self._sandbox = Sandbox(seed=plan.seed)
        self._customers = 0
        self._runs: Counter[str] = Counter()
        self._run: asyncio.subprocess.Process | None = None
        self._acknowledged: set[str] = set()
        self._verdict = Verdict(plan)
        self._clock = SteppedClock(folder / "clock") if SteppedClock.is_there() else None

    async def run(self) -> Verdict:
        async with self._sandbox.running() as stripe_url, self._processes(stripe_url) as found:
            serving, worker = found
            receivers = await self._enter(RECEIVERS, RECEIVABLE, is_charged=False)
            for one in serving:
                await one.answers()
            load = Deliveries([one.url for one in serving], receivers, self._plan.rate, self._rng)
            self._sandbox.add_endpoint(f"{serving[0].url}/stripe/webhook", secrets=[SECRET])
            self._sandbox.outbox.retry_seconds = 1.0
            until = asyncio.Event()
            loading = asyncio.create_task(load.run(until))
            started = time.monotonic()
            await self._spoil(serving, worker, stripe_url)
            until.set()
            await self._come_to_rest(loading, stripe_url)
            await self._judge(load, time.monotonic() - started)
            self._verdict.figures["starts"] = {
                " ".join(one.command[:1]) + f" {number}": one.starts
                for number, one in enumerate([*serving, worker])
            }
        for one in [*serving, worker]:
            self._verdict.tracebacks += one.tracebacks
        return self._verdict

    @contextlib.asynccontextmanager
    async def _processes(
        self, stripe_url: str
    ) -> AsyncIterator[tuple[list[Supervised], Supervised]]:
        where = {"stripe_url": stripe_url, "folder": self._folder, "PAYDUE_RECONCILE_EVERY": "20"}
        serving = []
        for _ in range(SERVERS[self._database.engine]):
            port = free_port()
            one = Supervised(
                ("serve", "--port", str(port)),
                {**where, "database_url": self._database.url},
                self._clock,
                f"http://127.0.0.1:{port}",
            )
            serving.append(one)
        pooled = {**where, "database_url": self._database.pooled_url}
        worker = Supervised(("worker",), pooled, self._clock)
        async with contextlib.AsyncExitStack() as stack:
            for one in [*serving, worker]:
                await stack.enter_async_context(one.running())
            yield serving, worker

    # --- what happens meanwhile --------------------------------------------------------------

    async def _spoil(self, serving: list[Supervised], worker: Supervised, stripe_url: str) -> None:
        """Runs at their times, and the faults in an order that repeats none before all were."""
        faults = Faults(
            self._database, self._sandbox, serving, worker, self._clock, self._kill_run, self._rng
        ).by_name()
        end = time.monotonic() + self._plan.seconds
        running = asyncio.create_task(self._charge_regularly(end, stripe_url))
        deck: list[str] = []
        while True:
            await asyncio.sleep(min(self._rng.uniform(*self._plan.gap), end - time.monotonic()))
            if time.monotonic() >= end:
                break
            if not deck:
                deck = sorted(faults)
                self._rng.shuffle(deck)
            name = deck.pop()
            await faults[name]()
            self._verdict.faults[name] += 1
            self._note_deliveries()
        await running

    async def _charge_regularly(self, end: float, stripe_url: str) -> None:
        while time.monotonic() < end:
            await self._enter(self._plan.invoices_a_run, "120.00", is_charged=True)
            await self._charge(stripe_url)
            await asyncio.sleep(max(0.0, min(self._plan.run_every, end - time.monotonic())))

    async def _charge(self, stripe_url: str) -> None:
        where = {"database_url": self._database.pooled_url, "stripe_url": stripe_url}
        clock = self._clock.environment() if self._clock else {}
        async with program("autopay", "run", **where, folder=self._folder, **clock) as run:
            self._run = run.process
            code = await run.process.wait()
            self._runs["killed" if code < 0 else f"exit code {code}"] += 1
            if "Traceback" in run.log():
                self._verdict.tracebacks.append(run.log()[-2000:])
        run.errors.unlink()

    def _kill_run(self) -> None:
        if self._run is not None and self._run.returncode is None:
            self._run.kill()

    def _note_deliveries(self) -> None:
        """The sandbox's own record is bounded."""
        for one in self._sandbox.deliveries:
            if one.status is not None and 200 <= one.status < 300:
                self._acknowledged.add(one.event)
        self._sandbox.deliveries.clear()

    async def _enter(self, count: int, total: str, *, is_charged: bool) -> list[int]:
        """Clients whose cards pay, each with an invoice due today; answers the invoices' ids."""
        clients = []
        for _ in range(count):
            self._customers += 1
            name = self._customers
            self._sandbox.add_customer(f"cus_{name}", payment_method=f"pm_{name}")
            line = {"item_shortdescription": "Support", "qty_order": 1, "unit_price": total}
            invoice = {
                "due_in_days": 0, "take_auto_payment": is_charged, "lines": [line],
                "invoicenumber": f"INV-{name}",
            }  # fmt: skip
            clients.append(
                {
                    "name": f"Client {name}",
                    "stripe_customer_id": f"cus_{name}",
                    "stripe_payment_method_id": f"pm_{name}",
                    "invoices": [invoice],
                }
            )
        await self._import(orjson.dumps({"clients": clients}))
        # A soak alone enters invoices here, so that an invoice has the number of its client.
        return list(range(self._customers - count + 1, self._customers + 1))

    async def _import(self, raw: bytes) -> None:
        """An import knows what it has imported, so that it is tried until it is done."""
        settings = settings_for(self._database.url, NO_STRIPE)

        async def work() -> None:
            async with _opened(self._database.url) as database:
                await import_records(database, settings, raw)

        await _until_done(work)

    # --- the end -----------------------------------------------------------------------------

    async def _come_to_rest(self, loading: "asyncio.Task[None]", stripe_url: str) -> None:
        """All faults are over: everything is acknowledged, and what was left open ends."""
        self._sandbox.clear_faults()
        async with asyncio.timeout(wait_limit(REST_S)):
            await loading
            await self._sandbox.drained()
            await self._let_leases_expire()
            while await _until_done(self._is_restless):
                await self._charge(stripe_url)
                await asyncio.sleep(POLL_S)
                await self._let_leases_expire()
            await self._sandbox.drained()
        self._note_deliveries()

    async def _let_leases_expire(self) -> None:
        await _until_done(lambda: books.let_leases_expire(self._database.url))

    async def _is_restless(self) -> bool:
        async with _opened(self._database.url) as database, database.snapshot() as tx:
            return await judge.is_restless(tx)

    async def _judge(self, load: Deliveries, seconds: float) -> None:
        url = self._database.url
        self._verdict.wrong = await judge.faults_found(url, load, self._sandbox, self._acknowledged)
        lags = sorted(load.lags)
        self._verdict.figures |= {
            "seconds": round(seconds),
            "events sent by the load": load.sent,
            "acknowledged": len(load.acknowledged),
            "deliveries by answer": {str(key): count for key, count in load.statuses.items()},
            "events of Stripe's acknowledged": len(self._acknowledged),
            "events stored": await judge.count_events(url),
            "charged by autopay": len(self._sandbox.ledger.charges()),
            "runs": dict(self._runs),
            "lag p50, p99, max in s": [
                round(lags[int(part * (len(lags) - 1))], 3) for part in (0.5, 0.99, 1)
            ],
        }


@contextlib.asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


async def _until_done(work: Callable[[], Awaitable[T]]) -> T:
    """The soak's own work on the database meets the same faults, and begins again."""
    deadline = time.monotonic() + wait_limit(PATIENCE_S)
    while True:
        try:
            return await work()
        except (AppError, OSError, asyncpg.PostgresError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(1)
