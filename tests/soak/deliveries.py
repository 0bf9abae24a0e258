"""Stripe's side of the load: events that are delivered until they are acknowledged."""

import asyncio
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.harness import event, intent, signed

# Stripe gives up an answer later than this; so does this load, and delivers again.
ANSWER_S = 20.0
RETRY_S = 1.0
TWICE = 0.05  # of the events are delivered twice at the same moment
AMOUNT_MINOR = 100
UNDER_WAY_MAX = 2000  # Stripe's own deliveries are bounded as well


@dataclass
class Deliveries:
    """A stream of `payment_intent.succeeded`, each for an invoice of a known client."""

    urls: list[str]
    invoices: list[int]
    rate: float
    rng: random.Random
    # Event id -> intent id, of those that were answered with 2xx.
    acknowledged: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int | None] = field(default_factory=Counter)
    # Seconds from the first delivery of an event to its acknowledgement.
    lags: list[float] = field(default_factory=list)
    sent: int = 0
    _waiting: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, until: asyncio.Event) -> None:
        """Deliver at the rate until told to stop, and then until all are acknowledged."""
        connector = aiohttp.TCPConnector(limit=200)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            started = time.monotonic()
            for number in itertools.count():
                pause = started + number / self.rate - time.monotonic()
                await asyncio.sleep(max(pause, 0))
                if until.is_set():
                    break
                if len(self._waiting) < UNDER_WAY_MAX:
                    self._begin(http, self.invoices[number % len(self.invoices)])
            while self._waiting:
                await asyncio.wait(self._waiting)

    def _begin(self, http: aiohttp.ClientSession, invoice: int) -> None:
        self.sent += 1
        thing = intent(invoice, amount=AMOUNT_MINOR, customer=f"cus_{invoice}")
        told = event("payment_intent.succeeded", thing)
        for _ in range(2 if self.rng.random() < TWICE else 1):
            task = asyncio.create_task(self._until_acknowledged(http, told))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _until_acknowledged(self, http: aiohttp.ClientSession, told: dict[str, Any]) -> None:
        body = orjson.dumps(told)
        started = time.monotonic()
        for tries in itertools.count():
            url = self.urls[(len(told["id"]) + tries + self.sent) % len(self.urls)]
            status = await _post(http, url, body)
            self.statuses[status] += 1
            if status is not None and 200 <= status < 300:
                self.lags.append(time.monotonic() - started)
                self.acknowledged[told["id"]] = told["data"]["object"]["id"]
                return
            await asyncio.sleep(RETRY_S)


async def _post(http: aiohttp.ClientSession, url: str, body: bytes) -> int | None:
    headers = {"Stripe-Signature": signed(body)}
    try:
        async with http.post(f"{url}/stripe/webhook", data=body, headers=headers) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None
