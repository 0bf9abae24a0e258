"""Dead letters: parked events are retried with backoff, until they apply or a person must look."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import structlog
from sqlalchemy import bindparam, select, update

from app.errors import BadEvent, RecordLocked, Unavailable
from app.ledger import settlement
from app.payments.autopay import attempt_reports
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeRateLimited,
)
from app.payments.stripe.stripe_objects import intent_report
from app.payments.webhook import event_types
from app.payments.webhook.inbox import BATCH_MAX, RETRY_DELAYS, Arrival, apply_reports, interpret
from app.rules.claim import Evidence
from app.rules.payment import PaymentReport
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.prepared import PreparedStatement, projection
from app.storage.tables.stripe_events import IS_PARKED_OR_DEAD, EventState, StripeEvent
from app.storage.tables.stripe_payments import StripePayment

EVENTS = table_of(StripeEvent)
PAYMENTS = table_of(StripePayment)
log = structlog.get_logger("paydue.inbox")


@dataclass(slots=True)
class RetryResult:
    applied: int = 0
    parked: int = 0
    dead: int = 0

    def count(self, state: EventState) -> None:
        match state:
            case EventState.APPLIED | EventState.IGNORED:
                self.applied += 1
            case EventState.PARKED:
                self.parked += 1
            case EventState.DEAD:
                self.dead += 1


async def retry_due(
    database: Database, installation: str, now: datetime, gateway: Gateway | None = None
) -> RetryResult:
    """Try the parked events whose time has come."""
    async with database.snapshot() as tx:
        due = await tx.scalars(
            select(EVENTS.c.id)
            .where(
                IS_PARKED_OR_DEAD, EVENTS.c.state == EventState.PARKED, EVENTS.c.next_try_at <= now
            )
            .order_by(EVENTS.c.next_try_at)
            .limit(BATCH_MAX)
        )
        ids = list(due)
    return await retry_events(database, installation, ids, now, gateway)


async def schedule_retry(tx: Tx, ids: Sequence[int], now: datetime) -> int:
    """Make parked and dead events due at this moment, for the worker; answers how many they are.

    A dead one gets one more try, and is dead again if that fails.
    """
    changed = await tx.scalars(
        update(EVENTS)
        .where(EVENTS.c.id.in_(ids), IS_PARKED_OR_DEAD)
        .values(state=EventState.PARKED, next_try_at=now)
        .returning(EVENTS.c.id)
    )
    return len(list(changed))


async def retry_events(
    database: Database,
    installation: str,
    ids: Sequence[int],
    now: datetime,
    gateway: Gateway | None = None,
) -> RetryResult:
    """Try stored events again, each in its own transaction; what was applied stays applied.

    With a gateway, Stripe is asked for the intents of refunds and disputes that are not known here.
    """
    retrying = _Retrying(database, installation, now, gateway)
    for row_id in ids:
        await retrying.retry(row_id)
    return retrying.done


@dataclass(slots=True)
class _Retrying:
    """Some events that are tried again at one moment."""

    database: Database
    installation: str
    now: datetime
    gateway: Gateway | None
    done: RetryResult = field(default_factory=RetryResult)
    # Intents that Stripe shows to be another installation's: money that goes back of them is too.
    foreign: set[str] = field(default_factory=set)

    async def retry(self, row_id: int) -> None:
        asked = await self._ask_for_intents(row_id)

        async def attempt(tx: Tx) -> EventState:
            why = await self._apply(tx, row_id)
            if why and asked:
                why = f"{why}; {asked}"
            return await _record_try(tx, row_id, why, self.now)

        try:
            state = await self.database.with_retry(attempt)
        except RecordLocked:
            # Its turn comes again: a record that somebody holds says nothing about the event.
            log.warning("event waits for a lock", row=row_id)
            self.done.parked += 1
            return
        except Unavailable:
            raise
        except Exception as error:
            log.exception("event failed again", row=row_id)
            async with self.database.transaction() as tx:
                state = await _record_try(tx, row_id, repr(error), self.now)
        self.done.count(state)

    async def _apply(self, tx: Tx, row_id: int) -> str | None:
        row = await _lock_event(tx, row_id)
        arrival = self._interpret(row)
        if arrival.error:
            return arrival.error
        reports = [(row.event_id, arrival.reports)]
        refused = (await apply_reports(tx, reports, self.now)).get(row.event_id)
        intents = {one.intent_id for one in arrival.reports if isinstance(one, PaymentReport)}
        return None if intents <= self.foreign else refused

    def _interpret(self, row: "_StoredEvent") -> Arrival:
        return interpret(
            event_types.parse_stored_event(row.payload),
            row.payload,
            row.source,
            installation=self.installation,
        )

    # --- intents that nobody told us of ------------------------------------------------------

    async def _ask_for_intents(self, row_id: int) -> str:
        """Book the intents that the event's reversals are about; answers in words what came of it.

        Stripe made each of them, whatever became of the webhook that should have brought it.
        """
        async with self.database.snapshot() as tx:
            (row,) = await _FIND.all(tx, id=row_id)
            unknown = await _unknown_intents(tx, self._interpret(row))
        if not unknown:
            return ""
        if self.gateway is None:
            return f"Stripe was not asked for {', '.join(unknown)}: no key is set"
        return "; ".join([await self._book(self.gateway, intent_id) for intent_id in unknown])

    async def _book(self, gateway: Gateway, intent_id: str) -> str:
        try:
            answer = await gateway.retrieve(intent_id)
            moment = self.now.replace(microsecond=0)
            report = intent_report(
                answer.object, at=moment, installation=self.installation, response=answer.body
            )
        except (RequestRefused, NoAnswer, NotAuthorized, StripeRateLimited, BadEvent) as error:
            return f"Stripe was asked for {intent_id}: {error}"
        if report.evidence == Evidence.FOREIGN:
            self.foreign.add(intent_id)
            return f"{intent_id} is another installation's"

        async def book(tx: Tx) -> None:
            await settlement.record(tx, [report], now=self.now, who="stripe")
            await attempt_reports.follow_reports(tx, [report], now=self.now)

        await self.database.with_retry(book)
        log.info("intent booked for its reversal", intent=intent_id, state=report.state)
        return f"Stripe was asked for {intent_id} and showed it"


async def _unknown_intents(tx: Tx, arrival: Arrival) -> list[str]:
    """The intents of the event's reversals that no payment is known of."""
    named = {
        one.intent_id
        for one in arrival.reports
        if isinstance(one, PaymentReport) and one.reversal is not None
    }
    if not named:
        return []
    known = await tx.scalars(select(PAYMENTS.c.intent_id).where(PAYMENTS.c.intent_id.in_(named)))
    return sorted(named.difference(known))


class _StoredEvent(NamedTuple):
    event_id: str
    type: str
    payload: bytes
    source: str
    tries: int


_BY_ID = select(*projection(EVENTS, _StoredEvent)).where(EVENTS.c.id == bindparam("id"))
_FIND = PreparedStatement(_BY_ID, _StoredEvent)
_LOCK = PreparedStatement(_BY_ID.with_for_update(), _StoredEvent)


async def _lock_event(tx: Tx, row_id: int) -> _StoredEvent:
    (row,) = await _LOCK.all(tx, id=row_id)
    return row


async def _record_try(tx: Tx, row_id: int, why: str | None, now: datetime) -> EventState:
    """Write the result of a try: applied, parked with backoff, or a dead letter at last."""
    row = await _lock_event(tx, row_id)
    state = _next_state(row, why)
    wait = RETRY_DELAYS[row.tries] if state == EventState.PARKED else None
    await tx.execute(
        update(EVENTS)
        .where(EVENTS.c.id == row_id)
        .values(
            state=state,
            error=why,
            tries=row.tries + (why is not None),
            next_try_at=now + wait if wait else None,
        )
    )
    if state == EventState.DEAD:
        log.error("event dead", event_id=row.event_id, type=row.type, error=why)
    return state


def _next_state(row: _StoredEvent, why: str | None) -> EventState:
    if why is not None:
        return EventState.PARKED if row.tries < len(RETRY_DELAYS) else EventState.DEAD
    return EventState.APPLIED if row.type in event_types.HANDLERS else EventState.IGNORED
