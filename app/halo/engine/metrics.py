"""Metrics for Prometheus: the number of requests, their durations and their statuses."""

import os
import time

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Counter("paydue_requests_total", "HTTP requests answered.", ["route", "status"])
SECONDS = Histogram(
    "paydue_request_seconds",
    "Seconds from a request's first byte to the end of its answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)


class MetricsMiddleware:
    """ASGI middleware: counts and times the requests of each route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499  # the client had gone before the answer

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, send_counted)
        finally:
            route = _route(scope)
            REQUESTS.labels(route, str(status)).inc()
            SECONDS.labels(route).observe(time.perf_counter() - began)


def _route(scope: Scope) -> str:
    """The route's name: as many labels as there are routes, however many paths are tried."""
    return getattr(scope.get("route"), "name", None) or "none"


def process_metrics() -> bytes:
    """The counts of this process; where several serve one port, of all of them together.

    The library's own mode for many processes keeps their numbers in files of a common folder.
    """
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    # prometheus_client has no types for processes of several.
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
