"""`paydue worker`: runs what is scheduled, each job under a lease, so that many share the work."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog
from sqlalchemy import or_, select, update

from app.errors import Unavailable
from app.payments.autopay.run import Autopay, StopSignal
from app.payments.reconcile import Reconciliation
from app.payments.stripe.gateway import Gateway, NoAnswer, NotAuthorized, StripeRateLimited
from app.payments.webhook import dead_letters
from app.rules import calendar
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.rows import insert_once
from app.storage.tables.cluster import Job

log = structlog.get_logger("paydue.worker")
JOBS = table_of(Job)

LEASE = timedelta(seconds=60)
HEARTBEAT_S = 20.0
POLL_S = 1.0
# Parked events and open attempts are looked at so often; most looks find nothing and cost a query.
SOON = timedelta(seconds=5)
# After a failure a job waits this long, whatever its schedule.
AFTER_FAILURE = timedelta(seconds=30)
_RESULT_MAX = 500


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """A job: what it does, and when it is next due after an end at a given time."""

    run: Callable[[], Awaitable[str]]
    next_after: Callable[[datetime], datetime]
    waits: bool = False  # for its own time also when it has never run


@dataclass(frozen=True, slots=True)
class Worker:
    """One of any number of workers on one database."""

    database: Database
    gateway: Gateway
    settings: Settings
    installation: str
    stop: StopSignal

    async def run(self) -> None:
        """Work until told to stop; a database that is away is waited for."""
        jobs = self._jobs()
        while not self.stop:
            try:
                await self._announce(jobs)
                break
            except Unavailable as error:
                log.warning("waiting for the database", why=error.message)
                await self._pause(POLL_S)
        log.info("worker ready", jobs=sorted(jobs))
        async with asyncio.TaskGroup() as group:
            for name, job in jobs.items():
                group.create_task(self._repeat(name, job))

    def _jobs(self) -> Mapping[str, ScheduledJob]:
        every = timedelta(seconds=self.settings.reconcile_every)
        at, timezone = self.settings.autopay_at, self.settings.timezone
        return {
            "autopay": ScheduledJob(
                self._autopay, lambda now: calendar.next_daily(now, at, timezone), waits=True
            ),
            "events": ScheduledJob(self._parked_events, lambda now: now + SOON),
            "attempts": ScheduledJob(self._open_attempts, lambda now: now + SOON),
            "reconcile": ScheduledJob(self._reconcile, lambda now: now + every),
        }

    # --- the jobs ----------------------------------------------------------------------------

    async def _autopay(self) -> str:
        report = await self._autopay_way().run()
        try:
            return (
                ", ".join(f"{count} {kind}" for kind, count in report.counts.items()) or "none due"
            )
        finally:
            report.close()

    async def _parked_events(self) -> str:
        done = await dead_letters.retry_due(self.database, self.installation, datetime.now(UTC))
        return f"{done.applied} applied, {done.parked} parked, {done.dead} dead"

    async def _open_attempts(self) -> str:
        return f"{await self._autopay_way().recover()} resumed"

    async def _reconcile(self) -> str:
        way = Reconciliation(self.database, self.gateway, self.installation, self.stop)
        found = await way.run()
        return f"{found.events_new} events, {found.intents_new} intents new"

    def _autopay_way(self) -> Autopay:
        return Autopay(self.database, self.gateway, self.settings, self.installation, self.stop)

    # --- leases ------------------------------------------------------------------------------

    async def _announce(self, jobs: Mapping[str, ScheduledJob]) -> None:
        """Every job has a row; a schedule that was moved earlier in the settings takes effect."""
        now = datetime.now(UTC)
        rows = [
            {"name": name, "next_run_at": job.next_after(now) if job.waits else now}
            for name, job in jobs.items()
        ]
        async with self.database.transaction() as tx:
            await insert_once(tx, JOBS, rows, key=[JOBS.c.name], returning=[JOBS.c.name])
            for row in rows:
                await tx.execute(
                    update(JOBS)
                    .where(JOBS.c.name == row["name"], JOBS.c.next_run_at > row["next_run_at"])
                    .values(next_run_at=row["next_run_at"])
                )

    async def _repeat(self, name: str, job: ScheduledJob) -> None:
        while not self.stop:
            try:
                token = await self._taken(name)
                if token:
                    await self._run_leased(name, job, token)
            except Unavailable as error:
                log.warning("waiting for the database", job=name, why=error.message)
            await self._pause(POLL_S)

    async def _taken(self, name: str) -> str | None:
        """The lease on a job that is due, unless another worker has it."""
        now = datetime.now(UTC)
        async with self.database.snapshot() as tx:
            due = await tx.scalar(select(JOBS.c.next_run_at).where(JOBS.c.name == name))
        if due is None or due > now:
            return None
        token = uuid4().hex
        async with self.database.transaction() as tx:
            taken = await tx.execute(
                update(JOBS)
                .where(
                    JOBS.c.name == name,
                    JOBS.c.next_run_at <= now,
                    or_(JOBS.c.lease_until.is_(None), JOBS.c.lease_until <= now),
                )
                .values(lease_token=token, lease_until=now + LEASE, started_at=now)
            )
        return token if taken.rowcount else None

    async def _run_leased(self, name: str, job: ScheduledJob, token: str) -> None:
        beating = asyncio.create_task(self._heartbeat(name, token))
        failed = True
        try:
            result = await job.run()
            failed = False
        except (Unavailable, NoAnswer, StripeRateLimited) as error:
            result = f"not finished: {error}"
            log.warning("job not finished", job=name, why=str(error))
        except NotAuthorized as error:
            result = f"Stripe refuses the key: {error}"
            log.error("Stripe refuses the key", job=name, why=str(error))
        except Exception as error:
            result = f"failed: {error!r}"
            log.exception("job failed", job=name)
        finally:
            beating.cancel()
        now = datetime.now(UTC)
        await self._give_back(
            name, token, now, now + AFTER_FAILURE if failed else job.next_after(now), result
        )

    async def _heartbeat(self, name: str, token: str) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with contextlib.suppress(Unavailable):
                async with self.database.transaction() as tx:
                    await tx.execute(
                        update(JOBS)
                        .where(JOBS.c.name == name, JOBS.c.lease_token == token)
                        .values(lease_until=datetime.now(UTC) + LEASE)
                    )

    async def _give_back(
        self, name: str, token: str, now: datetime, next_run_at: datetime, result: str
    ) -> None:
        """End the lease. A job that was stopped half-way is due at once, for another worker."""
        async with self.database.transaction() as tx:
            await tx.execute(
                update(JOBS)
                .where(JOBS.c.name == name, JOBS.c.lease_token == token)
                .values(
                    lease_token=None,
                    lease_until=None,
                    finished_at=now,
                    next_run_at=now if self.stop else next_run_at,
                    result=result[:_RESULT_MAX],
                )
            )

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.event.wait(), seconds)
