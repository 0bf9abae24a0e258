"""The web application: which URLs exist, and what stands in front of them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.errors import DatabaseUnavailable, Unavailable
from app.halo import routes
from app.halo.access.authenticator import Authenticator, RequestLimiter
from app.halo.actions import RetryCharge
from app.halo.attempt_actions import EndAttempt
from app.halo.engine.metrics import MetricsMiddleware, metrics
from app.halo.engine.responses import ErrorMiddleware, http_error_response, json_response
from app.halo.payment_claims import BookIntent
from app.settings import Settings
from app.storage import schema
from app.storage.engines import Database

Clock = Callable[[], datetime]


utc_now: Clock = partial(datetime.now, UTC)


def create_app(
    settings: Settings,
    database: Database,
    *,
    extra_routes: Sequence[BaseRoute] = (),
    clock: Clock = utc_now,
    retry_charge: RetryCharge | None = None,
    end_attempt: EndAttempt | None = None,
    book_intent: BookIntent | None = None,
) -> Starlette:
    """The application over a database that the caller opened and will close.

    `retry_charge`, `end_attempt` and `book_intent` ask Stripe; without them nothing is charged or
    ended by hand, and an intent that a payment by hand names is believed once Stripe reports it.
    """
    app = Starlette(
        routes=[*extra_routes, *ROUTES],
        middleware=[
            Middleware(MetricsMiddleware),
            Middleware(ErrorMiddleware),
        ],
        exception_handlers={HTTPException: http_error_response},
    )
    app.router.redirect_slashes = False
    app.state.settings = settings
    app.state.database = database
    app.state.clock = clock
    app.state.retry_charge = retry_charge or _without_stripe
    app.state.end_attempt = end_attempt or _without_stripe
    app.state.book_intent = book_intent or _left_to_stripe
    app.state.authenticator = Authenticator(database, clock, RequestLimiter(settings.rate_limit))
    return app


async def _left_to_stripe(intent_id: str) -> None:
    """Nobody is asked; the intent's events and reconciliation will say."""


async def _without_stripe(record_id: int, *, reason: str, who: str) -> Any:
    raise Unavailable("this process does not talk to Stripe")


async def healthz(_: Request) -> Response:
    """The process lives."""
    return json_response({"status": "ok"})


async def readyz(request: Request) -> Response:
    """The database answers, and its schema is the one this version needs."""
    at = await schema.revision(request.app.state.database)
    if at != _head():
        raise DatabaseUnavailable(f"the schema is at {at}, this version needs {_head()}")
    return json_response({"status": "ok", "schema": at})


@cache
def _head() -> str:
    return schema.head()


ROUTES: Sequence[BaseRoute] = (
    *routes.ROUTES,
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
)
