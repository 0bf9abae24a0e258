"""Reconciliation with Stripe: it finds lost events, and changes that made no event at all.

First the events since a stored cursor, with overlap, through the same inbox as webhooks. Then the
objects: recent intents, refunds and disputes, and every intent that has not ended, by its id. What
is found is booked by settlement.record. An absence is never turned into a fact. The parts stand in
`app/payments/reconciliation`.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from app.payments import payouts
from app.payments.reconciliation import cursor
from app.payments.reconciliation.event_pass import read_events
from app.payments.reconciliation.lost_attempts import begin_epoch
from app.payments.reconciliation.object_pass import ask_unfinished, read_intents, read_reversals
from app.payments.reconciliation.orphans import cancel_orphans
from app.payments.reconciliation.reconcile_pass import ReconcilePass, ReconcileResult
from app.payments.stripe.gateway import Gateway
from app.storage.engines import Database

log = structlog.get_logger("paydue.reconcile")

# A worker reconciles every five minutes; after hours without it, events alone are not relied on.
GAP = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    database: Database
    gateway: Gateway
    installation: str
    stop: asyncio.Event

    async def catch_up(self) -> ReconcileResult:
        """Read Stripe's events up to now; after a gap, everything since the oldest open invoice.

        A run begins with this, and charges nothing unless it came to its end.
        """
        now = datetime.now(UTC)
        async with self.database.snapshot() as tx:
            known, completed_at = await cursor.load_cursor(tx), await cursor.load_completed_at(tx)
            oldest = await cursor.load_oldest_open(tx)
            restored_at = await cursor.load_restored_at(tx)
        is_recent = completed_at is not None and now - completed_at <= GAP
        if known is not None and is_recent and restored_at is None:
            at = self._pass(known - cursor.OVERLAP)
            await read_events(at)
            if not at.attempts_unknown:
                return at.found
        log.warning("everything is read before anything is charged", last=str(completed_at))
        return await self._whole_pass(oldest)

    async def run(self) -> ReconcileResult:
        """One pass, and the payouts that Stripe has made since."""
        found = await self._whole_pass()
        await payouts.sync(self.database, self.gateway, self.stop)
        return found

    async def _whole_pass(self, since: datetime | None = None) -> ReconcileResult:
        """One pass, from an earlier moment if wanted. Only its end moves the cursor."""
        started = datetime.now(UTC)
        async with self.database.snapshot() as tx:
            known = await cursor.load_cursor(tx)
            first = await cursor.load_first_look(tx, now=started)
        usual = known - cursor.OVERLAP if known else first
        since = min(since or usual, usual)
        at = self._pass(since)
        await read_events(at)
        await read_intents(at)
        await read_reversals(at)
        await ask_unfinished(at)
        await cancel_orphans(at)
        if at.is_complete and not self.stop.is_set():
            until = max(known or since, at.newest or since)
            async with self.database.transaction() as tx:
                await cursor.move_cursor(tx, until=until, completed_at=started)
                if at.found.attempts_restored:
                    await begin_epoch(tx)
        log.info("reconciled", since=since.isoformat(), **at.found.log_fields())
        return at.found

    def _pass(self, since: datetime) -> ReconcilePass:
        return ReconcilePass(self.database, self.gateway, self.installation, self.stop, since)
