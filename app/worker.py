"""`paydue worker`: runs the scheduled jobs, each under a lease, so that many workers share them."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import structlog
from sqlalchemy import or_, select, update

from app.errors import DatabaseUnavailable, Unavailable
from app.ledger import audit_chain
from app.node import Node
from app.payments.stripe.gateway import NoAnswer, NotAuthorized, StripeRateLimited
from app.payments.webhook import dead_letters
from app.rules import calendar
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.rows import insert_once
from app.storage.tables.cluster import Job

log = structlog.get_logger("paydue.worker")
JOBS = table_of(Job)

LEASE = timedelta(seconds=60)
HEARTBEAT_S = 20.0
POLL_S = 1.0
# Parked events and open attempts are asked for so often; mostly one query finds none.
SHORT_INTERVAL = timedelta(seconds=5)
# A change that is edited within this time after it was written is edited unseen.
SEAL_INTERVAL = timedelta(seconds=60)
PURGE_INTERVAL = timedelta(days=1)
# Whatever begins is told within this time and the few seconds in which it is sent.
ALERTS_INTERVAL = timedelta(minutes=1)
RECURRING_INTERVAL = timedelta(hours=1)
# A day begins at another hour in each time zone, and what was told of a day is not told again.
NOTICES_INTERVAL = timedelta(hours=1)
# After a failure a job waits this long, whatever its schedule.
AFTER_FAILURE = timedelta(seconds=30)
_RESULT_MAX = 500


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """A job answers its result in words. Its schedule says when it is due after an end."""

    run: Callable[[], Awaitable[str]]
    next_after: Callable[[datetime], datetime]
    waits_at_first: bool = False  # for its scheduled time, though it has never run
    log_level: int = logging.INFO  # of the line at its end


def _frequent_job(run: Callable[[], Awaitable[str]]) -> ScheduledJob:
    """Every few seconds, and mostly it finds nothing: too often for a line in the log."""
    return ScheduledJob(run, lambda now: now + SHORT_INTERVAL, log_level=logging.DEBUG)


def _process_name() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"


@dataclass(frozen=True, slots=True)
class Worker:
    """One of any number of workers on one database. Its node's gateway is open."""

    node: Node
    name: str = field(default_factory=_process_name)

    async def run(self) -> None:
        """Run each job when it is due, until the node is told to stop. Waits for the database."""
        jobs = self._jobs()
        while not self.node.stop.is_set():
            try:
                await self._register(jobs)
                break
            except Unavailable as error:
                log.warning("waiting for the database", why=error.message)
                await self._pause(POLL_S)
        with contextlib.suppress(Unavailable):
            await self.node.warn_of_risks()
        log.info("worker ready", jobs=sorted(jobs), **self.node.log_fields())
        async with asyncio.TaskGroup() as group:
            for name, job in jobs.items():
                group.create_task(self._run_when_due(name, job))

    def _jobs(self) -> Mapping[str, ScheduledJob]:
        every = timedelta(seconds=self.node.settings.reconcile_every)
        at, timezone = self.node.settings.autopay_at, self.node.settings.timezone
        return {
            "autopay": ScheduledJob(
                self._charge_due_invoices,
                lambda now: calendar.next_daily(now, at, timezone),
                waits_at_first=True,
            ),
            **self._recurring_job(),
            "purge": ScheduledJob(self._purge, lambda now: now + PURGE_INTERVAL),
            "events": _frequent_job(self._retry_parked_events),
            "attempts": _frequent_job(self._resume_attempts),
            "refunds": _frequent_job(self._resume_refunds),
            "links": _frequent_job(self._close_link_sessions),
            "alerts": ScheduledJob(
                self._watch_alerts, lambda now: now + ALERTS_INTERVAL, log_level=logging.DEBUG
            ),
            "alert_webhooks": _frequent_job(self._send_alert_webhooks),
            "mail": _frequent_job(self._send_mail),
            "notices": ScheduledJob(self._queue_notices, lambda now: now + NOTICES_INTERVAL),
            "reconcile": ScheduledJob(self._reconcile, lambda now: now + every),
            "audit": ScheduledJob(
                self._seal_audit, lambda now: now + SEAL_INTERVAL, log_level=logging.DEBUG
            ),
        }

    def _recurring_job(self) -> Mapping[str, ScheduledJob]:
        """Each hour, for a day begins at another hour in each of the clients' time zones."""
        if not self.node.settings.recurring_auto:
            return {}
        bill = ScheduledJob(self._bill_due_templates, lambda now: now + RECURRING_INTERVAL)
        return {"recurring": bill}

    # --- the jobs ----------------------------------------------------------------------------

    async def _charge_due_invoices(self) -> str:
        report = await self.node.autopay().run(who="worker")
        try:
            return (
                ", ".join(f"{count} {kind}" for kind, count in report.counts.items()) or "none due"
            )
        finally:
            report.close()

    async def _bill_due_templates(self) -> str:
        return str(await self.node.recurring().run())

    async def _purge(self) -> str:
        return str(await self.node.purge().run())

    async def _retry_parked_events(self) -> str:
        node = self.node
        done = await dead_letters.retry_due(
            node.database, node.installation, node.clock(), node.gateway
        )
        return f"{done.applied} applied, {done.parked} parked, {done.dead} dead"

    async def _resume_attempts(self) -> str:
        return f"{await self.node.autopay().recover()} resumed"

    async def _resume_refunds(self) -> str:
        return f"{await self.node.refunds().recover()} resumed"

    async def _close_link_sessions(self) -> str:
        return await self.node.session_closing().run()

    async def _watch_alerts(self) -> str:
        return await self.node.alert_watch().run()

    async def _send_alert_webhooks(self) -> str:
        return await self.node.alert_webhooks().run()

    async def _queue_notices(self) -> str:
        return str(await self.node.notices().run())

    async def _send_mail(self) -> str:
        return str(await self.node.mail_delivery().run())

    async def _reconcile(self) -> str:
        found = await self.node.reconciliation().run()
        return f"{found.events_new} events, {found.intents_new} intents new"

    async def _seal_audit(self) -> str:
        sealed, head = await audit_chain.seal(self.node.database)
        if sealed:
            log.info("audit sealed", changes=sealed, head=str(head))
        return f"{sealed} changes sealed, head {head}"

    # --- leases ------------------------------------------------------------------------------

    async def _register(self, jobs: Mapping[str, ScheduledJob]) -> None:
        """Each job gets its row; a time that the settings moved earlier takes effect at once."""
        now = self.node.database.now()
        rows = [
            {"name": name, "next_run_at": job.next_after(now) if job.waits_at_first else now}
            for name, job in jobs.items()
        ]
        async with self.node.database.transaction() as tx:
            await insert_once(tx, JOBS, rows, key=[JOBS.c.name], returning=[JOBS.c.name])
            for row in rows:
                await tx.execute(
                    update(JOBS)
                    .where(JOBS.c.name == row["name"], JOBS.c.next_run_at > row["next_run_at"])
                    .values(next_run_at=row["next_run_at"])
                )

    async def _run_when_due(self, name: str, job: ScheduledJob) -> None:
        while not self.node.stop.is_set():
            try:
                token = await self._acquire_lease(name)
                if token:
                    await self._run_under_lease(name, job, token)
            except Unavailable as error:
                log.warning("waiting for the database", job=name, why=error.message)
            await self._pause(POLL_S)

    async def _acquire_lease(self, name: str) -> str | None:
        """The token of the lease on a job that is due; None when another worker holds it."""
        now = self.node.database.now()
        async with self.node.database.snapshot() as tx:
            due = await tx.scalar(select(JOBS.c.next_run_at).where(JOBS.c.name == name))
            if due is None or due > now:
                return None
            found = await schema.state_in(tx)
        if not found.is_usable:  # a node of another version has migrated since we started
            raise DatabaseUnavailable(found.words())
        token = uuid4().hex
        async with self.node.database.transaction() as tx:
            taken = await tx.execute(
                update(JOBS)
                .where(
                    JOBS.c.name == name,
                    JOBS.c.next_run_at <= now,
                    or_(JOBS.c.lease_until.is_(None), JOBS.c.lease_until <= now),
                )
                .values(
                    lease_token=token,
                    lease_until=now + LEASE,
                    lease_holder=self.name,
                    started_at=now,
                )
            )
        return token if taken.rowcount else None

    async def _run_under_lease(self, name: str, job: ScheduledJob, token: str) -> None:
        renewal = asyncio.create_task(self._renew_lease(name, token))
        log.debug("job started", job=name)
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
            renewal.cancel()
        if not failed:
            log.log(job.log_level, "job finished", job=name, result=result)
        now = self.node.database.now()
        next_run_at = now + AFTER_FAILURE if failed else job.next_after(now)
        await self._release_lease(name, token, now, next_run_at, result, failed=failed)

    async def _renew_lease(self, name: str, token: str) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with contextlib.suppress(Unavailable):
                async with self.node.database.transaction() as tx:
                    await tx.execute(
                        update(JOBS)
                        .where(JOBS.c.name == name, JOBS.c.lease_token == token)
                        .values(lease_until=self.node.database.now() + LEASE)
                    )

    async def _release_lease(
        self,
        name: str,
        token: str,
        now: datetime,
        next_run_at: datetime,
        result: str,
        *,
        failed: bool = False,
    ) -> None:
        """End our lease. A job that was stopped half-way is due at once, for another worker."""
        stopped = self.node.stop.is_set()
        async with self.node.database.transaction() as tx:
            await tx.execute(
                update(JOBS)
                .where(JOBS.c.name == name, JOBS.c.lease_token == token)
                .values(
                    lease_token=None,
                    lease_until=None,
                    lease_holder=None,
                    finished_at=now,
                    succeeded_at=JOBS.c.succeeded_at if failed or stopped else now,
                    next_run_at=now if stopped else next_run_at,
                    result=result[:_RESULT_MAX],
                )
            )

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.node.stop.wait(), seconds)
