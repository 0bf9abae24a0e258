"""Each alert of `ops/prometheus-rules.yml` fires for its fault, and none while Paydue is well.

A fault is brought about, /metrics is scraped before and after, and promtool says what fires when
it stays so for some hours.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import delete, insert, update

from app.main import create_health_app, utc_now
from app.node import open_node, unlimited_gateway
from app.payments.reconciliation.cursor import RESTORED, mark_restored, move_cursor
from app.payments.stripe.gateway import NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited
from app.payments.webhook import inbox
from app.sandbox.server import Sandbox
from app.serving import serve_in_loop
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.autopay_policies import AutopayPause, AutopayRun
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.cluster import InstallationValue, Job
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_events import StripeEvent
from app.storage.tables.stripe_reversals import StripeReversal
from tests import prometheus
from tests.conftest import absent
from tests.harness import NO_STRIPE, SECRET, event, intent, settings_for, signed, today
from tests.service import Service

pytestmark = pytest.mark.anyio

ATTEMPTS, EVENTS, FACTS = (
    table_of(ChargeAttempt),
    table_of(StripeEvent),
    table_of(InstallationValue),
)
INVOICES, JOBS = table_of(Invoice), table_of(Job)
PAUSES, RUNS = table_of(AutopayPause), table_of(AutopayRun)
PAYMENTS, REVERSALS = table_of(InvoicePayment), table_of(StripeReversal)
OTHER_SECRET = "whsec_" + "another0123456789abcd"
ALL_JOBS = (
    "alert_webhooks", "alerts", "attempts", "audit", "autopay", "events", "links", "mail",
    "notices", "purge", "reconcile", "recurring", "refunds",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A Paydue that is well, and a Stripe that it may be made to ask."""

    service: Service
    stripe: Sandbox
    stripe_url: str
    database_url: str

    async def scrape(self) -> str:
        self.service.clock.advance(seconds=11)  # longer than an answer is good for
        answer = await self.service.api.send("GET", "/metrics", headers={})
        return answer.text

    async def write(self, *statements: Any) -> None:
        async with self.service.database.transaction() as tx:
            for one in statements:
                await tx.execute(one)

    def ago(self, **span: float) -> Any:
        return self.service.clock.now - timedelta(**span)

    async def deliver(self, count: int, secret: str = SECRET, **more: Any) -> None:
        for _ in range(count):
            body = orjson.dumps(event("customer.created", {"id": "cus_1"}, **more))
            await self.service.api.send(
                "POST", "/stripe/webhook", data=body,
                headers={"Stripe-Signature": signed(body, secret)},
            )  # fmt: skip

    async def ask_stripe(self, count: int, fault: Mapping[str, Any] | None = None) -> None:
        settings = settings_for(self.database_url, self.stripe_url)
        if fault:
            self.stripe.fault("GET /v1/account", times=count, **fault)
        async with unlimited_gateway(settings) as gateway:
            for _ in range(count):
                try:
                    await gateway.account()
                except (NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited):
                    assert fault
        self.stripe.clear_faults()


async def make_well(place: Place) -> None:
    now = place.service.clock.now
    job = {
        "next_run_at": now + timedelta(hours=20), "finished_at": now, "succeeded_at": now,
        "result": "1 charged",
    }  # fmt: skip
    await place.write(
        delete(JOBS),
        insert(JOBS).values([{"name": name, **job} for name in ALL_JOBS]),
        delete(EVENTS), delete(REVERSALS), delete(ATTEMPTS),
        delete(FACTS).where(FACTS.c.name == RESTORED),
        delete(PAYMENTS), delete(INVOICES), delete(RUNS), delete(PAUSES),
    )  # fmt: skip
    async with place.service.database.transaction() as tx:
        await move_cursor(tx, until=now, completed_at=now)


# --- the faults ------------------------------------------------------------------------------


async def nothing_wrong(place: Place) -> None:
    """A busy day: each thing that happens, in the measure in which it is nobody's business."""
    await place.deliver(30)
    await place.deliver(1, OTHER_SECRET)  # a stranger tries
    await place.deliver(2, created=int(time.time()) - 7200)  # Stripe delivers a few late
    await reconciled(place)
    await place.ask_stripe(30)
    await place.ask_stripe(2, {"kind": "status", "status": 500})
    await place.ask_stripe(2, {"kind": "rate_limit"})
    await an_event(place, "parked", place.ago(hours=1))
    await an_attempt(place, "processing", place.ago(days=5))  # a bank debit takes days
    await an_attempt(place, "open", place.ago(minutes=2))
    await a_dispute(place, place.service.clock.now + timedelta(days=9))
    await place.write(
        update(JOBS).where(JOBS.c.name == "autopay").values(succeeded_at=place.ago(hours=24)),
        update(JOBS).where(JOBS.c.name == "events").values(next_run_at=place.ago(seconds=20)),
    )


async def an_event(place: Place, state: str, received_at: Any) -> None:
    row = {
        "event_id": f"evt_{state}", "type": "x", "created_at": received_at, "source": "webhook",
        "received_at": received_at, "payload": b"{}", "state": state,
    }  # fmt: skip
    await place.write(insert(EVENTS).values(row))


async def an_attempt(place: Place, state: str, created_at: Any) -> None:
    number = 1 if state == "processing" else 2
    await place.write(
        insert(INVOICES).values(
            id=number, duedate=today(), total=Decimal(10), amountdue=Decimal(10)
        ),
        insert(ATTEMPTS).values(
            invoice_id=number, number=1, state=state, step="prepare", business_day=today(),
            amount_minor=1000, currency="usd", customer_id="cus_1", created_at=created_at,
        ),
    )  # fmt: skip


async def a_dispute(place: Place, due_at: Any) -> None:
    row = {
        "id": "dp_1", "kind": "dispute", "intent_id": "pi_1", "amount": Decimal(1),
        "status": "needs_response", "evidence_due_at": due_at,
    }  # fmt: skip
    await place.write(insert(REVERSALS).values(row))


async def reconciled(place: Place) -> None:
    """An event that no webhook brought."""
    found = event("customer.created", {"id": "cus_1"})
    arrival = inbox.interpret(found, orjson.dumps(found), "reconcile", installation="tests")
    await inbox.store_and_apply(place.service.database, [arrival])


async def without_secret(place: Place) -> None:
    settings = settings_for(place.database_url, NO_STRIPE)
    settings = settings.model_copy(update={"stripe_webhook_secret": SecretStr("")})
    async with (
        open_node(settings) as node,
        serve_in_loop(node.web_application()) as url,
        aiohttp.ClientSession() as http,
    ):
        for _ in range(5):
            async with http.post(f"{url}/stripe/webhook", data=b"{}") as answer:
                assert answer.status == 503


async def restored(place: Place) -> None:
    async with place.service.database.transaction() as tx:
        await mark_restored(tx, place.ago(hours=2))


async def unapplied(place: Place) -> None:
    await place.service.deliver(event("payment_intent.succeeded", intent(None, customer="cus_9")))


async def several_late(place: Place) -> None:
    await place.deliver(5, created=int(time.time()) - 7200)


def a_job(name: str, **values: Any) -> Callable[[Place], Awaitable[None]]:
    """The job's row, with moments told as timedeltas before now."""

    async def change(place: Place) -> None:
        now = place.service.clock.now
        row = {key: now - one if isinstance(one, timedelta) else one for key, one in values.items()}
        await place.write(update(JOBS).where(JOBS.c.name == name).values(row))

    return change


async def an_unusual_run(place: Place) -> None:
    run = {"business_day": today(), "started_by": "worker", "started_at": place.ago(hours=1)}
    await place.write(insert(RUNS).values(**run, is_dry=False, state="held"))
    await place.write(insert(RUNS).values(**run, is_dry=True, state="finished"))


async def a_pause_of_everything(place: Place) -> None:
    pause = {"reason": "restored", "paused_by": "restore", "paused_at": place.ago(hours=1)}
    await place.write(insert(PAUSES).values(pause))


async def not_reconciled(place: Place) -> None:
    then = place.ago(hours=4)
    async with place.service.database.transaction() as tx:
        await move_cursor(tx, until=then, completed_at=then)


Fault = Callable[[Place], Awaitable[None]]
# By alert, the fault that brings it about alone, and the hours that it stays.
FAULTS: Mapping[str, tuple[Fault, int]] = {
    "PaydueDeliveriesFail": (without_secret, 2),
    "PaydueSignaturesDoNotFit": (lambda place: place.deliver(5, OTHER_SECRET), 2),
    "PaydueEventsLate": (several_late, 2),
    "PaydueEventsNotDelivered": (reconciled, 2),
    "PaydueEventsDead": (lambda place: an_event(place, "dead", place.ago(days=5)), 2),
    "PaydueEventsParked": (lambda place: an_event(place, "parked", place.ago(hours=7)), 2),
    "PaydueAttemptUnresolved": (lambda place: an_attempt(place, "open", place.ago(hours=2)), 2),
    "PaydueAutopayMissing": (a_job("autopay", succeeded_at=timedelta(hours=27)), 2),
    "PaydueAutopayHeld": (an_unusual_run, 2),
    "PaydueAutopayPaused": (a_pause_of_everything, 8),
    "PaydueJobFails": (a_job("reconcile", result="not finished: Stripe is away"), 2),
    "PaydueNoWorker": (a_job("events", next_run_at=timedelta(minutes=20)), 2),
    "PaydueReconciliationOld": (not_reconciled, 2),
    "PaydueRestoreUnfinished": (restored, 2),
    "PaydueStripeRefusesTheKey": (lambda place: place.ask_stripe(1, {"kind": "unauthorized"}), 2),
    "PaydueStripeSilent": (lambda place: place.ask_stripe(5, {"kind": "status", "status": 500}), 2),
    "PaydueStripeLimits": (lambda place: place.ask_stripe(20, {"kind": "rate_limit"}), 2),
    "PaydueEvidenceDue": (
        lambda place: a_dispute(place, place.service.clock.now + timedelta(days=1)), 2,
    ),
    "PaydueInvoicesHeld": (lambda place: an_attempt(place, "refused", place.ago(hours=1)), 2),
    "PaydueMoneyUnapplied": (unapplied, 26),
}  # fmt: skip
# Brought about without a scrape of the service that is well.
SCRAPED_ELSEWHERE = {"PaydueDown", "PaydueDatabaseAway"}


@pytest.fixture
async def place(service: Service, sandbox: Sandbox, stripe_url: str, module_url: str) -> Place:
    if prometheus.program("promtool") is None:
        absent(prometheus.MISSING)
    found = Place(service, sandbox, stripe_url, module_url)
    await make_well(found)
    return found


async def fires(
    place: Place, fault: Fault, expected: set[str], hours: int, folder: Path, *, up: bool = True
) -> str:
    before = await place.scrape()
    await fault(place)
    after = await place.scrape()
    at = place.service.clock.now.timestamp()
    return prometheus.unexpected(
        before, after, at=at, expected=expected, hours=hours, up=up, folder=folder
    )


@pytest.mark.parametrize("hours", [2, 26])
async def test_nothing_fires_on_a_busy_day_of_a_paydue_that_is_well(
    place: Place, tmp_path: Path, hours: int
) -> None:
    assert await fires(place, nothing_wrong, set(), hours, tmp_path) == ""


@pytest.mark.parametrize("alert", FAULTS)
async def test_an_alert_fires_for_its_fault_alone(place: Place, tmp_path: Path, alert: str) -> None:
    fault, hours = FAULTS[alert]

    assert await fires(place, fault, {alert}, hours, tmp_path) == ""


async def test_a_process_that_is_gone_fires(place: Place, tmp_path: Path) -> None:
    async def nothing(_: Place) -> None:
        return

    assert await fires(place, nothing, {"PaydueDown"}, 2, tmp_path, up=False) == ""


async def test_a_database_that_is_away_fires_and_hides_no_count(tmp_path: Path) -> None:
    if prometheus.program("promtool") is None:
        absent(prometheus.MISSING)
    settings = settings_for("postgresql://paydue@127.0.0.1:9/none", NO_STRIPE)
    database = Database(settings.database_url)
    app = create_health_app(settings, database, asyncio.Event())
    async with (
        serve_in_loop(app) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/metrics") as answer,
    ):
        shown = await answer.text()
    await database.close()

    found = prometheus.unexpected(
        shown, shown, at=utc_now().timestamp(), expected={"PaydueDatabaseAway"}, hours=2,
        up=True, folder=tmp_path,
    )  # fmt: skip
    assert found == ""
    assert "paydue_stripe_calls_total" in shown
    assert "paydue_events_waiting" not in shown


def test_every_alert_has_a_fault_that_brings_it_about() -> None:
    named = re.findall(r"alert: (\w+)", prometheus.RULES.read_text())

    assert sorted(named) == sorted({*FAULTS, *SCRAPED_ELSEWHERE})
