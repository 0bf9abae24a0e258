"""Payouts and balance transactions, read from Stripe: fee and net of a payment, and its payout.

A balance transaction never changes, so each is stored once, by its id. Payouts are few, so those of
a month are read every time: one whose events were lost is found, and so is one that failed late. Of
which balance transactions a payout is made is read when it has ended, until they add up to it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict, TypeVar

import structlog
from sqlalchemy import bindparam, select, update

from app.errors import BadEvent
from app.ledger import journal, payout_lines
from app.payments.stripe.gateway import Gateway, NotAuthorized, RequestRefused
from app.payments.stripe.stripe_objects import balance_movement, payout_report, reference
from app.rules.payout import ENDED, BalanceMovement, PayoutReport, wait_before_check
from app.storage.bulk_writes import BulkInsertOnce
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.rows import upsert
from app.storage.tables.cluster import InstallationValue, Job
from app.storage.tables.stripe_payouts import BalanceTransaction, StripePayout

log = structlog.get_logger("paydue.payouts")
PAYOUTS = table_of(StripePayout)
TRANSACTIONS = table_of(BalanceTransaction)
FACTS = table_of(InstallationValue)
JOBS = table_of(Job)

CURSOR = "payouts_read_until"
# The job that reads payouts, among others.
JOB = "reconcile"
# The first time: the books of this month and of the last.
FIRST_LOOK = timedelta(days=62)
# Stripe makes a balance transaction a moment after its charge. One that comes later than this is
# found with its payout.
OVERLAP = timedelta(hours=1)
# A payout arrives within two weeks, and a bank may send it back some days later.
PAYOUTS_OVERLAP = timedelta(days=30)
BATCH = 100

ReportT = TypeVar("ReportT", PayoutReport, BalanceMovement)


@dataclass(slots=True)
class PayoutSyncResult:
    """Counts of one pass: payouts read, new balance transactions, payouts that are not whole."""

    payouts: int = 0
    transactions_new: int = 0
    not_whole: int = 0


async def request_sync(tx: Tx, payout_ids: Sequence[str], *, now: datetime) -> None:
    """Make the job that reads payouts due at once. One that is running ends first, as planned."""
    await tx.execute(
        update(PAYOUTS)
        .where(PAYOUTS.c.payout_id.in_(payout_ids), PAYOUTS.c.check_at > now)
        .values(check_at=now)
    )
    await tx.execute(
        update(JOBS).where(JOBS.c.name == JOB, JOBS.c.next_run_at > now).values(next_run_at=now)
    )


async def sync(database: Database, gateway: Gateway, stop: asyncio.Event) -> PayoutSyncResult:
    """Read what is new at Stripe. A key that may not read payouts stops nothing else."""
    reading = _PayoutReading(database, gateway, stop, datetime.now(UTC), PayoutSyncResult())
    try:
        await reading.run()
    except (NotAuthorized, RequestRefused) as error:
        log.warning("payouts not read", why=str(error))
    return reading.found


@dataclass(frozen=True, slots=True)
class _PayoutReading:
    """One pass over payouts and balance transactions."""

    database: Database
    gateway: Gateway
    stop: asyncio.Event
    now: datetime
    found: PayoutSyncResult

    async def run(self) -> None:
        """The cursor moves only when the whole pass came to its end."""
        if self.stop.is_set():
            return
        since = await self._since()
        await self._read_payouts(since - PAYOUTS_OVERLAP)
        await self._read_transactions(since - OVERLAP)
        for row in await self._unread():
            if self.stop.is_set():
                return
            await self._read_payout_transactions(row)
        if not self.stop.is_set():
            await self._move_cursor()
        log.info("payouts read", since=since.isoformat(), new=self.found.transactions_new)

    async def _read_payouts(self, since: datetime) -> None:
        async for page in _pages(self.gateway.payouts_since(since), payout_report):
            if self.stop.is_set():
                return
            self.found.payouts += len(page)
            await self._store_payouts(page)

    async def _read_transactions(self, since: datetime) -> None:
        listed = self.gateway.balance_transactions(since=since)
        async for page in _pages(listed, balance_movement):
            if self.stop.is_set():
                return
            await self._store_transactions(page)

    # --- a payout's own -----------------------------------------------------------------------

    async def _unread(self) -> list["_UnreadPayout"]:
        async with self.database.snapshot() as tx:
            return await _UNREAD.all(tx, now=self.now)

    async def _read_payout_transactions(self, payout: "_UnreadPayout") -> None:
        """Read of which balance transactions a payout is made, and when to read them again."""
        listed = self.gateway.balance_transactions(payout_id=payout.payout_id)
        try:
            async for page in _pages(listed, balance_movement):
                await self._store_transactions(page, payout.payout_id)
        except RequestRefused as error:
            log.warning("payout not read", payout=payout.payout_id, why=error.message)
        await self.database.with_retry(lambda tx: self._schedule_check(tx, payout))

    async def _schedule_check(self, tx: Tx, payout: "_UnreadPayout") -> None:
        missing = (await payout_lines.load_payout(tx, payout.payout_id)).missing
        wait = wait_before_check(missing=missing, age=self.now - payout.created_at)
        if missing:
            self.found.not_whole += 1
            log.warning("payout not whole", payout=payout.payout_id, missing=str(missing))
        await tx.execute(
            update(PAYOUTS)
            .where(PAYOUTS.c.payout_id == payout.payout_id)
            .values(check_at=self.now + wait if wait else None)
        )

    # --- rows --------------------------------------------------------------------------------

    async def _store_payouts(self, page: Sequence[PayoutReport]) -> None:
        await self.database.with_retry(lambda tx: _write_payouts(tx, page, self.now))

    async def _store_transactions(
        self, page: Sequence[BalanceMovement], payout_id: str | None = None
    ) -> None:
        self.found.transactions_new += await self.database.with_retry(
            lambda tx: _write_transactions(tx, page, payout_id, self.now)
        )

    # --- cursor ------------------------------------------------------------------------------

    async def _since(self) -> datetime:
        async with self.database.snapshot() as tx:
            known = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == CURSOR))
        return datetime.fromisoformat(known) if known else self.now - FIRST_LOOK

    async def _move_cursor(self) -> None:
        row = {"name": CURSOR, "value": self.now.isoformat()}
        async with self.database.transaction() as tx:
            await upsert(tx, FACTS, [row], key=[FACTS.c.name])


class _UnreadPayout(NamedTuple):
    """An ended payout whose balance transactions are to be read."""

    payout_id: str
    created_at: datetime


_UNREAD = PreparedStatement(
    select(*projection(PAYOUTS, _UnreadPayout))
    .where(PAYOUTS.c.check_at <= bindparam("now", type_=PAYOUTS.c.check_at.type))
    .order_by(PAYOUTS.c.check_at)
    .limit(BATCH),
    _UnreadPayout,
)


class _KnownStatus(NamedTuple):
    payout_id: str
    status: str


_KNOWN = PreparedStatement(
    select(*projection(PAYOUTS, _KnownStatus)).where(any_of(PAYOUTS.c.payout_id, "payouts")),
    _KnownStatus,
)


async def _write_payouts(tx: Tx, page: Sequence[PayoutReport], now: datetime) -> None:
    """Write the payouts as they are now; those that have just ended are to be read."""
    ids = [one.payout_id for one in page]
    known = dict(await _KNOWN.all(tx, payouts=ids))
    rows = [_payout_columns(one) for one in sorted(page, key=lambda one: one.payout_id)]
    await upsert(tx, PAYOUTS, rows, key=[PAYOUTS.c.payout_id])
    just_ended = [one.payout_id for one in page if _has_just_ended(one, known.get(one.payout_id))]
    await tx.execute(
        update(PAYOUTS).where(PAYOUTS.c.payout_id.in_(just_ended)).values(check_at=now)
    )


def _has_just_ended(payout: PayoutReport, before: str | None) -> bool:
    return payout.automatic and payout.status in ENDED and before not in ENDED


def _payout_columns(payout: PayoutReport) -> Mapping[str, object]:
    return {
        "payout_id": payout.payout_id,
        "status": payout.status,
        "amount": payout.amount,
        "currency_iso": payout.currency,
        "automatic": payout.automatic,
        "arrival_date": payout.arrival_date,
        "created_at": payout.created_at,
        "failure_code": payout.failure_code,
    }


class _TransactionColumns(TypedDict):
    transaction_id: str
    type: str
    source_id: str | None
    description: str | None
    currency_iso: str
    amount: Decimal
    fee: Decimal
    net: Decimal
    exchange_rate: str | None
    created_at: datetime
    available_at: datetime


_INSERT = BulkInsertOnce(TRANSACTIONS, "transaction_id", _TransactionColumns.__annotations__)


async def _write_transactions(
    tx: Tx, page: Sequence[BalanceMovement], payout_id: str | None, now: datetime
) -> int:
    """Insert the transactions that are new, and name the payout of all; answers how many were.

    Money that a failed payout gives back is not of that payout: a later one pays it out.
    """
    new = await _INSERT.insert_new(tx, [_transaction_columns(one) for one in page])
    movements = {one.transaction_id: one for one in page}
    await journal.record_movements(tx, [movements[one] for one in sorted(new)], now=now)
    if payout_id is not None:
        ids = [one.transaction_id for one in page if not _came_back(one, payout_id)]
        await tx.execute(
            update(TRANSACTIONS)
            .where(
                TRANSACTIONS.c.transaction_id.in_(ids),
                TRANSACTIONS.c.payout_id.is_(None),
            )
            .values(payout_id=payout_id)
        )
    return len(new)


def _came_back(one: BalanceMovement, payout_id: str) -> bool:
    return one.source_id == payout_id and one.type != "payout"


def _transaction_columns(one: BalanceMovement) -> _TransactionColumns:
    return {
        "transaction_id": one.transaction_id,
        "type": one.type,
        "source_id": one.source_id,
        "description": one.description,
        "currency_iso": one.currency,
        "amount": one.amount,
        "fee": one.fee,
        "net": one.net,
        "exchange_rate": one.exchange_rate,
        "created_at": one.created_at,
        "available_at": one.available_at,
    }


# --- lists -----------------------------------------------------------------------------------


async def _pages(
    listed: AsyncIterator[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], ReportT]
) -> AsyncIterator[list[ReportT]]:
    """The objects of a list, in pages. One that makes no sense is passed over, and named."""
    page: list[ReportT] = []
    async for one in listed:
        try:
            page.append(read(one))
        except BadEvent as error:
            log.error("object not read", id=reference(one.get("id")), why=error.message)
        if len(page) == BATCH:
            yield page
            page = []
    if page:
        yield page
