"""Stripe's rate limits: a token bucket for each route and one for all of them."""

from dataclasses import dataclass

from app.sandbox.account import stripe_errors
from app.sandbox.account.sandbox_clock import SandboxClock


@dataclass(slots=True)
class RequestBucket:
    """A token bucket that holds one second's worth of requests, and at least one."""

    rate: float
    tokens: float
    at: float

    def take(self, now: float) -> bool:
        self.tokens = min(max(1.0, self.rate), self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class RouteLimiter:
    """A rate of None is no limit; Stripe's are 25/s a route, and 25/s (test) or 100/s in all."""

    def __init__(
        self, clock: SandboxClock, per_endpoint: float | None, in_all: float | None
    ) -> None:
        self._clock = clock
        self.per_endpoint = per_endpoint
        self.in_all = in_all
        self.refused = 0
        self._buckets: dict[str, RequestBucket] = {}

    def take(self, name: str) -> None:
        self._take("", self.in_all, "global-rate")
        self._take(name, self.per_endpoint, "endpoint-rate")

    def _take(self, name: str, rate: float | None, reason: str) -> None:
        if rate is None:
            return
        now = self._clock.now()
        bucket = self._buckets.get(name)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[name] = RequestBucket(rate, max(1.0, rate), now)
        if not bucket.take(now):
            self.refused += 1
            raise stripe_errors.rate_limited(reason)
