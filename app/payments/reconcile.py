"""Reconciliation with Stripe: it finds lost events, and changes that made no event at all.

First the events since a stored cursor, with overlap, through the same inbox as webhooks. Then the
objects: recent intents, refunds and disputes, and every intent that has not ended, by its id. What
is found is booked by settlement.record. An absence is never turned into a fact.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import orjson
import structlog
from sqlalchemy import and_, exists, or_, select

from app.ledger import settlement, stripe_payments
from app.payments import payouts
from app.payments.autopay import attempts
from app.payments.stripe.gateway import Gateway, RequestRefused
from app.payments.stripe.stripe_objects import dispute_report, intent_report, refund_report
from app.payments.webhook import event_types, inbox
from app.rules.attempt import UNRESOLVED, AttemptState
from app.rules.claim import Evidence
from app.rules.payment import PaymentReport, PaymentState
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.prepared import projection
from app.storage.rows import upsert
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.stripe_events import StripeEvent
from app.storage.tables.stripe_payments import StripePayment

log = structlog.get_logger("paydue.reconcile")
PAYMENTS = table_of(StripePayment)
EVENTS = table_of(StripeEvent)
ATTEMPTS = table_of(ChargeAttempt)
FACTS = table_of(InstallationValue)

CURSOR = "reconciled_until"
# Lists may lag behind and clocks differ; everything found twice is booked once.
OVERLAP = timedelta(minutes=15)
# The first time, as far back as Stripe itself goes on delivering.
FIRST_LOOK = timedelta(days=3)
BATCH = 100
# `GET /v1/events` filters by at most so many types.
TYPES_MAX = 20
# Reads are budgeted by Stripe, so an intent that stays unfinished is asked about ever less often.
ASK_LATER = 0.5
ASK_AT_MOST_EVERY = timedelta(minutes=10)
# An intent nobody finished in so long is left to Stripe's events.
GIVE_UP_AFTER = timedelta(days=60)


@dataclass(slots=True)
class ReconcileResult:
    """Counts of one reconciliation: objects read, and those that were new to us."""

    events: int = 0
    events_new: int = 0
    intents: int = 0
    intents_new: int = 0
    reversals: int = 0
    asked: int = 0
    orphans_canceled: int = 0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    database: Database
    gateway: Gateway
    installation: str
    stop: asyncio.Event

    async def run(self) -> ReconcileResult:
        """One pass. The cursor moves only when the whole pass came to its end."""
        started = datetime.now(UTC)
        since = await self._since(started)
        found = ReconcileResult()
        await self._events(since, found)
        await self._intents(since, found)
        await self._reversals(since, found)
        await self._unfinished(found)
        await self._orphans(found)
        if not self.stop.is_set():
            await self._move_cursor(started)
        await payouts.sync(self.database, self.gateway, self.stop)
        log.info("reconciled", since=since.isoformat(), **_counts(found))
        return found

    # --- events ------------------------------------------------------------------------------

    async def _events(self, since: datetime, found: ReconcileResult) -> None:
        types = list(event_types.HANDLERS)
        for start in range(0, len(types), TYPES_MAX):
            listed = self.gateway.events(since, types[start : start + TYPES_MAX])
            async for page in _paged(listed):
                if self.stop.is_set():
                    return
                found.events += len(page)
                found.events_new += await self._take_events(page)

    async def _take_events(self, page: Sequence[Mapping[str, Any]]) -> int:
        async with self.database.snapshot() as tx:
            known = set(
                await tx.scalars(
                    select(EVENTS.c.event_id).where(
                        EVENTS.c.event_id.in_([one["id"] for one in page])
                    )
                )
            )
        fresh = [one for one in page if one["id"] not in known]
        await inbox.store_and_apply(
            self.database,
            [
                inbox.interpret(one, orjson.dumps(one), "reconcile", installation=self.installation)
                for one in fresh
            ],
        )
        return len(fresh)

    # --- objects -----------------------------------------------------------------------------

    async def _intents(self, since: datetime, found: ReconcileResult) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        async for page in _paged(self.gateway.intents(since=since)):
            if self.stop.is_set():
                return
            found.intents += len(page)
            found.intents_new += await self._book(
                [intent_report(one, at=now, installation=self.installation) for one in page]
            )

    async def _reversals(self, since: datetime, found: ReconcileResult) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        of_refund = partial(refund_report, at=now, installation=self.installation)
        of_dispute = partial(dispute_report, at=now)
        for listed, read in (
            (self.gateway.refunds_since(since), of_refund),
            (self.gateway.disputes_since(since), of_dispute),
        ):
            async for page in _paged(listed):
                if self.stop.is_set():
                    return
                found.reversals += len(page)
                named = [one for one in page if one.get("payment_intent")]
                await self._book([read(one) for one in named])

    async def _book(self, news: Sequence[PaymentReport]) -> int:
        """Book the reports that are new to us; answer how many were."""
        async with self.database.snapshot() as tx:
            rows = await tx.execute(
                select(PAYMENTS.c.intent_id, PAYMENTS.c.state).where(
                    PAYMENTS.c.intent_id.in_([one.intent_id for one in news])
                )
            )
            known: dict[str, int] = {intent_id: state for intent_id, state in rows}
        fresh = [one for one in news if one.reversal or known.get(one.intent_id) != one.state]
        if fresh:
            await self.database.with_retry(lambda tx: _record(tx, fresh))
        return len(fresh)

    async def _unfinished(self, found: ReconcileResult) -> None:
        """Ask about every intent that has not ended and whose time to be asked about has come."""
        while not self.stop.is_set():
            now = datetime.now(UTC)
            async with self.database.snapshot() as tx:
                statement = (
                    select(*projection(PAYMENTS, _Unfinished))
                    .where(PAYMENTS.c.check_at <= now)
                    .order_by(PAYMENTS.c.check_at)
                    .limit(BATCH)
                )
                rows = [_Unfinished._make(row) for row in await tx.execute(statement)]
            for row in rows:
                found.asked += 1
                await self._ask(row.intent_id, row.intent_date or now)
            if len(rows) < BATCH:
                return

    async def _ask(self, intent_id: str, date: datetime) -> None:
        now = datetime.now(UTC)
        news = []
        try:
            answer = await self.gateway.retrieve(intent_id)
        except RequestRefused as error:
            log.warning("intent not shown", intent=intent_id, why=error.message)
        else:
            news = [
                intent_report(
                    answer.object,
                    at=now.replace(microsecond=0),
                    installation=self.installation,
                    response=answer.body,
                )
            ]
        age = now - date
        wait = max(age * ASK_LATER, ASK_AT_MOST_EVERY)

        async def book(tx: Tx) -> None:
            await _record(tx, news)
            await stripe_payments.schedule_check(
                tx, intent_id, now + wait if age < GIVE_UP_AFTER else None
            )

        await self.database.with_retry(book)

    # --- orphans -----------------------------------------------------------------------------

    async def _orphans(self, found: ReconcileResult) -> None:
        """Cancel intents that a lost create of ours made and no attempt goes on with."""
        for intent_id in await self._orphan_ids():
            if self.stop.is_set():
                return
            try:
                answer = await self.gateway.cancel(intent_id)
            except RequestRefused:
                answer = await self.gateway.retrieve(intent_id)
            news = intent_report(
                answer.object,
                at=datetime.now(UTC),
                installation=self.installation,
                response=answer.body,
            )
            await self._book([news])
            is_canceled = news.state == PaymentState.CANCELED
            found.orphans_canceled += is_canceled
            said = "orphan canceled" if is_canceled else "orphan had ended"
            log.warning(said, intent=intent_id, invoice=news.invoice_id)

    async def _orphan_ids(self) -> list[str]:
        old = datetime.now(UTC) - stripe_payments.CHECK_AFTER
        may_go_on = exists().where(
            or_(
                and_(
                    ATTEMPTS.c.intent_id == PAYMENTS.c.intent_id,
                    ATTEMPTS.c.state.in_(
                        [*UNRESOLVED, AttemptState.DECLINED, AttemptState.REFUSED]
                    ),
                ),
                and_(
                    ATTEMPTS.c.invoice_id == PAYMENTS.c.claimed_invoice_id,
                    ATTEMPTS.c.intent_id.is_(None),
                    ATTEMPTS.c.state.in_(UNRESOLVED),
                ),
            )
        )
        async with self.database.snapshot() as tx:
            found = await tx.scalars(
                select(PAYMENTS.c.intent_id)
                .where(
                    PAYMENTS.c.check_at.is_not(None),
                    PAYMENTS.c.state == PaymentState.CREATED,
                    PAYMENTS.c.attempt.is_not(None),
                    PAYMENTS.c.evidence.in_(_OUR_OWN),
                    PAYMENTS.c.intent_date < old,
                    ~may_go_on,
                )
                .limit(BATCH)
            )
            return list(found)

    # --- cursor ------------------------------------------------------------------------------

    async def _since(self, now: datetime) -> datetime:
        async with self.database.snapshot() as tx:
            known = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == CURSOR))
        return datetime.fromisoformat(known) - OVERLAP if known else now - FIRST_LOOK

    async def _move_cursor(self, until: datetime) -> None:
        row = {"name": CURSOR, "value": until.isoformat()}
        async with self.database.transaction() as tx:
            await upsert(tx, FACTS, [row], key=[FACTS.c.name])


# Only what this installation made is cancelled: another's may be waiting for its own customer.
_OUR_OWN = (Evidence.METADATA, Evidence.KEY, Evidence.ATTEMPT)


class _Unfinished(NamedTuple):
    """A payment whose intent has not ended."""

    intent_id: str
    intent_date: datetime | None


async def _record(tx: Tx, news: Sequence[PaymentReport]) -> None:
    now = datetime.now(UTC)
    await settlement.record(tx, news, now=now, who="reconcile")
    await attempts.apply_reports(tx, news, now=now)


async def _paged(
    listed: AsyncIterator[Mapping[str, Any]],
) -> AsyncIterator[list[Mapping[str, Any]]]:
    page: list[Mapping[str, Any]] = []
    async for one in listed:
        page.append(one)
        if len(page) == BATCH:
            yield page
            page = []
    if page:
        yield page


def _counts(found: ReconcileResult) -> dict[str, int]:
    return {name: getattr(found, name) for name in ReconcileResult.__slots__}
