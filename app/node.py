"""The composition root: opens the parts of Paydue that one process uses, and closes them in order.

`serve`, `worker`, the commands, the demo and the tests all begin here. No other module constructs a
database, an inbox, a gateway, a rate limiter or a webhook endpoint, so each is wired once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import structlog
from starlette.types import ASGIApp

from app import logs
from app.errors import ConfigurationError, Unavailable
from app.ledger.pay_links import StoredPayLink
from app.ledger.recurring_run import RecurringRun
from app.ledger.refund_requests import WantedRefund
from app.mail.alert_webhooks import AlertWebhooks
from app.mail.mail_delivery import MailDelivery
from app.main import Clock, StripeActs, create_app, create_health_app, utc_now
from app.payments import intent_bookings
from app.payments.alert_watch import AlertWatch
from app.payments.autopay.ending import AttemptEnding
from app.payments.autopay.report import outcome_as_dict
from app.payments.autopay.run import Autopay
from app.payments.checkout.halo_screens import HaloScreens
from app.payments.checkout.link_checkout import NotOpened, Opened, PayLinkCheckout
from app.payments.checkout.session_closing import SessionClosing
from app.payments.notices import Notices
from app.payments.purge import Purge
from app.payments.reconcile import Reconciliation
from app.payments.refunds import Refunds, refund_as_dict
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeRateLimited,
)
from app.payments.stripe.rate_limiter import RateLimiter, StripeRateLimiter, Unlimited
from app.payments.webhook import dead_letters, endpoint
from app.payments.webhook.dead_letters import RetryResult
from app.payments.webhook.endpoint import WebhookEndpoint, WebhookRouter
from app.payments.webhook.foreign_events import ForeignEventCounter
from app.payments.webhook.inbox import ANSWER_S, Inbox
from app.rules.home import home_of
from app.settings import Settings, SettingsRefused, reread
from app.storage import schema
from app.storage.durability import list_risks
from app.storage.engines import Database, shown_url
from app.storage.tables.customer_links import LinkSessionState

log = structlog.get_logger("paydue.node")


class ServedPart(StrEnum):
    """All that a server process may serve, or one of the two parts that disturb each other."""

    EVERYTHING = "everything"
    WEBHOOKS = "webhooks"
    API = "api"


@dataclass(frozen=True, slots=True)
class Node:
    """One of any number of processes on one database, with its parts."""

    settings: Settings
    database: Database
    installation: str
    limiter: RateLimiter
    gateway: Gateway  # not open yet: whoever asks Stripe does so inside `async with node.gateway`
    inbox: Inbox
    foreign: ForeignEventCounter
    clock: Clock
    stop: asyncio.Event

    def log_fields(self) -> dict[str, str]:
        """Where this node works, for the first line of its log."""
        mode = "live" if self.settings.livemode else "test"
        return {"mode": mode, "database": shown_url(self.database.url), "schema": schema.head()}

    async def warn_of_risks(self) -> None:
        """Log each way in which the database may lose what it has acknowledged."""
        if self.database.is_sqlite:
            return  # its pages are looked through by `paydue doctor`: that takes long
        async with self.database.snapshot() as tx:
            for risk in await list_risks(tx):
                log.warning("the database may lose events", why=risk.said, mend=risk.mend)

    def reload(self) -> "Node":
        """The same node with its secrets and log level read again; as it was when they are wrong.

        An open gateway uses the new key from its next call on.
        """
        try:
            change = reread(self.settings)
        except SettingsRefused as error:
            log.error("settings not reloaded", why=str(error))
            return self
        if change.needs_restart:
            log.warning("these settings need a restart", settings=list(change.needs_restart))
        logs.set_level(change.settings.log_level)
        self.gateway.use(change.settings)
        log.info("settings reloaded", changed=list(change.changed))
        return replace(self, settings=change.settings)

    def health_application(self) -> ASGIApp:
        """The pages by which a process without a web application shows that it is well."""
        return create_health_app(self.settings, self.database, self.stop)

    def web_application(self, part: ServedPart = ServedPart.EVERYTHING) -> ASGIApp:
        """The webhook, the API with the console, or both; and the service's own pages."""
        receiver = WebhookEndpoint(self.settings, self.inbox, self.foreign)
        routes = endpoint.webhook_routes(receiver)
        app = create_app(
            self.settings,
            self.database,
            extra_routes=() if part is ServedPart.API else routes,
            has_api=part is not ServedPart.WEBHOOKS,
            clock=self.clock,
            stop=self.stop,
            acts=StripeActs(
                self.retry_charge,
                self.end_attempt,
                self.book_intent,
                self.refund,
                self.replay_events,
                self.open_checkout,
                self.open_portal,
                self.close_link_sessions,
                HaloScreens(self.database, self.installation, self._own_gateway),
            ),
        )
        return app if part is ServedPart.API else WebhookRouter(receiver, app)

    def autopay(self) -> Autopay:
        return Autopay(
            self.database,
            self.gateway,
            self.settings,
            self.installation,
            self.reconciliation().catch_up,
            self.stop,
        )

    async def retry_charge(self, invoice_id: int, *, reason: str, who: str) -> dict[str, Any]:
        """Charge an invoice now, because a person says so, and answer the outcome as JSON."""
        async with self._own_gateway() as gateway:
            autopay = replace(self.autopay(), gateway=gateway)
            return outcome_as_dict(await autopay.retry(invoice_id, reason=reason, who=who))

    async def end_attempt(self, attempt_id: int, *, reason: str, who: str) -> str:
        """End an attempt by hand, and answer Stripe's proof that it can move no money."""
        async with self._own_gateway() as gateway:
            ending = AttemptEnding(self.database, gateway, self.installation)
            return await ending.end(attempt_id, reason=reason, who=who)

    async def book_intent(self, intent_id: str) -> None:
        """Book what Stripe says of an intent now; its silence leaves that to reconciliation."""
        if not self.settings.api_key:
            return
        async with self._own_gateway() as gateway:
            await intent_bookings.book(self.database, gateway, self.installation, intent_id)

    async def refund(self, wanted: WantedRefund) -> dict[str, Any]:
        """Give money back, because a person says so, and answer the request as JSON."""
        async with self._own_gateway() as gateway:
            return refund_as_dict(await replace(self.refunds(), gateway=gateway).refund(wanted))

    async def replay_events(self, ids: Sequence[int]) -> RetryResult:
        """Apply stored events again. With a key Stripe is asked for intents that are not known."""
        async with open_gateway(self.settings, self.database) as gateway:
            return await dead_letters.retry_events(
                self.database, self.installation, ids, self.clock(), gateway
            )

    async def open_checkout(
        self, link: StoredPayLink, currency: str, page_url: str
    ) -> Opened | NotOpened:
        """The Checkout Session of a pay link, or what its invoices wait for."""
        async with self._own_gateway() as gateway:
            checkout = PayLinkCheckout(self.database, gateway, self.installation)
            return await checkout.open(link, currency, page_url)

    async def close_link_sessions(self, link_id: int) -> list[str]:
        """End at Stripe what visitors of a revoked link have open; answer what may be paid."""
        async with self._own_gateway() as gateway:
            ended = await SessionClosing(self.database, gateway).close_of_link(link_id)
        return [one.session_id for one in ended if one.state == LinkSessionState.OPEN]

    async def open_portal(self, customer_id: str, return_url: str) -> str:
        """The address of Stripe's page for a customer's payment methods."""
        async with self._own_gateway() as gateway:
            try:
                return await gateway.open_portal(customer_id, return_url)
            except (NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited) as error:
                raise Unavailable(f"Stripe opens no portal: {error}") from error

    @contextlib.asynccontextmanager
    async def _own_gateway(self) -> AsyncIterator[Gateway]:
        """A gateway for one request: a process that only serves has none open."""
        if not self.settings.api_key:
            raise Unavailable("STRIPE_API_KEY is not set; nothing can be asked of Stripe")
        async with Gateway(self.settings, self.limiter) as gateway:
            yield gateway

    def purge(self, *, from_start: bool = False, is_dry: bool = False) -> Purge:
        return Purge(
            self.database, self.settings, self.database.now(), self.stop, from_start, is_dry
        )

    def recurring(self) -> RecurringRun:
        return RecurringRun(self.database, home_of(self.settings), self.clock, self.stop)

    def session_closing(self) -> SessionClosing:
        return SessionClosing(self.database, self.gateway)

    def notices(self) -> Notices:
        return Notices(self.database, self.gateway, self.settings, self.clock)

    def alert_watch(self) -> AlertWatch:
        return AlertWatch(self.database, self.gateway, self.settings, self.clock)

    def alert_webhooks(self) -> AlertWebhooks:
        return AlertWebhooks(self.database, self.settings, self.installation)

    def mail_delivery(self) -> MailDelivery:
        return MailDelivery(self.database, self.settings, self.installation, self.stop)

    def refunds(self) -> Refunds:
        return Refunds(self.database, self.gateway, self.installation, self.stop)

    def reconciliation(self) -> Reconciliation:
        return Reconciliation(self.database, self.gateway, self.installation, self.stop)


@contextlib.asynccontextmanager
async def open_node(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    stop: asyncio.Event | None = None,
    answer_limit_s: float = ANSWER_S,
) -> AsyncIterator[Node]:
    """A node whose schema is up to date; what its inbox accepted is committed before it closes."""
    assert_key_set(settings)
    async with open_database(settings, clock=clock) as database:
        await database.expect_own_sessions()
        if settings.upgrade_on_start:
            await schema.upgrade(database)
        found = await schema.expect_usable(database)
        if found.is_newer:
            log.warning("the schema is newer", why=found.words())
        limiter = StripeRateLimiter(database, settings.stripe_pace)
        gateway = Gateway(settings, limiter)
        name = await schema.installation(database)
        inbox, foreign = Inbox(database, name, answer_limit_s), ForeignEventCounter(database)
        stop = stop or asyncio.Event()
        try:
            yield Node(settings, database, name, limiter, gateway, inbox, foreign, clock, stop)
        finally:
            await inbox.close()
            await foreign.close()


@contextlib.asynccontextmanager
async def open_stripe_node(
    settings: Settings, *, clock: Clock = utc_now, stop: asyncio.Event | None = None
) -> AsyncIterator[Node]:
    """A node that asks Stripe: its gateway is open."""
    if not settings.api_key:
        raise ConfigurationError("STRIPE_API_KEY is not set; nothing can be asked of Stripe")
    async with open_node(settings, clock=clock, stop=stop) as node, node.gateway:
        yield node


@contextlib.asynccontextmanager
async def open_database(
    settings: Settings, *, clock: Clock = utc_now, create: bool = False
) -> AsyncIterator[Database]:
    """The database alone, whatever its schema is.

    A SQLite file that is missing is made only on demand: in a wrong folder, or on a disk that is
    not mounted, an empty database would be taken for the real one.
    """
    database = Database(settings.database_url, clock)
    database.expect_file(create=create or settings.create_database)
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def open_gateway(settings: Settings, database: Database) -> AsyncIterator[Gateway | None]:
    """A gateway whose rate all nodes share, or None while no key is set."""
    if not settings.api_key:
        yield None
        return
    async with Gateway(settings, StripeRateLimiter(database, settings.stripe_pace)) as gateway:
        yield gateway


@contextlib.asynccontextmanager
async def open_current_database(settings: Settings) -> AsyncIterator[Database]:
    """The database, or ConfigurationError when its schema is not this version's."""
    async with open_database(settings) as database:
        await schema.expect_usable(database)
        yield database


def unlimited_gateway(settings: Settings) -> Gateway:
    """A gateway for a single call, which needs no database to share a rate through."""
    return Gateway(settings, Unlimited())


def assert_database_there(settings: Settings) -> None:
    """Before a port is opened or a process started: the file is there, or may be made."""
    Database(settings.database_url).expect_file(create=settings.create_database)


def assert_key_set(settings: Settings) -> None:
    """Without a key nothing of ours may talk to the live API, not even by mistake."""
    if settings.talks_to_stripe_itself and not settings.api_key:
        raise ConfigurationError(
            "STRIPE_API_KEY is not set. Set it to Stripe's secret key, or PAYDUE_STRIPE_API_BASE "
            "to another Stripe-shaped server (`paydue sandbox` starts one)."
        )
