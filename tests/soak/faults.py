"""The faults: each happens to the database, to a process, to Stripe or to the clock, and ends."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.sandbox.server import Sandbox
from tests.soak.databases import SoakedDatabase
from tests.soak.processes import SteppedClock, Supervised

# Deliveries are valid for 300 seconds, either way.
STEPS_S = (-90, -20, 30, 120)
FULL_S = 3.0
AWAY_S = 2.0
UNWELL_S = 5.0

Fault = Callable[[], Awaitable[None]]


@dataclass
class Faults:
    """Every fault that this place can have, by its name."""

    database: SoakedDatabase
    sandbox: Sandbox
    serving: list[Supervised]
    worker: Supervised
    clock: SteppedClock | None
    kill_run: Callable[[], None]
    rng: random.Random

    def by_name(self) -> Mapping[str, Fault]:
        found: dict[str, Fault] = {
            "kill -9 serve": self._kill_serve,
            "kill -9 worker": self._kill_worker,
            "kill -9 autopay run": self._kill_run,
            "Stripe answers 5xx": self._stripe_5xx,
            "Stripe is silent": self._stripe_silent,
            "Stripe cuts answers off": self._stripe_cuts,
        }
        if self.clock:
            found["clock step"] = self._step_clock
        if self.database.disk:
            found["disk full"] = self._fill_disk
        if self.database.servers:
            found["PostgreSQL restart"] = self._restart_postgres
            found["PostgreSQL failover"] = self._fail_over
            found["pgbouncer cut"] = self._cut_bouncer
        return found

    async def _kill_serve(self) -> None:
        self.rng.choice(self.serving).kill()

    async def _kill_worker(self) -> None:
        self.worker.kill()

    async def _kill_run(self) -> None:
        self.kill_run()

    async def _stripe_5xx(self) -> None:
        self.sandbox.fault("*", "status", status=503, probability=0.5)
        await asyncio.sleep(UNWELL_S)
        self.sandbox.clear_faults()

    async def _stripe_silent(self) -> None:
        """Half of the requests are carried out, and their answers never come."""
        self.sandbox.fault("*", "hang", when="after", seconds=60, probability=0.5)
        await asyncio.sleep(UNWELL_S)
        self.sandbox.clear_faults()

    async def _stripe_cuts(self) -> None:
        self.sandbox.fault("*", "truncate", when="after", probability=0.5)
        await asyncio.sleep(UNWELL_S)
        self.sandbox.clear_faults()

    async def _step_clock(self) -> None:
        assert self.clock is not None, "only where there is one"
        self.clock.step(self.rng.choice(STEPS_S))
        await asyncio.sleep(UNWELL_S)
        self.clock.step(0)

    async def _fill_disk(self) -> None:
        assert self.database.disk is not None, "only where there is one"
        await asyncio.to_thread(self.database.disk.fill)
        await asyncio.sleep(FULL_S)
        await asyncio.to_thread(self.database.disk.free)

    async def _restart_postgres(self) -> None:
        assert self.database.servers is not None, "only where there are some"
        await asyncio.to_thread(self.database.servers.restart)

    async def _fail_over(self) -> None:
        assert self.database.servers is not None, "only where there are some"
        await self.database.servers.fail_over()

    async def _cut_bouncer(self) -> None:
        assert self.database.servers is not None, "only where there are some"
        servers = self.database.servers
        servers.bouncer.cut()
        await asyncio.sleep(AWAY_S)
        servers.bouncer.start(servers.primary.port)
