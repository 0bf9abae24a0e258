"""The sandbox: a Stripe over HTTP with the controls that tests and demos need."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from app.sandbox import controls
from app.sandbox.account.account_state import (
    AccountEvent,
    AccountState,
    EventCause,
    EventOrigin,
)
from app.sandbox.account.event_rendering import Rendering, render_event, render_ping
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.sandbox_clock import SandboxClock
from app.sandbox.account.truth_ledger import TruthLedger
from app.sandbox.bank_acts import BankActs
from app.sandbox.customer_acts import CustomerActs
from app.sandbox.event_history import EventHistory
from app.sandbox.stranger_acts import StrangerActs
from app.sandbox.stripe_api import (
    disputes_api,
    refunds_api,
)
from app.sandbox.transport import asgi_server, stripe_routes
from app.sandbox.transport.fault_injection import Fault, FaultKind
from app.sandbox.transport.request_pipeline import LoggedRequest, RequestPipeline
from app.sandbox.transport.token_buckets import RouteLimiter
from app.sandbox.webhook_delivery import (
    DeliveryAttempt,
    DeliveryMode,
    DeliveryReport,
    SubscribedEndpoint,
    WebhookOutbox,
)

_TICK_SECONDS = 0.05
_LOG_SIZE = 10_000


class Sandbox:
    """One Stripe account. The same seed and the same calls give the same ids.

    `rate_limit` is requests per second per endpoint, `global_rate_limit` in all, `latency`
    seconds per call.
    """

    def __init__(
        self,
        seed: int = 0,
        rate_limit: float | None = None,
        latency: float = 0.0,
        *,
        global_rate_limit: float | None = None,
        log_size: int = _LOG_SIZE,
    ) -> None:
        self.state = AccountState(seed)
        self.outbox = WebhookOutbox(self.state.clock, self.state.events)
        self.state.listener = self.outbox.offer
        customers = CustomerActs(self.state)
        self.add_customer = customers.add_customer
        self.add_payment_method = customers.add_payment_method
        self.renew_card = customers.renew_card
        self.complete_action = customers.complete_action
        self.complete_checkout = customers.complete_checkout
        self.bank = BankActs(self.state)
        self.strangers = StrangerActs(self.state)
        self.limiter = RouteLimiter(self.state.clock, rate_limit, global_rate_limit)
        self.pipeline = RequestPipeline(self.state, self.limiter, latency, log_size)
        self.events: Sequence[Obj] = EventHistory(self.state.events)
        self.app = Starlette(
            routes=[
                Route("/", controls.front_page),
                Mount("/_sandbox", routes=controls.routes(self)),
                Mount("/", app=self.pipeline),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def running(self, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
        """Serves inside the running loop and yields the base URL; every request ends with it."""
        self.pipeline.closing.clear()
        async with asgi_server.serve(self.app, port, host) as url:
            try:
                yield url
            finally:
                self.pipeline.closing.set()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await self.outbox.start()
        ticker = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker
            await self.outbox.stop()

    async def _tick(self) -> None:
        """Runs due timers also while no request comes in."""
        while True:
            self.clock.run_due()
            await asyncio.sleep(_TICK_SECONDS)

    # The state of the account

    @property
    def clock(self) -> SandboxClock:
        return self.state.clock

    @property
    def ledger(self) -> TruthLedger:
        return self.state.ledger

    @property
    def requests(self) -> deque[LoggedRequest]:
        return self.pipeline.log

    @property
    def deliveries(self) -> deque[DeliveryAttempt]:
        return self.outbox.record

    def undelivered(self) -> list[tuple[str, str]]:
        """(event id, endpoint id) of every event that its endpoint has not answered with 2xx."""
        return self.outbox.undelivered()

    def status(self) -> dict[str, Any]:
        counts = {name: len(table) for name, table in self.state.tables.items()}
        return {
            "now": self.clock.now(),
            "counts": counts
            | {"events": len(self.events), "charges_taken": len(self.ledger.charges())},
            "requests": sum(self.pipeline.answered.values()),
            "requests_received": self.pipeline.received,
            "answers": {str(status): count for status, count in self.pipeline.answered.items()},
            "rate_limited": self.limiter.refused,
            "deliveries": len(self.deliveries),
            "undelivered": len(self.undelivered()),
            "double_charges": len(self.ledger.double_charges()),
        }

    # Refunds and disputes

    def open_dispute(
        self,
        payment_intent_or_charge: str,
        amount: int | None = None,
        status: str = "needs_response",
        reason: str = "general",
        currency: str | None = None,
    ) -> Obj:
        """Opens a dispute with any first status, even lost, and of any amount.

        Without a currency it is the charge's; a bank may dispute in its own.
        """
        charge = self._charge(payment_intent_or_charge)
        fields = {
            "status": status,
            "reason": reason,
            "amount": charge["amount"] if amount is None else amount,
            "currency": currency or charge["currency"],
        }
        return disputes_api.open_for_charge(self.state, charge, fields)

    def close_dispute(self, dispute_id: str, status: str = "lost") -> Obj:
        """Closes it as won, lost or warning_closed; a lost one may still be won later."""
        return disputes_api.close_as(self.state, self.state.find("disputes", dispute_id), status)

    def refund(
        self, payment_intent_or_charge: str, amount: int | None = None, outcome: str = "succeeded"
    ) -> Obj:
        """A refund in the Dashboard; `outcome` is one of refunds_api.OUTCOMES."""
        if outcome not in refunds_api.OUTCOMES:
            raise ValueError(f"unknown refund outcome: {outcome}")
        charge = self._charge(payment_intent_or_charge)
        wanted = {"charge": charge["id"]} | ({} if amount is None else {"amount": amount})
        return refunds_api.create(self.state, wanted, outcome)

    def _charge(self, wanted: str) -> Obj:
        if wanted.startswith("pi_"):
            wanted = self.state.find("payment_intents", wanted)["latest_charge"] or ""
        return self.state.find("charges", wanted)

    def forget_events(self) -> None:
        """Empties GET /v1/events, as if every event were older than Stripe keeps them."""
        self.state.events.clear()

    def forget_everything(self) -> None:
        """Empties every list, so that no id is known; the true ledger stays."""
        self.forget_events()
        for table in self.state.tables.values():
            table.clear()

    async def settle(self) -> None:
        """Lets bank debits, refunds and expiries that are due by the clock happen."""
        self.clock.run_due()
        await asyncio.sleep(0)

    # Faults and latency

    def fault(self, match: str, kind: FaultKind, **more: Any) -> Fault:
        """Adds a Fault: when, times, nth, probability, seed, seconds, status, should_retry, body,
        fields, of.
        """
        return self.pipeline.faults.add(Fault(match, kind, **more))

    def clear_faults(self) -> None:
        self.pipeline.faults.clear()

    def overwrite(self, object_id: str, **fields: Any) -> Obj:
        """Puts any values into a stored object, such as a currency that does not exist."""
        return self.state.overwrite(object_id, fields)

    def set_latency(self, seconds: float, call: str | None = None) -> None:
        """Delays every route, or one such as GET /v1/events."""
        if call is None:
            self.pipeline.latency = seconds
        elif call in stripe_routes.ROUTE_NAMES:
            self.pipeline.latencies[call] = seconds
        else:
            raise ValueError(f"no such call: {call}")

    # Events and webhooks

    def add_endpoint(
        self,
        url: str,
        secrets: Sequence[str],
        mode: DeliveryMode = "auto",
        rendering: Rendering = "new",
        types: Sequence[str] | None = None,
        **origin: Any,
    ) -> SubscribedEndpoint:
        """Sends later events there: at once with retries (auto), or on `deliver` (held).

        With `account`, `context` or `livemode` every event says that it is from there.
        """
        wanted = None if types is None else frozenset(types)
        seen = EventOrigin(**origin) if origin else None
        return self.outbox.add(
            SubscribedEndpoint(
                self.state.ids.new("we"), url, list(secrets), mode, rendering, wanted, seen
            )
        )

    async def ping(self, endpoint_id: str) -> int | None:
        """Tries an event destination, as the Dashboard's button does; the status of its answer."""
        endpoint = self.outbox.endpoint(endpoint_id)
        new_id, now = self.state.ids.new("evt_test"), self.clock.stamp()
        origin = endpoint.origin or EventOrigin()
        return await self.outbox.post(render_ping(new_id, now, endpoint_id, origin), endpoint)

    async def deliver(
        self,
        seed: int = 0,
        copies: int = 1,
        drop: float = 0.0,
        concurrency: int = 8,
        *,
        everything: bool = False,
        until_delivered: bool = False,
    ) -> DeliveryReport:
        """Delivers held events, or all there are: shuffled, `copies` of each, some dropped."""
        return await self.outbox.deliver(
            seed=seed,
            copies=copies,
            drop=drop,
            concurrency=concurrency,
            everything=everything,
            until_delivered=until_delivered,
        )

    async def drained(self) -> None:
        """Waits until every event of every auto endpoint has got its 2xx."""
        await self.outbox.wait_until_drained()

    async def resend(self, event_id: str) -> list[int | None]:
        """Sends one event once more, even after a 2xx; the statuses, one for each endpoint."""
        return await self.outbox.resend(self._event(event_id))

    def duplicate_event(self, event_id: str, **origin: Any) -> Obj:
        """Publishes a second Event object, with an id of its own, for the same change.

        With `account`, `context` or `livemode` it says that it is from there.
        """
        first = self._event(event_id)
        seen = EventOrigin(**origin) if origin else first.origin
        twin = replace(first, id=self.state.ids.new("evt"), pending=0, origin=seen)
        return render_event(self.state.publish(twin))

    def emit(self, type_: str, subject: Obj, **origin: Any) -> Obj:
        """Publishes an event of any type about any object, from any account and mode."""
        self.state.cause = EventCause()
        return render_event(self.state.emit(type_, subject, origin=EventOrigin(**origin)))

    def _event(self, event_id: str) -> AccountEvent:
        event = self.state.events.get(event_id)
        if event is None:
            raise ValueError(f"no such event: {event_id}")
        return event
