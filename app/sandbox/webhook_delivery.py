"""Webhook delivery: at once with retries, or held until a test delivers, in any order."""

import asyncio
import hmac
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import aiohttp
import orjson

from app.sandbox.account.account_state import AccountEvent, EventOrigin, ObjectTable
from app.sandbox.account.event_rendering import Rendering, render_event
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.reproducible_ids import reproducible_random
from app.sandbox.account.sandbox_clock import SandboxClock

DeliveryMode = Literal["auto", "held"]

_RECORD_SIZE = 100_000
_GIVE_UP_AFTER = 3 * 86400  # Stripe retries for up to 3 days
_BACKOFF_MAX = 3600.0
_ROUNDS_MAX = 100
_FIRST_2XX, _LAST_2XX = 200, 299


@dataclass(slots=True)
class SubscribedEndpoint:
    """A webhook endpoint: it gets all types unless some are named, and a v1 for each secret.

    With an `origin` every event says that it is from there.
    """

    id: str
    url: str
    secrets: list[str]
    mode: DeliveryMode = "auto"
    rendering: Rendering = "new"
    types: frozenset[str] | None = None
    origin: EventOrigin | None = None

    def wants(self, event: AccountEvent) -> bool:
        return self.types is None or event.type in self.types


class DeliveryAttempt(NamedTuple):
    """One attempt; `status` is None when there was no answer at all."""

    event: str
    endpoint: str
    attempt: int
    status: int | None
    at: float


@dataclass(slots=True)
class DeliveryReport:
    """The counts of one `deliver`."""

    sent: int = 0
    dropped: int = 0
    acknowledged: int = 0
    statuses: dict[int | None, int] = field(default_factory=dict)
    undelivered: int = 0


@dataclass(slots=True)
class PendingDelivery:
    """An event that an endpoint has not yet answered with 2xx."""

    event: AccountEvent
    endpoint: SubscribedEndpoint
    since: float
    attempts: int = 0


def signature(body: bytes, secrets: Iterable[str], at: int) -> str:
    """The Stripe-Signature header: a v1 for each secret, and the fake v0 to be ignored."""
    signed = [_hmac(secret, at, body) for secret in secrets]
    return ",".join([f"t={at}", *(f"v1={one}" for one in signed), f"v0={_hmac('v0', at, body)}"])


def _hmac(secret: str, at: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, "sha256").hexdigest()


def _is_2xx(status: int | None) -> bool:
    return status is not None and _FIRST_2XX <= status <= _LAST_2XX


class WebhookOutbox:
    """The deliveries still to be made, and the log of those that were tried."""

    def __init__(self, clock: SandboxClock, events: ObjectTable[AccountEvent]) -> None:
        self._clock = clock
        self._events = events
        self.endpoints: list[SubscribedEndpoint] = []
        self.record: deque[DeliveryAttempt] = deque(maxlen=_RECORD_SIZE)
        self.retry_seconds = 5.0
        self.timeout_seconds = 10.0
        self.workers = 16
        self._waiting: dict[tuple[str, str], PendingDelivery] = {}
        self._auto_waiting = 0
        self._nothing_waits = asyncio.Event()
        self._nothing_waits.set()
        self._queue: asyncio.Queue[PendingDelivery] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    def endpoint(self, endpoint_id: str) -> SubscribedEndpoint:
        found = next((one for one in self.endpoints if one.id == endpoint_id), None)
        if found is None:
            raise ValueError(f"no such endpoint: {endpoint_id}")
        return found

    def add(self, endpoint: SubscribedEndpoint) -> SubscribedEndpoint:
        self.endpoints.append(endpoint)
        return endpoint

    def offer(self, event: AccountEvent) -> None:
        """Schedules the event for every endpoint that is subscribed to its type."""
        for endpoint in self.endpoints:
            if endpoint.wants(event):
                event.pending += 1
                waiting = self._waiting[event.id, endpoint.id] = PendingDelivery(
                    event, endpoint, self._clock.now()
                )
                if endpoint.mode == "auto":
                    self._auto_waiting += 1
                    self._nothing_waits.clear()
                    self._queue.put_nowait(waiting)

    def undelivered(self) -> list[tuple[str, str]]:
        """(event id, endpoint id) of every event that its endpoint has not answered with 2xx."""
        return list(self._waiting)

    async def wait_until_drained(self) -> None:
        """Waits until every event of every auto endpoint has its 2xx or was given up (3 days)."""
        await self._nothing_waits.wait()

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self.workers)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _work(self) -> None:
        while True:
            waiting = await self._queue.get()
            if (waiting.event.id, waiting.endpoint.id) not in self._waiting:
                continue
            if not _is_2xx(await self.send(waiting)):
                self._retry_later(waiting)

    def _retry_later(self, waiting: PendingDelivery) -> None:
        if self._clock.now() - waiting.since > _GIVE_UP_AFTER:
            self._forget(waiting)
            return
        pause = min(self.retry_seconds * 2 ** min(waiting.attempts - 1, 20), _BACKOFF_MAX)
        self._clock.after(pause, lambda: self._queue.put_nowait(waiting))

    async def send(self, waiting: PendingDelivery) -> int | None:
        """One attempt and its status; only a 2xx acknowledges the event."""
        waiting.attempts += 1
        status = await self._post(waiting.event, waiting.endpoint)
        self.record.append(
            DeliveryAttempt(
                waiting.event.id, waiting.endpoint.id, waiting.attempts, status, self._clock.now()
            )
        )
        if _is_2xx(status):
            self._acknowledge(waiting)
        return status

    def _acknowledge(self, waiting: PendingDelivery) -> None:
        if (waiting.event.id, waiting.endpoint.id) in self._waiting:
            waiting.event.pending -= 1
            self._forget(waiting)

    def _forget(self, waiting: PendingDelivery) -> None:
        del self._waiting[waiting.event.id, waiting.endpoint.id]
        if waiting.endpoint.mode == "auto":
            self._auto_waiting -= 1
        if not self._auto_waiting:
            self._nothing_waits.set()

    async def _post(self, event: AccountEvent, endpoint: SubscribedEndpoint) -> int | None:
        return await self.post(render_event(event, endpoint.rendering, endpoint.origin), endpoint)

    async def post(self, content: Obj, endpoint: SubscribedEndpoint) -> int | None:
        """Signs by real time, since a moved sandbox clock would make every signature stale."""
        body = orjson.dumps(content, option=orjson.OPT_INDENT_2)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, endpoint.secrets, int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            async with self._client().post(
                endpoint.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
            self._session = aiohttp.ClientSession(
                timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
            )
        return self._session

    async def resend(self, event: AccountEvent) -> list[int | None]:
        """Sends the event to its endpoints even after a 2xx; automatic retries go on."""
        return [await self.send(waiting) for waiting in self._pending_for([event])]

    async def deliver(
        self,
        *,
        seed: int,
        copies: int,
        drop: float,
        concurrency: int,
        everything: bool,
        until_delivered: bool,
    ) -> DeliveryReport:
        """Sends shuffled copies, drops some by chance, and repeats `until_delivered`."""
        random, report = reproducible_random(seed), DeliveryReport()
        batch = self._pending_for(self._events.rows()) if everything else self._undelivered()
        for _ in range(_ROUNDS_MAX):
            sendings = [one for one in batch for _ in range(copies)]
            random.shuffle(sendings)
            kept = [one for one in sendings if random.random() >= drop]
            report.dropped += len(sendings) - len(kept)
            await self._send_all(kept, concurrency, report)
            batch = self._undelivered()
            if not until_delivered or not batch:
                break
        report.undelivered = len(self._undelivered())
        return report

    def _undelivered(self) -> list[PendingDelivery]:
        return [waiting for waiting in self._waiting.values() if waiting.endpoint.mode == "held"]

    def _pending_for(self, events: Iterable[AccountEvent]) -> list[PendingDelivery]:
        now = self._clock.now()
        return [
            self._waiting.get((event.id, endpoint.id)) or PendingDelivery(event, endpoint, now)
            for event in events
            for endpoint in self.endpoints
            if endpoint.wants(event)
        ]

    async def _send_all(
        self, sendings: list[PendingDelivery], concurrency: int, report: DeliveryReport
    ) -> None:
        left = iter(sendings)

        async def work() -> None:
            for waiting in left:
                report.sent += 1
                status = await self.send(waiting)
                report.acknowledged += _is_2xx(status)
                report.statuses[status] = report.statuses.get(status, 0) + 1

        await asyncio.gather(*(work() for _ in range(concurrency)))
