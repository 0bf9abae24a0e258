"""Reconciliation with Stripe: it finds lost events, and changes that made no event at all.

First the events since a stored cursor, with overlap, through the same inbox as webhooks. Then the
objects: recent intents, refunds and disputes, and every intent that has not ended, by its id. What
is found is booked by settlement.record. An absence is never turned into a fact. The parts stand in
`app/payments/reconciliation`.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from app.payments.reconciliation import cursor
from app.payments.reconciliation.event_pass import read_events
from app.payments.reconciliation.object_pass import ask_unfinished, read_intents, read_reversals
from app.payments.reconciliation.orphans import cancel_orphans
from app.payments.reconciliation.reconcile_pass import ReconcilePass, ReconcileResult
from app.payments.stripe.gateway import Gateway
from app.storage.engines import Database

log = structlog.get_logger("paydue.reconcile")


@dataclass(frozen=True, slots=True)
class Reconciliation:
    database: Database
    gateway: Gateway
    installation: str
    stop: asyncio.Event

    async def run(self) -> ReconcileResult:
        """One pass. The cursor moves only when the whole pass came to its end."""
        started = datetime.now(UTC)
        async with self.database.snapshot() as tx:
            known = await cursor.load_cursor(tx)
        since = known - cursor.OVERLAP if known else started - cursor.FIRST_LOOK
        at = ReconcilePass(self.database, self.gateway, self.installation, self.stop, since)
        await read_events(at)
        await read_intents(at)
        await read_reversals(at)
        await ask_unfinished(at)
        await cancel_orphans(at)
        if not self.stop.is_set():
            until = max(known or since, at.newest or since)
            async with self.database.transaction() as tx:
                await cursor.move_cursor(tx, until=until, completed_at=started)
        log.info("reconciled", since=since.isoformat(), **at.found.log_fields())
        return at.found
