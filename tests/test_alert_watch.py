"""Each alert condition is told in time and once when it begins, and once when it is over."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from aiohttp import web
from sqlalchemy import delete, insert, update

from app.payments.reconciliation.cursor import move_cursor
from app.payments.webhook.event_types import HANDLERS
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.tables.alert_episodes import AlertEpisode
from app.storage.tables.autopay_policies import AutopayRun
from app.storage.tables.cluster import Job
from tests.harness import ATTEMPTS, EVENTS, Paydue, event, intent
from tests.mail_server import MailServer, mail_server
from tests.mail_worker import mail_settings
from tests.test_mail import LONG_AGO, OUTBOX, parts_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

EPISODES, JOBS, RUNS = table_of(AlertEpisode), table_of(Job), table_of(AutopayRun)
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PUBLIC = "https://pay.example.com"


@dataclass
class Receiver:
    """A server that gets alerts; it checks each signature by the words of the specification."""

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        head = request.headers
        signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.{body.decode()}".encode()
        digest = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert head["webhook-signature"] == f"v1,{digest}"
        self.ids.append(head["webhook-id"])
        self.queries.append(request.query_string)
        if self.answers:
            return self.answers.pop(0)
        self.got.append(orjson.loads(body))
        return web.Response(status=204)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/alerts", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/alerts"
    try:
        yield found
    finally:
        await runner.cleanup()


@dataclass
class Watch:
    """A Paydue whose watch has a clock of its own, and tells a mail server and a receiver."""

    paydue: Paydue
    mails: MailServer
    receiver: Receiver
    settings: Settings
    now: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(days=9))

    async def look(self) -> None:
        node = replace(self.paydue.node, clock=lambda: self.now, settings=self.settings)
        said = await node.alert_watch().run()
        if said != "0 began, 0 over":
            await self.send()

    async def send(self) -> None:
        node = replace(self.paydue.node, settings=self.settings)
        await node.mail_delivery().run()
        await node.alert_webhooks().run()

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one["data"]["condition"], one["data"]["change"]) for one in self.receiver.got]

    def told_at(self, condition: str, change: str) -> datetime:
        (at,) = [
            one["data"]["at"]
            for one in self.receiver.got
            if (one["data"]["condition"], one["data"]["change"]) == (condition, change)
        ]
        return datetime.fromisoformat(at)

    async def reconciled(self) -> None:
        async with self.paydue.database.transaction() as tx:
            await move_cursor(tx, until=self.now, completed_at=self.now)

    async def write(self, *statements: Any) -> None:
        async with self.paydue.database.transaction() as tx:
            for one in statements:
                await tx.execute(one)

    def set_endpoint(self, **fields: Any) -> None:
        self.paydue.sandbox.state.webhook_endpoints[:] = [
            {
                "id": "we_1", "object": "webhook_endpoint", "status": "enabled",
                "url": f"{PUBLIC}/stripe/webhook", "enabled_events": ["*"], **fields,
            }
        ]  # fmt: skip


@pytest.fixture
async def watch(paydue: Paydue) -> AsyncIterator[Watch]:
    async with mail_server() as mails, receiving() as receiver:
        more = {
            **mail_settings(mails.port),
            "PAYDUE_ALERT_WEBHOOK_URL": receiver.url,
            "PAYDUE_ALERT_WEBHOOK_SECRET": SECRET,
            "PAYDUE_PUBLIC_URL": PUBLIC,
        }
        own = paydue.node.settings
        settings = Settings.model_validate({**own.model_dump(by_alias=True), **more})
        found = Watch(paydue, mails, receiver, settings)
        found.set_endpoint()
        await found.reconciled()
        yield found


# --- a week --------------------------------------------------------------------------------------


def _minutes(*turns: timedelta) -> Iterator[timedelta]:
    """A week in half hours, and in minutes for half an hour around each turn."""
    whole = {timedelta(minutes=30 * one) for one in range(7 * 48)}
    near = {turn + timedelta(minutes=one) for turn in turns for one in range(-5, 25)}
    yield from sorted(whole | near)


async def test_in_a_week_of_faults_each_is_told_in_time_once_and_again_when_it_is_over(
    watch: Watch,
) -> None:
    began = watch.now
    silent = timedelta(days=1), timedelta(days=4)
    stuck = timedelta(days=3, hours=12), timedelta(days=3, hours=13)
    disabled = timedelta(days=5, hours=15), timedelta(days=5, hours=18)
    await _an_attempt(watch, 1)

    for at in _minutes(silent[0] + timedelta(days=1), silent[1], *stuck, *disabled):
        watch.now = began + at
        await _a_charge(watch)
        if not silent[0] <= at < silent[1]:
            await _a_webhook(watch)
        if not stuck[0] < at < stuck[1]:
            await watch.reconciled()
        watch.set_endpoint(status="disabled" if disabled[0] <= at < disabled[1] else "enabled")
        await watch.look()

    late = timedelta(minutes=5)
    day, two_periods = timedelta(days=1), timedelta(minutes=10)
    expected = {
        ("webhooks_silent", "begun"): (silent[0] + day - timedelta(minutes=31), late + day / 48),
        ("webhooks_silent", "over"): (silent[1], late),
        ("reconciliation_old", "begun"): (stuck[0] + two_periods, late),
        ("reconciliation_old", "over"): (stuck[1], late),
        ("endpoint_disabled", "begun"): (disabled[0], late),
        ("endpoint_disabled", "over"): (disabled[1], late),
    }
    assert sorted(watch.told) == sorted(expected)
    for (condition, change), (from_, within) in expected.items():
        told_after = watch.told_at(condition, change) - began
        assert from_ <= told_after <= from_ + within, (condition, change, told_after)
    subjects = sorted(str(mail["Subject"]) for mail in watch.mails.mails)
    assert len(subjects) == 6
    assert sum(one.startswith("Paydue: Over: ") for one in subjects) == 3
    assert len(set(watch.receiver.ids)) == 6


async def _a_webhook(watch: Watch) -> None:
    row = {
        "event_id": f"evt_{watch.now.timestamp()}", "type": "x", "created_at": watch.now,
        "source": "webhook", "received_at": watch.now, "payload": b"{}", "state": "applied",
    }  # fmt: skip
    await watch.write(insert(EVENTS).values(row))


async def _an_attempt(watch: Watch, number: int, **more: Any) -> None:
    invoice = await watch.paydue.an_invoice("10.00", amountdue=Decimal(0), paymentstatus=2)
    values = {
        "invoice_id": invoice, "number": number, "state": "succeeded", "step": "ended",
        "business_day": watch.now.date(), "amount_minor": 1000, "currency": "usd",
        "customer_id": "cus_1", "created_at": watch.now, "finished_at": watch.now, **more,
    }  # fmt: skip
    await watch.write(insert(ATTEMPTS).values(values))


async def _a_charge(watch: Watch) -> None:
    """The newest charge ended a moment ago."""
    moved = {"business_day": watch.now.date(), "finished_at": watch.now}
    await watch.write(update(ATTEMPTS).values(moved))


# --- each condition ------------------------------------------------------------------------------

Act = Callable[[Watch], Awaitable[None]]


async def unapplied(watch: Watch) -> None:
    await watch.paydue.deliver(event("payment_intent.succeeded", intent(None, id="pi_loose")))


async def applied(watch: Watch) -> None:
    from tests.harness import PAYMENTS

    await watch.write(delete(PAYMENTS))


async def disputed(watch: Watch) -> None:
    invoice = await watch.paydue.an_invoice()
    await watch.paydue.autopay()
    payment = (await watch.paydue.payments(invoice))[0]
    watch.paydue.sandbox.open_dispute(payment.intent_id, amount=5000, reason="fraudulent")
    await watch.paydue.deliver(*watch.paydue.sandbox.events)
    # Of the run that charged it, nobody is told here.
    await watch.write(update(RUNS).values(finished_at=LONG_AGO))


async def decided(watch: Watch) -> None:
    from app.storage.tables.stripe_reversals import StripeReversal

    await watch.write(update(table_of(StripeReversal)).values(status="won"))


async def unknown(watch: Watch) -> None:
    more = {"state": "unknown", "created_at": watch.now - timedelta(minutes=61)}
    await _an_attempt(watch, 1, **more, finished_at=None)


async def resolved(watch: Watch) -> None:
    await watch.write(update(ATTEMPTS).values(state="succeeded"))


async def held(watch: Watch) -> None:
    row = {
        "business_day": watch.now.date(), "is_dry": False, "started_by": "worker",
        "started_at": watch.now, "finished_at": LONG_AGO, "state": "held",
    }  # fmt: skip
    await watch.write(insert(RUNS).values(row))


async def released(watch: Watch) -> None:
    await watch.write(update(RUNS).values(state="finished"))


async def refused(watch: Watch) -> None:
    row = {"name": "reconcile", "next_run_at": watch.now, "result": "Stripe refuses the key: no"}
    await watch.write(delete(JOBS), insert(JOBS).values(row))


async def accepted(watch: Watch) -> None:
    await watch.write(update(JOBS).values(result="0 events"))


async def lacking(watch: Watch) -> None:
    watch.set_endpoint(enabled_events=sorted(HANDLERS)[1:])


async def complete(watch: Watch) -> None:
    watch.set_endpoint(enabled_events=sorted(HANDLERS))


async def gone(watch: Watch) -> None:
    watch.paydue.sandbox.state.webhook_endpoints.clear()


@pytest.mark.parametrize(
    ("condition", "fault", "cure"),
    [
        ("money_unapplied", unapplied, applied),
        ("dispute_open", disputed, decided),
        ("attempt_unknown", unknown, resolved),
        ("run_stopped", held, released),
        ("key_refused", refused, accepted),
        ("endpoint_lacks_events", lacking, complete),
        ("endpoint_disabled", gone, complete),
    ],
)
async def test_a_condition_is_told_once_by_both_ways_and_its_end_once(
    watch: Watch, condition: str, fault: Act, cure: Act
) -> None:
    await watch.look()
    await fault(watch)
    for _ in range(3):
        watch.now += timedelta(minutes=1)
        await watch.look()
    await cure(watch)
    for _ in range(2):
        watch.now += timedelta(minutes=1)
        await watch.look()

    assert watch.told == [(condition, "begun"), (condition, "over")]
    first, second = watch.mails.mails
    assert first["To"] == second["To"] == "finance@seller.example"
    assert str(second["Subject"]) == str(first["Subject"]).replace("Paydue: ", "Paydue: Over: ")
    assert watch.receiver.got[0]["data"]["detail"] in parts_of(first)[0].replace("\n", " ")


async def test_a_finished_run_is_told_once(watch: Watch) -> None:
    await watch.paydue.an_invoice()
    await watch.paydue.autopay()
    watch.now = datetime.now(UTC)
    await watch.reconciled()

    for _ in range(3):
        await watch.look()
        await watch.send()

    assert watch.told == [("run_finished", "done")]
    assert "1 charged" in watch.receiver.got[0]["text"]


async def test_workers_that_look_at_once_tell_it_once(watch: Watch) -> None:
    await unapplied(watch)

    await asyncio.gather(*(watch.look() for _ in range(4)))
    await watch.send()

    assert watch.told == [("money_unapplied", "begun")]
    assert len(await watch.paydue.rows(EPISODES, EPISODES.c.id > 0)) == 1


async def test_an_endpoint_that_stripe_does_not_tell_of_changes_nothing(watch: Watch) -> None:
    await gone(watch)
    await watch.look()
    watch.set_endpoint()
    fault = "GET /v1/webhook_endpoints"
    watch.paydue.sandbox.fault(fault, times=1, kind="status", status=500)

    await watch.look()
    assert watch.told == [("endpoint_disabled", "begun")]
    await watch.look()

    assert watch.told == [("endpoint_disabled", "begun"), ("endpoint_disabled", "over")]


# --- the webhook ---------------------------------------------------------------------------------


async def test_a_webhook_that_is_not_taken_comes_again_under_its_id(watch: Watch) -> None:
    elsewhere = {"Location": f"{watch.receiver.url}?elsewhere"}
    watch.receiver.answers = [
        web.Response(status=500),
        web.Response(status=307, headers=elsewhere),
        web.Response(status=429),
    ]
    await unapplied(watch)
    await watch.look()
    for _ in range(4):
        await watch.write(update(OUTBOX).values(next_try_at=LONG_AGO))
        await watch.send()

    assert watch.told == [("money_unapplied", "begun")]
    assert len(watch.receiver.ids) == 4
    assert not any(watch.receiver.queries), "a redirect was followed"
    assert len(set(watch.receiver.ids)) == 1


async def test_a_receiver_that_wants_no_more_gets_none(watch: Watch) -> None:
    watch.receiver.answers = [web.Response(status=410)]
    await unapplied(watch)
    await watch.look()
    await watch.write(update(OUTBOX).values(next_try_at=LONG_AGO))
    await watch.send()

    (row,) = await watch.paydue.rows(OUTBOX, OUTBOX.c.channel == "webhook")
    assert (row.state, row.error) == ("failed", "HTTP 410")
    assert len(watch.receiver.ids) == 1


@pytest.mark.parametrize(
    ("url", "secret", "why"),
    [
        ("http://example.com/x", SECRET, "https://"),
        ("https://a:b@example.com/x", SECRET, "password"),
        ("file:///etc/passwd", SECRET, "https://"),
        ("https://example.com/x", "", "PAYDUE_ALERT_WEBHOOK_SECRET"),
        ("https://example.com/x", "whsec_short", "24 to 64"),
        ("https://example.com/x", base64.b64encode(KEY).decode(), "24 to 64"),
    ],
)
def test_an_address_or_a_secret_that_would_give_alerts_away_is_refused(
    url: str, secret: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        Settings(_env_file=None, PAYDUE_ALERT_WEBHOOK_URL=url, PAYDUE_ALERT_WEBHOOK_SECRET=secret)
