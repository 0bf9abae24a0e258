"""Every verified event is stored and applied once, in the same transaction, in batches.

Whatever arrives while a commit is under way forms the next batch: one fsync and one handful of
statements for many events, and no added wait when idle.
"""

import asyncio
import logging
import math
import time
from collections import Counter as Counted, deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, cast

import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy import bindparam, update

from app import tracing
from app.errors import AppError, DatabaseUnavailable, Unavailable
from app.ledger import payment_methods, settlement
from app.ledger.payment_methods import PaymentMethodReport
from app.payments import payouts
from app.payments.autopay import attempt_reports
from app.payments.webhook import event_types
from app.rules.payment import PaymentReport
from app.rules.payout import PayoutChange
from app.storage.bulk_writes import BulkInsertOnce
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.stripe_events import EventState, StripeEvent

EVENTS = table_of(StripeEvent)
log = structlog.get_logger("paydue.inbox")

# More in one transaction no longer makes an event cheaper, and holds the writer lock longer.
BATCH_MAX = 256
# Fewer are not worth a transaction of their own while others could join them.
BATCH_MIN = 16
# Senders whose events were committed together come again together, about as soon as this.
RETURN_S = 0.001
# Beyond this the database cannot keep up; Stripe is told to come again rather than memory to hold.
WAITING_MAX = 4096
# A caller gets its answer within five seconds, whatever the database does; two of them are for a
# crowd that comes at once, whose last request is read and answered that much later.
ANSWER_S = 3.0
OVERDUE_LOOK_S = 0.25
# A commit that hangs is given up, so that the next one can try; its events are delivered again.
COMMIT_S = 8.0
# Parked events: soon at first, for most wait only for a neighbour; the tries span four days, one
# more than Stripe's own redelivery.
RETRY_DELAYS = tuple(
    timedelta(seconds=s) for s in (5, 30, 120, 600, 3600, 6 * 3600, 12 * 3600, 86400, 86400, 86400)
)

RECEIVED = Counter("paydue_events_total", "Stripe events by outcome.", ["outcome"])
LAG = Histogram(
    "paydue_event_lag_seconds",
    "Seconds from an event's creation at Stripe to its commit here, by the way it came.",
    ["source"],
    buckets=(1, 2, 5, 15, 60, 300, 900, 3600, 21_600, 86_400, 259_200),
)
BATCH = Histogram("paydue_event_batch_size", "Events per commit.", buckets=(1, 4, 16, 64, 256))


@dataclass(frozen=True, slots=True)
class Arrival:
    """A verified event, its raw bytes, and its reports, made before any lock is taken."""

    event: Mapping[str, Any]
    payload: bytes
    received_at: datetime
    source: str
    intent_id: str | None
    object_id: str | None
    reports: Sequence[event_types.EventReport] = ()
    state: EventState = EventState.APPLIED
    error: str | None = None
    # Of its delivery, while this process is traced.
    span: tracing.SpanReference | None = None


class Inbox:
    """Joins concurrent arrivals into batches. One per process."""

    def __init__(
        self, database: Database, installation: str, answer_limit_s: float = ANSWER_S
    ) -> None:
        self._database = database
        self._installation = installation
        self._answer_limit_s = answer_limit_s
        self._waiting: list[tuple[Arrival, asyncio.Future[None]]] = []
        self._unanswered: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._committers: set[asyncio.Task[None]] = set()
        self._last_size = 0

    async def receive(self, event: Mapping[str, Any], payload: bytes, source: str) -> None:
        """Returns once the event is durable, here or by an earlier delivery; else Unavailable."""
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable("too many events are waiting for the database")
        with tracing.span("store and apply event") as span:
            span.set_attribute("paydue.event.id", event["id"])
            span.set_attribute("paydue.event.type", event["type"])
            await self._join_batch(event, payload, source)

    async def _join_batch(self, event: Mapping[str, Any], payload: bytes, source: str) -> None:
        arrival = interpret(event, payload, source, installation=self._installation)
        loop = asyncio.get_running_loop()
        durable = loop.create_future()
        self._waiting.append((arrival, durable))
        self._unanswered.append((loop.time() + self._answer_limit_s, durable))
        if len(self._unanswered) == 1:
            loop.call_later(OVERDUE_LOOK_S, self._answer_overdue, loop)
        if len(self._committers) < self._database.writers:
            committer = asyncio.create_task(self._commit_waiting())
            self._committers.add(committer)
            committer.add_done_callback(self._committers.discard)
        await durable

    def _answer_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all who wait: cheaper than one each."""
        waiting = self._unanswered
        while waiting and (waiting[0][1].done() or waiting[0][0] <= loop.time()):
            _, durable = waiting.popleft()
            if not durable.done():
                late = DatabaseUnavailable("the database did not answer in time")
                durable.set_exception(late)
        if waiting:
            loop.call_later(OVERDUE_LOOK_S, self._answer_overdue, loop)

    async def close(self) -> None:
        """Finish what has been accepted."""
        while self._committers:
            await asyncio.wait(self._committers)

    async def _commit_waiting(self) -> None:
        try:
            while self._waiting:
                await self._gather_batch()
                size = self._batch_size()
                batch = [one for one in self._waiting[:size] if not one[1].done()]
                del self._waiting[:size]
                self._last_size = len(batch)
                failure = await self._commit([arrival for arrival, _ in batch])
                for _, durable in batch:
                    if not durable.done():
                        _resolve(durable, failure)
        finally:
            # At once: whoever comes before the loop's next turn must not count on this committer.
            self._committers.discard(cast(asyncio.Task[None], asyncio.current_task()))

    def _batch_size(self) -> int:
        """The fair share of one writer: while it prepares, the database applies another's batch."""
        each = math.ceil(len(self._waiting) / self._database.writers)
        return min(BATCH_MAX, max(BATCH_MIN, each))

    async def _gather_batch(self) -> None:
        """Group commit: requests that are here already join, while each loop turn brings one.

        Few after many are waited for a moment: else a commit of one and a commit of the others
        follow each other for as long as the load lasts.
        """
        if len(self._waiting) < self._last_size // 2:
            await asyncio.sleep(RETURN_S)
        before = 0
        while before < len(self._waiting) < BATCH_MAX:
            before = len(self._waiting)
            await asyncio.sleep(0)

    async def _commit(self, batch: Sequence[Arrival]) -> Exception | None:
        try:
            async with asyncio.timeout(COMMIT_S):
                with _commit_span(batch):
                    await store_and_apply(self._database, batch)
        except TimeoutError:
            return DatabaseUnavailable("the database did not answer in time")
        except Exception as error:  # the waiting requests get it, each its own answer
            if not isinstance(error, Unavailable):
                log.exception("batch failed", events=[one.event["id"] for one in batch])
            return error
        return None


def _resolve(durable: asyncio.Future[None], failure: Exception | None) -> None:
    if failure is None:
        durable.set_result(None)
    elif isinstance(failure, AppError):
        durable.set_exception(type(failure)(failure.message))
    else:
        durable.set_exception(Unavailable("the event could not be stored"))


def interpret(
    event: Mapping[str, Any], payload: bytes, source: str, *, installation: str
) -> Arrival:
    """The arrival with its reports. An event that makes no sense is stored all the same, parked."""
    state, error = EventState.APPLIED, None
    reports: Sequence[event_types.EventReport] | None = ()
    try:
        reports = event_types.reports_of(event, installation=installation)
        if reports is None:
            state = EventState.IGNORED
    except AppError as refusal:
        state, error = EventState.PARKED, refusal.message
    except Exception as failure:  # a shape nobody foresaw must not lose the event
        log.exception("event not understood", event_id=event["id"])
        state, error = EventState.PARKED, repr(failure)
    return Arrival(
        event,
        payload,
        datetime.now(UTC),
        source,
        *event_types.ids_of(event),
        reports=reports or (),
        state=state,
        error=error,
        span=tracing.current_span(),
    )


def _commit_span(batch: Sequence[Arrival]) -> AbstractContextManager[tracing.OpenSpan]:
    """In the trace of the first delivery, and linked to those of the others."""
    spans = [one.span for one in batch if one.span]
    size = {"paydue.batch.size": len(batch)} if spans else None
    return tracing.span("commit batch", size, parent=spans[0] if spans else None, links=spans[1:])


async def store_and_apply(database: Database, batch: Sequence[Arrival]) -> None:
    """Store and apply a batch in one transaction. One bad event never harms its neighbours."""
    if not batch:
        return
    started = time.monotonic()
    try:
        outcomes = await database.with_retry(lambda tx: _store(tx, batch))
    except Unavailable:
        raise
    except Exception as error:
        if len(batch) == 1:
            await _park(database, batch[0], error)
            return
        log.warning("batch taken apart", events=len(batch), error=repr(error))
        for one in batch:
            await store_and_apply(database, [one])
        return
    BATCH.observe(len(batch))
    for state, count in Counted(outcome.state for outcome in outcomes).items():
        RECEIVED.labels(state).inc(count)
    committed_at = time.time()
    for outcome in outcomes:
        LAG.labels(outcome.source).observe(max(0.0, committed_at - outcome.event["created"]))
        _log_outcome(outcome)
    log.debug("batch", events=len(batch), ms=round((time.monotonic() - started) * 1000, 1))


async def _park(database: Database, arrival: Arrival, error: Exception) -> None:
    """Keep an event that could not be applied, with the reason, for the worker and for support."""
    log.error("event parked", event_id=arrival.event["id"], error=repr(error))
    parked = replace(arrival, reports=(), state=EventState.PARKED, error=repr(error))
    async with database.transaction() as tx:
        await _store(tx, [parked])


def _log_outcome(one: Arrival) -> None:
    level = logging.WARNING if one.state == EventState.PARKED else logging.INFO
    if not log.is_enabled_for(level):
        return
    known = {"intent": one.intent_id, "error": one.error}
    log.log(
        level,
        f"event {one.state}",
        event_id=one.event["id"],
        type=one.event["type"],
        **{name: value for name, value in known.items() if value},
    )


async def _store(tx: Tx, batch: Sequence[Arrival]) -> list[Arrival]:
    """The events that were new, each in the state it was stored in."""
    now = datetime.now(UTC)
    arrivals = {one.event["id"]: one for one in batch}
    new = await _INSERT.insert_new(tx, [_row(one, now) for one in arrivals.values()])
    fresh = [arrivals[event_id] for event_id in sorted(new)]
    refused = await apply_reports(tx, [(one.event["id"], one.reports) for one in fresh], now)
    if not refused:
        return fresh
    await _mark_parked(tx, refused, now)
    return [
        replace(one, state=EventState.PARKED, error=refused[one.event["id"]])
        if one.event["id"] in refused
        else one
        for one in fresh
    ]


class _EventColumns(TypedDict):
    event_id: str
    type: str
    object_id: str | None
    intent_id: str | None
    created_at: datetime
    received_at: datetime
    source: str
    payload: bytes
    state: EventState
    tries: int
    next_try_at: datetime | None
    error: str | None


def _row(arrival: Arrival, now: datetime) -> _EventColumns:
    event = arrival.event
    is_parked = arrival.state == EventState.PARKED
    return {
        "event_id": event["id"],
        "type": event["type"],
        "object_id": arrival.object_id,
        "intent_id": arrival.intent_id,
        "created_at": datetime.fromtimestamp(event["created"], UTC),
        "received_at": arrival.received_at,
        "source": arrival.source,
        "payload": arrival.payload,
        "state": arrival.state,
        "tries": 1,
        "next_try_at": now + RETRY_DELAYS[0] if is_parked else None,
        "error": arrival.error,
    }


_INSERT = BulkInsertOnce(EVENTS, "event_id", _EventColumns.__annotations__)


async def apply_reports(
    tx: Tx, by_event: Sequence[tuple[str, Sequence[event_types.EventReport]]], now: datetime
) -> dict[str, str]:
    """Apply the reports of events; answer the events that a rule refused, with the reason."""
    every = [one for _, reports in by_event for one in reports]
    payments = [one for one in every if isinstance(one, PaymentReport)]
    methods = [one for one in every if isinstance(one, PaymentMethodReport)]
    refused = await settlement.record(tx, payments, now=now, who="stripe")
    await attempt_reports.follow_reports(tx, payments, now=now)
    if methods:
        await payment_methods.apply_reports(tx, methods, now=now)
    changed = [one.payout_id for one in every if isinstance(one, PayoutChange)]
    if changed:
        await payouts.request_sync(tx, changed, now=now)
    if not refused:
        return {}
    return {
        event_id: refused[one.intent_id]
        for event_id, reports in by_event
        for one in reports
        if isinstance(one, PaymentReport) and one.intent_id in refused
    }


async def _mark_parked(tx: Tx, refused: Mapping[str, str], now: datetime) -> None:
    await tx.execute(
        update(EVENTS)
        .where(EVENTS.c.event_id == bindparam("b_id"))
        .values(
            state=EventState.PARKED,
            error=bindparam("b_error"),
            next_try_at=now + RETRY_DELAYS[0],
        ),
        [{"b_id": event_id, "b_error": why} for event_id, why in refused.items()],
    )
