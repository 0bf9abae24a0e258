"""The rate limiter: a token bucket for each endpoint and one for all, before anything else."""

from dataclasses import dataclass

from app.sandbox.account import stripe_errors
from app.sandbox.account.sandbox_clock import Clock


@dataclass(slots=True)
class Bucket:
    """Holds one second's worth of requests, and at least one."""

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


class Limiter:
    """Off while a rate is None; Stripe's are 25/s per endpoint, 25/s (sandbox) or 100/s in all."""

    def __init__(self, clock: Clock, per_endpoint: float | None, in_all: float | None) -> None:
        self._clock = clock
        self.per_endpoint = per_endpoint
        self.in_all = in_all
        self.refused = 0
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str) -> None:
        self._take("", self.in_all, "global-rate")
        self._take(name, self.per_endpoint, "endpoint-rate")

    def _take(self, name: str, rate: float | None, reason: str) -> None:
        if rate is None:
            return
        now = self._clock.now()
        bucket = self._buckets.get(name)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[name] = Bucket(rate, max(1.0, rate), now)
        if not bucket.take(now):
            self.refused += 1
            raise stripe_errors.rate_limited(reason)
