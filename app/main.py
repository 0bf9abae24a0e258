"""The web application: which URLs exist, and what stands in front of them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.console.console_routes import CONSOLE_ROUTES
from app.console.pages.acts_on_events import ReplayEvents
from app.console.people.openid import OpenIdProvider
from app.errors import DatabaseUnavailable, Unavailable
from app.halo import routes
from app.halo.access.authenticator import Authenticator, RequestLimiter
from app.halo.access.concurrency_limit import ConcurrencyLimit
from app.halo.access.internal_pages import internal
from app.halo.actions import RetryCharge
from app.halo.attempt_actions import EndAttempt
from app.halo.autopay_forecast_action import ForecastCharge
from app.halo.charge_calendar_action import ReadCalendar
from app.halo.engine.metrics import MetricsMiddleware, process_metrics
from app.halo.engine.responses import ErrorMiddleware, http_error_response, json_response
from app.halo.engine.security_headers import SecurityHeadersMiddleware
from app.halo.pay_link_actions import CloseLinkSessions
from app.halo.payment_claims import BookIntent
from app.halo.refund_actions import MakeRefund
from app.halo.report_action import ReadReport
from app.halo.stripe_actions import AskStripe
from app.pay_page.objection_page import OBJECTION_ROUTES
from app.pay_page.visitor_page import PAY_ROUTES, OpenCheckout, OpenPortal, PayPageLimits
from app.payments.autopay import charge_calendar, why
from app.payments.fact_metrics import FactMetrics
from app.payments.finance_reports import make_report
from app.rules.finance_report import ReportRequest
from app.settings import Settings
from app.storage import schema
from app.storage.engines import Database, Tx

Clock = Callable[[], datetime]


utc_now: Clock = partial(datetime.now, UTC)


async def _left_to_stripe(intent_id: str) -> None:
    """Nobody is asked; the intent's events and reconciliation will say."""


async def _without_stripe(*_: object, **__: object) -> Any:
    raise Unavailable("this process does not talk to Stripe")


class _NoStripe:
    """Asks nobody."""

    create_payment_intent = create_setup_intent = create_portal_session = staticmethod(
        _without_stripe
    )
    set_webhook = method_name = staticmethod(_without_stripe)


@dataclass(frozen=True, slots=True)
class StripeActs:
    """The acts of a person that ask Stripe. A node offers all of them."""

    retry_charge: RetryCharge = _without_stripe
    end_attempt: EndAttempt = _without_stripe
    book_intent: BookIntent = _left_to_stripe
    make_refund: MakeRefund = _without_stripe
    replay_events: ReplayEvents = _without_stripe
    open_checkout: OpenCheckout = _without_stripe
    open_portal: OpenPortal = _without_stripe
    close_link_sessions: CloseLinkSessions = _without_stripe
    # None where nothing is asked of Stripe.
    halo_stripe: AskStripe | None = None


def create_app(
    settings: Settings,
    database: Database,
    *,
    extra_routes: Sequence[BaseRoute] = (),
    has_api: bool = True,
    clock: Clock = utc_now,
    acts: StripeActs | None = None,
    stop: asyncio.Event | None = None,
) -> Starlette:
    """The application over a database that the caller opened and will close.

    Without the API and the console it has the service's own pages and the extra routes.

    It says that it is not ready once `stop` is set, and serves on.

    Without the acts that ask Stripe nothing is charged, ended or refunded by hand, and an intent
    that a payment by hand names is believed once Stripe reports it.
    """
    app = Starlette(
        routes=[*extra_routes, *(ROUTES if has_api else HEALTH_ROUTES)],
        middleware=[
            Middleware(MetricsMiddleware),
            Middleware(
                SecurityHeadersMiddleware, is_https=settings.public_url.startswith("https://")
            ),
            Middleware(ErrorMiddleware),
        ],
        exception_handlers={HTTPException: http_error_response},
    )
    app.router.redirect_slashes = False
    app.state.settings = settings
    app.state.database = database
    app.state.clock = clock
    app.state.stop = stop or asyncio.Event()
    app.state.fact_metrics = FactMetrics(database, settings, clock)
    app.state.openid = OpenIdProvider(settings)
    acts = acts or StripeActs()
    app.state.retry_charge = acts.retry_charge
    app.state.end_attempt = acts.end_attempt
    app.state.book_intent = acts.book_intent
    app.state.make_refund = acts.make_refund
    app.state.replay_events = acts.replay_events
    app.state.open_checkout = acts.open_checkout
    app.state.open_portal = acts.open_portal
    app.state.close_link_sessions = acts.close_link_sessions
    app.state.halo_stripe = acts.halo_stripe or _NoStripe()
    app.state.pay_page_limits = PayPageLimits()
    app.state.forecast_charge = _forecast_charge(settings, clock)
    app.state.read_calendar = _read_calendar(settings, database, clock)
    app.state.read_report = _read_report(settings, database, clock)
    app.state.concurrency_limit = ConcurrencyLimit()
    app.state.token_limiter = RequestLimiter(settings.rate_limit)
    app.state.authenticator = Authenticator(database, clock, RequestLimiter(settings.rate_limit))
    return app


def _forecast_charge(settings: Settings, clock: Clock) -> ForecastCharge:
    async def forecast(tx: Tx, invoice_id: int) -> dict[str, Any]:
        found = await why.forecast(tx, invoice_id, settings, now=clock())
        return found.as_dict()

    return forecast


def _read_calendar(settings: Settings, database: Database, clock: Clock) -> ReadCalendar:
    async def read(days: int | None, client_id: int | None) -> dict[str, Any]:
        found = await charge_calendar.read_calendar(
            database,
            settings,
            now=clock(),
            days=days or charge_calendar.DAYS,
            client_id=client_id,
        )
        return found.as_dict()

    return read


def _read_report(settings: Settings, database: Database, clock: Clock) -> ReadReport:
    async def read(wanted: ReportRequest) -> dict[str, Any]:
        found = await make_report(database, settings, wanted, now=clock())
        return found.as_dict()

    return read


def create_health_app(settings: Settings, database: Database, stop: asyncio.Event) -> Starlette:
    """The service's own pages alone, for a process that answers nothing else."""
    app = Starlette(
        routes=HEALTH_ROUTES,
        middleware=[Middleware(ErrorMiddleware)],
        exception_handlers={HTTPException: http_error_response},
    )
    app.state.settings = settings
    app.state.database = database
    app.state.stop = stop
    app.state.fact_metrics = FactMetrics(database, settings, utc_now)
    return app


async def healthz(_: Request) -> Response:
    """The process lives."""
    return json_response({"status": "ok"})


async def readyz(request: Request) -> Response:
    """The database answers, its schema is one this version can use, and no stop was asked for."""
    if request.app.state.stop.is_set():
        raise Unavailable("this process is stopping")
    found = await schema.state(request.app.state.database)
    if not found.is_usable:
        raise DatabaseUnavailable(found.words())
    return json_response({"status": "ok", "schema": found.at})


async def metrics(request: Request) -> Response:
    """In Prometheus's format: the counts of the process, and the facts of the database."""
    facts: FactMetrics = request.app.state.fact_metrics
    text = process_metrics() + await facts.text()
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


HEALTH_ROUTES: Sequence[BaseRoute] = (
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", internal(metrics)),
)
ROUTES: Sequence[BaseRoute] = (
    *routes.ROUTES,
    *HEALTH_ROUTES,
    *CONSOLE_ROUTES,
    *PAY_ROUTES,
    *OBJECTION_ROUTES,
)
