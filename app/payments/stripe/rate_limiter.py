"""The rate limiter of calls to Stripe, per endpoint, shared by all nodes through the database.

Stripe limits each endpoint by itself, 25 requests a second by default. A node reserves the
sending times of a quarter of a second in one small transaction, and sends each request then.
"""

import asyncio
import time
from collections import deque
from typing import NamedTuple, Protocol

import structlog
from prometheus_client import Counter
from sqlalchemy import bindparam, select, update

from app.errors import RecordLocked
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx, database_time, limit_lock_wait
from app.storage.prepared import PreparedStatement
from app.storage.rows import insert_once
from app.storage.tables.cluster import RateLimitSlot as PaceRow

log = structlog.get_logger("paydue.stripe")
SLOTS = table_of(PaceRow)
WAITED = Counter(
    "paydue_stripe_pace_wait_seconds_total", "Seconds calls waited for the pace.", ["endpoint"]
)

CREATE = "POST /v1/payment_intents"
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
CANCEL = "POST /v1/payment_intents/{id}/cancel"
RETRIEVE = "GET /v1/payment_intents/{id}"
LIST = "GET /v1/payment_intents"
CUSTOMER = "GET /v1/customers/{id}"
CUSTOMERS = "GET /v1/customers"
PAYMENT_METHOD = "GET /v1/payment_methods/{id}"
PAYMENT_METHODS = "GET /v1/payment_methods"
SESSIONS = "GET /v1/checkout/sessions"
SESSION = "GET /v1/checkout/sessions/{id}"
EXPIRE = "POST /v1/checkout/sessions/{id}/expire"
OPEN_SESSION = "POST /v1/checkout/sessions"
SETUP_INTENT = "POST /v1/setup_intents"
WEBHOOK_ENDPOINTS = "GET /v1/webhook_endpoints"
NEW_WEBHOOK_ENDPOINT = "POST /v1/webhook_endpoints"
WEBHOOK_ENDPOINT = "POST /v1/webhook_endpoints/{id}"
PORTAL = "POST /v1/billing_portal/sessions"
EVENTS = "GET /v1/events"
REFUND = "POST /v1/refunds"
REFUNDS = "GET /v1/refunds"
DISPUTES = "GET /v1/disputes"
PAYOUTS = "GET /v1/payouts"
BALANCE_TRANSACTIONS = "GET /v1/balance_transactions"

_RESERVE_S = 0.25
_RESERVE_MAX = 500
# Nobody holds a slot's row for longer than a few milliseconds, unless its host is frozen. A node
# that waits in vain keeps the rate by itself meanwhile, rather than stop: at worst all nodes
# together are too fast for a while, and Stripe's refusals are waited out.
_LOCK_WAIT_MS = 250
# A moment missed by more than this is lost: using it late would be a burst.
_LATE_S = 0.25
_MICRO = 1_000_000


class RateLimiter(Protocol):
    async def acquire(self, endpoint: str) -> None:
        """Returns when one request may be sent to the endpoint."""


class Unlimited:
    """For a single call that needs no database."""

    async def acquire(self, endpoint: str) -> None:
        return


class StripeRateLimiter:
    """Lets `acquire(endpoint)` return when this node may send one request to that endpoint."""

    def __init__(self, database: Database, per_second: float) -> None:
        self._database = database
        self._interval_us = max(1, round(_MICRO / per_second))
        self._batch = min(max(1, round(per_second * _RESERVE_S)), _RESERVE_MAX)
        self._moments: dict[str, deque[float]] = {}
        self._reserving: dict[str, asyncio.Lock] = {}
        # Until when this node has given moments out, by its own monotonic clock.
        self._given_until: dict[str, float] = {}

    async def acquire(self, endpoint: str) -> None:
        moment = await self._moment(endpoint)
        wait = moment - time.monotonic()
        if wait > 0:
            WAITED.labels(endpoint).inc(wait)
            await asyncio.sleep(wait)

    async def _moment(self, endpoint: str) -> float:
        moments = self._moments.setdefault(endpoint, deque())
        while True:
            while moments:
                moment = moments.popleft()
                if moment > time.monotonic() - _LATE_S:
                    return moment
            async with self._reserving.setdefault(endpoint, asyncio.Lock()):
                if not moments:
                    moments.extend(await self._reserved(endpoint))

    async def _reserved(self, endpoint: str) -> list[float]:
        try:
            first = await self._reserve_shared(endpoint)
        except RecordLocked:
            log.warning("rate limiter locked", endpoint=endpoint)
            first = max(time.monotonic(), self._given_until.get(endpoint, 0.0))
        step = self._interval_us / _MICRO
        self._given_until[endpoint] = first + self._batch * step
        return [first + turn * step for turn in range(self._batch)]

    async def _reserve_shared(self, endpoint: str) -> float:
        """Reserve a batch of moments among all nodes; answers the first by our monotonic clock."""
        async with self._database.transaction() as tx:
            await limit_lock_wait(tx, _LOCK_WAIT_MS)
            now_us = round((await database_time(tx)).timestamp() * _MICRO)
            here = time.monotonic()
            start_us = max(now_us, await _free_at(tx, endpoint, now_us))
            until_us = start_us + self._batch * self._interval_us
            await _RESERVE.all(tx, b_endpoint=endpoint, until_us=until_us)
        return here + (start_us - now_us) / _MICRO


async def _free_at(tx: Tx, endpoint: str, now_us: int) -> int:
    found = await _LOCK.all(tx, endpoint=endpoint)
    if not found:
        row = {"endpoint": endpoint, "free_at_us": now_us}
        await insert_once(tx, SLOTS, [row], key=[SLOTS.c.endpoint], returning=[SLOTS.c.endpoint])
        found = await _LOCK.all(tx, endpoint=endpoint)
    return found[0].free_at_us


class _Slot(NamedTuple):
    free_at_us: int


_LOCK = PreparedStatement(
    select(SLOTS.c.free_at_us).where(SLOTS.c.endpoint == bindparam("endpoint")).with_for_update(),
    _Slot,
)
_RESERVE = PreparedStatement(
    update(SLOTS)
    .where(SLOTS.c.endpoint == bindparam("b_endpoint"))
    .values(free_at_us=bindparam("until_us"))
    .returning(SLOTS.c.free_at_us),
    _Slot,
)
