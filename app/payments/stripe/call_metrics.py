"""The calls to Stripe as metrics and spans: how many, how long, and how each ended."""

import contextlib
import time
from collections.abc import Iterator

from prometheus_client import Counter, Histogram

from app import tracing

CALLS = Counter("paydue_stripe_calls_total", "Calls to Stripe.", ["endpoint", "outcome"])
SECONDS = Histogram(
    "paydue_stripe_seconds",
    "Seconds from a call to Stripe to its answer, or to the end of waiting for one.",
    ["endpoint"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40),
)


@contextlib.contextmanager
def counted_call(endpoint: str) -> Iterator[None]:
    """Counts a call by its outcome: `answered`, or the gateway's exception, such as `Declined`."""
    began, outcome = time.perf_counter(), "answered"
    try:
        with tracing.span(f"Stripe {endpoint}", kind="CLIENT"):
            yield
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        CALLS.labels(endpoint, outcome).inc()
        SECONDS.labels(endpoint).observe(time.perf_counter() - began)
