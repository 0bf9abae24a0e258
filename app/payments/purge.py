"""Old bodies of events are compressed, later dropped but for their digest; expired rows go.

No row of an event is ever deleted: its id is how a second delivery is known. What the money path
may still need keeps its body:

* events that are not applied, for they are applied from their body;
* events of a payment that is not at rest: an attempt without an end, an intent that Stripe is still
  asked about, money that no invoice has, a dispute that is open.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    bindparam,
    delete,
    exists,
    or_,
    select,
    type_coerce,
    update,
)

from app.rules.payment import DISPUTE_OPEN, INQUIRY_OPEN
from app.settings import Settings
from app.storage import event_bodies
from app.storage.column_types import table_of
from app.storage.engines import Database, Record, Tx
from app.storage.rows import upsert
from app.storage.tables.charge_attempts import IS_UNRESOLVED, ChargeAttempt
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.console_people import OneTimeToken
from app.storage.tables.credentials import (
    IDEMPOTENCY_RECORD_LASTS,
    AccessToken,
    IdempotencyRecord,
)
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.stripe_events import EventState, StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_reversals import StripeReversal

EVENTS = table_of(StripeEvent)
ATTEMPTS = table_of(ChargeAttempt)
PAYMENTS = table_of(InvoicePayment)
INTENTS = table_of(StripePayment)
REVERSALS = table_of(StripeReversal)
FACTS = table_of(InstallationValue)
RECORDS = table_of(IdempotencyRecord)
TOKENS = table_of(AccessToken)
ONE_TIME_TOKENS = table_of(OneTimeToken)
log = structlog.get_logger("paydue.purge")

# Rows of one transaction: on SQLite a webhook waits for one such batch at most.
BATCH = 200
_BODY = type_coerce(EVENTS.c.payload, LargeBinary).label("body")  # as it is stored


@dataclass(slots=True)
class PurgeResult:
    """How many bodies were made smaller, the bytes that this freed, and the rows that expired."""

    compressed: int = 0
    dropped: int = 0
    bytes_freed: int = 0
    expired: int = 0

    def __str__(self) -> str:
        return (
            f"{self.compressed} compressed, {self.dropped} dropped, "
            f"{self.bytes_freed} bytes freed, {self.expired} expired rows deleted"
        )


@dataclass(frozen=True, slots=True)
class _BodyPass:
    """One way to make bodies smaller: from which id on it looks, and which events it leaves."""

    name: str  # of the fact that holds the newest id it has seen
    days: int
    smaller: Callable[[bytes], bytes]
    may_lose: ColumnElement[bool]


_IS_AT_REST = EVENTS.c.state.in_([EventState.APPLIED, EventState.IGNORED])
_IS_UNAPPLIED = exists().where(
    PAYMENTS.c.intent_id == EVENTS.c.intent_id,
    PAYMENTS.c.invoice_id.is_(None),
    PAYMENTS.c.counted > 0,
)
_HAS_NOT_ENDED = or_(
    exists().where(ATTEMPTS.c.intent_id == EVENTS.c.intent_id, IS_UNRESOLVED),
    exists().where(INTENTS.c.intent_id == EVENTS.c.intent_id, INTENTS.c.check_at.is_not(None)),
    exists().where(
        REVERSALS.c.intent_id == EVENTS.c.intent_id,
        REVERSALS.c.kind == "dispute",
        REVERSALS.c.status.in_([*DISPUTE_OPEN, *INQUIRY_OPEN]),
    ),
)


@dataclass(frozen=True, slots=True)
class Purge:
    """One purge of a database by its settings. A dry one counts and writes nothing."""

    database: Database
    settings: Settings
    now: datetime
    stop: asyncio.Event
    from_start: bool = False
    is_dry: bool = False

    async def run(self) -> PurgeResult:
        """Look at each event that has become old since the last run; `from_start` at all again."""
        result = PurgeResult()
        for one in self._passes():
            if one.days:
                await self._walk(one, result)
        if not self.is_dry:
            result.expired = await self._delete_expired()
        log.info("purged", **{name: getattr(result, name) for name in PurgeResult.__slots__})
        return result

    def _passes(self) -> Sequence[_BodyPass]:
        return (
            _BodyPass(
                "bodies_compressed_until",
                self.settings.compress_events_after,
                event_bodies.compress,
                _IS_AT_REST,
            ),
            _BodyPass(
                "bodies_dropped_until",
                self.settings.drop_events_after,
                event_bodies.digest,
                _IS_AT_REST & ~_IS_UNAPPLIED & ~_HAS_NOT_ENDED,
            ),
        )

    async def _walk(self, one: _BodyPass, result: PurgeResult) -> None:
        old = EVENTS.c.received_at < self.now - timedelta(days=one.days)
        async with self.database.snapshot() as tx:
            last = 0 if self.from_start else await _load_id(tx, one.name)
        while not self.stop.is_set():
            async with self.database.snapshot() as tx:
                page = select(EVENTS.c.id, old.label("is_old")).where(EVENTS.c.id > last)
                seen = (await tx.execute(page.order_by(EVENTS.c.id).limit(BATCH))).all()
            ids = [row.id for row in seen if row.is_old]
            if not ids:
                return
            await self._shrink(one, last, ids[-1], old, result)
            last = ids[-1]
            if len(ids) < len(seen):
                return

    async def _shrink(
        self, one: _BodyPass, after: int, last: int, old: ColumnElement[bool], result: PurgeResult
    ) -> None:
        """Make the bodies of a range of ids smaller, those that may be."""
        rows = select(EVENTS.c.id, _BODY).where(
            EVENTS.c.id > after, EVENTS.c.id <= last, old, one.may_lose
        )
        if self.is_dry:
            async with self.database.snapshot() as tx:
                _count(one, _changes((await tx.execute(rows)).all(), one), result)
            return
        async with self.database.clients_turn(), self.database.transaction() as tx:
            changes = _changes((await tx.execute(rows.with_for_update())).all(), one)
            if changes:
                await tx.execute(
                    _REPLACE, [{"b_id": key, "b_body": new} for key, _, new in changes]
                )
            await upsert(tx, FACTS, [{"name": one.name, "value": str(last)}], key=[FACTS.c.name])
        _count(one, changes, result)

    async def _delete_expired(self) -> int:
        conditions = (
            (RECORDS, RECORDS.c.kept_at <= self.now - IDEMPOTENCY_RECORD_LASTS),
            (TOKENS, TOKENS.c.expires_at <= self.now),
            (ONE_TIME_TOKENS, ONE_TIME_TOKENS.c.expires_at <= self.now),
        )
        deleted = 0
        for table, is_expired in conditions:
            async with self.database.clients_turn(), self.database.transaction() as tx:
                deleted += (await tx.execute(delete(table).where(is_expired))).rowcount
        return deleted


_REPLACE = (
    update(EVENTS)
    .where(EVENTS.c.id == bindparam("b_id"))
    .values(payload=bindparam("b_body", type_=LargeBinary))
)

_Change = tuple[int, int, bytes]
"""An event's id, the bytes of its body as it is stored, and the smaller one."""


def _changes(rows: Sequence[Record], one: _BodyPass) -> list[_Change]:
    smaller = [(row.id, row.body, one.smaller(row.body)) for row in rows]
    return [(key, len(body), new) for key, body, new in smaller if new != body]


def _count(one: _BodyPass, changes: Sequence[_Change], result: PurgeResult) -> None:
    result.bytes_freed += sum(size - len(new) for _, size, new in changes)
    if one.smaller is event_bodies.digest:
        result.dropped += len(changes)
    else:
        result.compressed += len(changes)


async def _load_id(tx: Tx, name: str) -> int:
    return int(await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == name)) or 0)
