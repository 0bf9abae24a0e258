"""Every webhook that Stripe signed is kept once, and says the same in whatever order it comes."""

import asyncio
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sqlalchemy import insert, select, update
from structlog.testing import capture_logs

from app.errors import BadSignature
from app.node import open_database
from app.payments import event_queries
from app.payments.webhook import endpoint
from app.payments.webhook.event_types import HANDLERS
from app.rules.attempt import create_key
from app.rules.payment import PaymentState, PaymentStatus
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.tables.cluster import Job
from app.storage.tables.invoices import InvoiceChange
from tests.harness import CLIENTS, SECRET, Paydue, event, intent, settings_for, signed
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio

FIXTURES = Path(__file__).parent.parent / "fixtures" / "stripe"
CHANGES = table_of(InvoiceChange)
JOBS = table_of(Job)
PATH = "/stripe/webhook"
FOREIGN_TOTAL = "paydue_foreign_events_total"
_numbers = itertools.count(1)


# --- what tests say --------------------------------------------------------------------------


async def post(paydue: Paydue, body: bytes, header: str | None = None, path: str = PATH) -> int:
    """One delivery, signed by Stripe unless a header is given."""
    headers = {"Stripe-Signature": signed(body) if header is None else header}
    async with paydue.http.post(path, data=body, headers=headers) as answer:
        await answer.read()
        return answer.status


async def post_text(paydue: Paydue, text: str) -> int:
    return await post(paydue, text.encode())


async def at_once(paydue: Paydue, *events: Mapping[str, Any]) -> set[int]:
    """The statuses of events that arrive together and so share a batch."""
    return set(await asyncio.gather(*(post(paydue, orjson.dumps(one)) for one in events)))


def refund(of: Mapping[str, Any], amount: int, status: str = "succeeded", **more: Any) -> Any:
    return {
        "id": f"re_{next(_numbers)}", "object": "refund", "amount": amount, "currency": "usd",
        "status": status, "payment_intent": of["id"], "charge": of["latest_charge"], **more,
    }  # fmt: skip


def dispute(of: Mapping[str, Any], status: str, amount: int = 12000, **more: Any) -> Any:
    return {
        "id": f"du_{next(_numbers)}", "object": "dispute", "amount": amount, "currency": "usd",
        "status": status, "payment_intent": of["id"], "charge": of["latest_charge"], **more,
    }  # fmt: skip


def session(of: Mapping[str, Any] | None, **more: Any) -> Any:
    return {
        "id": f"cs_{next(_numbers)}", "object": "checkout.session", "amount_total": 12000,
        "currency": "usd", "customer": None, "metadata": {}, "client_reference_id": None,
        "payment_status": "paid", "payment_intent": of and of["id"], **more,
    }  # fmt: skip


def charge(of: Mapping[str, Any], refunded: int, *refunds: Any) -> Any:
    """A charge that was refunded; with refunds, as API versions before 2022-11-15 show it."""
    listed = {"refunds": {"object": "list", "data": list(refunds)}} if refunds else {}
    return {
        "id": of["latest_charge"], "object": "charge", "amount": of["amount"], "currency": "usd",
        "amount_refunded": refunded, "payment_intent": of["id"], **listed,
    }  # fmt: skip


def other(settings: Settings, **changes: str) -> Settings:
    """Settings of Stripe that are not the tests' usual ones."""
    secret = {"api_key", "webhook_secret"}
    values = {
        f"stripe_{name}": SecretStr(value) if name in secret else value
        for name, value in changes.items()
    }
    return settings.model_copy(update=values)


async def foreign_counts(paydue: Paydue, total: int) -> dict[str, int]:
    """The foreign events by reason, once so many have been written."""
    async with asyncio.timeout(wait_limit(20)):
        while True:
            async with paydue.database.snapshot() as tx:
                rows = await event_queries.list_foreign_counts(tx)
            found = {row.reason: row.events for row in rows}
            if sum(found.values()) >= total:
                return found
            await asyncio.sleep(0.02)


async def paid(paydue: Paydue, invoice: int) -> tuple[Decimal, int]:
    """What an invoice says is paid, and its status."""
    row = await paydue.invoice(invoice)
    return row.amountpaid, row.paymentstatus


async def states(paydue: Paydue) -> list[str]:
    return [row.state for row in await paydue.events()]


# --- one realistic event of every type -------------------------------------------------------

MONEY_BACK = ("charge.", "refund.", "radar.")
LEFT = {
    # What the invoice of 120.00 has got and its payment's status, after the event of that name.
    "payment_intent.created": (0, PaymentStatus.CREATED),
    "payment_intent.processing": (0, PaymentStatus.PROCESSING),
    "payment_intent.requires_action": (0, PaymentStatus.REQUIRES_ACTION),
    "payment_intent.succeeded": (120, PaymentStatus.SUCCEEDED),
    "payment_intent.payment_failed": (0, PaymentStatus.FAILED),
    "payment_intent.canceled": (0, PaymentStatus.CANCELED),
    "charge.refunded": (90, PaymentStatus.PART_REFUNDED),
    "refund.created": (90, PaymentStatus.PART_REFUNDED),
    "refund.updated": (90, PaymentStatus.PART_REFUNDED),
    "refund.failed": (120, PaymentStatus.SUCCEEDED),
    "charge.refund.updated": (120, PaymentStatus.SUCCEEDED),
    "charge.dispute.created": (120, PaymentStatus.DISPUTED),
    "charge.dispute.updated": (120, PaymentStatus.DISPUTED),
    "charge.dispute.closed": (0, PaymentStatus.DISPUTE_LOST),
    "charge.dispute.funds_withdrawn": (120, PaymentStatus.DISPUTED),
    "charge.dispute.funds_reinstated": (120, PaymentStatus.SUCCEEDED),
    "radar.early_fraud_warning.created": (120, PaymentStatus.SUCCEEDED),
    "radar.early_fraud_warning.updated": (120, PaymentStatus.SUCCEEDED),
    "checkout.session.completed": (120, PaymentStatus.SUCCEEDED),
    "checkout.session.async_payment_succeeded": (120, PaymentStatus.SUCCEEDED),
    "checkout.session.async_payment_failed": (0, PaymentStatus.FAILED),
    "checkout.session.expired": (0, None),
}
SAVED = {
    # The client's customer, its own method with its name, and the newest saved one after the event.
    "payment_method.detached": ("cus_FixPaydue0001", None, None, None),
    "payment_method.updated": (
        "cus_FixPaydue0001", "pm_1SfixPaydue0001AbCdEf01", "visa 4242", None,
    ),
    "payment_method.automatically_updated": (
        "cus_FixPaydue0001", "pm_1SfixPaydue0001AbCdEf01", "visa 5556", None,
    ),
    "setup_intent.succeeded": ("cus_FixPaydue0001", None, None, "pm_1SfixPaydue0001AbCdEf01"),
    "customer.deleted": (None, None, None, None),
}  # fmt: skip
# Events after which payouts are read from Stripe at once.
PAID_OUT = frozenset(
    f"payout.{one}"
    for one in ("created", "updated", "paid", "failed", "canceled", "reconciliation_completed")
)


def fixture(name: str) -> bytes:
    return (FIXTURES / f"{name}.json").read_bytes()


def names(kind: str) -> list[str]:
    """The fixtures of one event type: the newer shape, and the older one where it differs."""
    older = f"{kind}.2020-08-27"
    return [kind, older] if (FIXTURES / f"{older}.json").exists() else [kind]


def test_every_handled_type_has_a_realistic_event_and_an_expectation() -> None:
    files = {json.loads(path.read_bytes())["type"]: path for path in FIXTURES.glob("*.json")}

    assert files.keys() == HANDLERS.keys() == LEFT.keys() | SAVED.keys() | PAID_OUT
    older = {kind for kind in HANDLERS if len(names(kind)) == 2}
    assert older == {kind for kind in HANDLERS if kind.startswith("payment_intent.")} | {
        "charge.refunded"
    }


async def whose(paydue: Paydue) -> int:
    """The client whose Stripe customer the fixtures name."""
    return await paydue.a_client(stripe_customer_id="cus_FixPaydue0001")


@pytest.mark.parametrize("name", [name for kind in LEFT for name in names(kind)])
async def test_a_realistic_event_does_to_the_invoice_what_its_type_says(
    paydue: Paydue, name: str
) -> None:
    invoice = await paydue.an_invoice("120.00", id=1001, client=await whose(paydue))
    kind = name.removesuffix(".2020-08-27")
    if kind.startswith(MONEY_BACK):
        await post(paydue, fixture("payment_intent.succeeded"))

    status = await post(paydue, fixture(name))

    assert (status, set(await states(paydue))) == (200, {"applied"})
    amount, payment_status = LEFT[kind]
    assert (await paydue.invoice(invoice)).amountpaid == amount
    found = [one.status for one in await paydue.payments(invoice)]
    assert found == ([] if payment_status is None else [payment_status])


async def test_a_realistic_failure_keeps_its_reason_charge_and_method(paydue: Paydue) -> None:
    await paydue.an_invoice(id=1001, client=await whose(paydue))
    for name in names("payment_intent.payment_failed"):
        await post(paydue, fixture(name))

        (payment,) = await paydue.payments(1001)
        assert payment.reason == "insufficient_funds"
        assert payment.charge_id == "ch_3SfixPaydue0001AbCdEf01"
        assert payment.payment_method_name == "visa 4242"


@pytest.mark.parametrize("kind", SAVED)
async def test_a_realistic_event_does_to_the_client_what_its_type_says(
    paydue: Paydue, kind: str
) -> None:
    saved = None if kind == "setup_intent.succeeded" else "pm_1SfixPaydue0001AbCdEf01"
    client = await paydue.a_client(
        stripe_customer_id="cus_FixPaydue0001",
        stripe_payment_method_id=saved,
        stripe_payment_method_name="visa 1111" if saved else None,
    )

    assert await post(paydue, fixture(kind)) == 200

    assert await saved_of(paydue, client) == SAVED[kind]
    assert await states(paydue) == ["applied"]


async def saved_of(paydue: Paydue, client: int) -> tuple[str | None, ...]:
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
    own = (row.stripe_payment_method_id, row.stripe_payment_method_name)
    return row.stripe_customer_id, *own, row.stripe_saved_method_id


@pytest.mark.parametrize("kind", sorted(PAID_OUT))
async def test_a_realistic_event_of_a_payout_makes_its_job_due_and_no_other(
    paydue: Paydue, kind: str
) -> None:
    later = datetime.now(UTC) + timedelta(minutes=5)
    rows = [{"name": name, "next_run_at": later} for name in ("autopay", "reconcile")]
    async with paydue.database.transaction() as tx:
        await tx.execute(insert(JOBS), rows)

    assert await post(paydue, fixture(kind)) == 200

    async with paydue.database.snapshot() as tx:
        due = select(JOBS.c.name).where(JOBS.c.next_run_at <= datetime.now(UTC))
        assert list(await tx.scalars(due)) == ["reconcile"]
    assert await states(paydue) == ["applied"]


# --- who may speak ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after_s", "passes"),
    [(0, True), (300, True), (300.001, False), (-300, True), (-300.001, False), (10**9, False)],
)
def test_a_signature_is_good_for_three_hundred_seconds_both_ways(
    after_s: float, passes: bool
) -> None:
    header = signed(b"{}", at=1_700_000_000).encode()

    def check() -> None:
        endpoint.parse_signature(header, 1_700_000_000 + after_s)

    if passes:
        check()
    else:
        with pytest.raises(BadSignature):
            check()


async def test_any_signature_of_any_current_secret_passes(
    database_url: str, stripe_url: str, sandbox: Any
) -> None:
    settings = other(settings_for(database_url, stripe_url), webhook_secret=f"whsec_n, {SECRET} ,")
    async with Paydue.running(settings, sandbox) as paydue:
        bodies = [orjson.dumps(event("payment_intent.created", intent(None))) for _ in range(6)]
        stamp, right = signed(bodies[0]).split(",")
        headers = [
            f"{stamp},v1={'0' * 64},{right}",
            signed(bodies[1], "whsec_n"),
            f"{signed(bodies[2], 'whsec_gone')},{signed(bodies[2]).split(',')[1]}",
            f"v0=abc, {signed(bodies[3]).replace(',', ' , ')} ,scheme=none",
            signed(bodies[4], at=int(signed(b"").split(",")[0][2:]) - 290),
            signed(bodies[5], at=int(signed(b"").split(",")[0][2:]) + 290),
        ]

        statuses = [
            await post(paydue, *pair) for pair in zip(bodies, headers, strict=True)
        ]  # fmt: skip

        assert statuses == [200] * 6
        assert len(await paydue.events()) == 6


async def test_whatever_is_not_signed_by_us_now_is_refused_and_not_kept(paydue: Paydue) -> None:
    body = orjson.dumps(event("payment_intent.succeeded", intent(await paydue.an_invoice())))
    good = signed(body)
    stamp, right = good.split(",")
    now = int(stamp[2:])
    headers = {
        "empty": "",
        "no time": right,
        "no signature": stamp,
        "another body's": signed(body + b" "),
        "another secret's": signed(body, "whsec_other"),
        "an empty secret's": signed(body, ""),
        "old": signed(body, at=now - 310),
        "future": signed(body, at=now + 310),
        "another time's": f"t={now + 1},{right}",
        "v0 only": good.replace("v1=", "v0="),
        "cut": good[:-1],
        "upper case": good.upper(),
        "not ASCII": f"{stamp},v1={'é' * 64}",
        "not a time": f"t=now,{right}",
        "a negative time": f"t=-{now},{right}",
        "a time of many digits": f"t={'9' * 5000},{right}",
        "huge": f"{stamp}," + "v1=00," * 2000 + right,
        "too many": f"{stamp}," + "v1=00," * 10 + right,
    }

    statuses = {name: await post(paydue, body, header) for name, header in headers.items()}
    async with paydue.http.post(PATH, data=body) as answer:
        statuses["missing"] = answer.status

    assert statuses == dict.fromkeys(statuses, 400)
    assert (await paydue.events(), await paydue.payments()) == ([], [])
    assert await post(paydue, body, good) == 200


async def test_without_a_secret_nothing_is_accepted_for_now(
    database_url: str, stripe_url: str, sandbox: Any
) -> None:
    settings = other(settings_for(database_url, stripe_url), webhook_secret=" , ")
    async with Paydue.running(settings, sandbox) as paydue:
        body = orjson.dumps(event("payment_intent.created", intent(None)))

        statuses = [await post(paydue, body, signed(body, secret)) for secret in (SECRET, "")]

        assert statuses == [503, 503]
        assert await paydue.events() == []


async def test_both_published_paths_take_the_same_event_once(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    body = orjson.dumps(event("payment_intent.succeeded", intent(invoice)))

    statuses = [await post(paydue, body, path=one) for one in (PATH, "/api/Notify/Stripe")]

    assert statuses == [200, 200]
    assert len(await paydue.events()) == len(await paydue.payments(invoice)) == 1


@pytest.mark.parametrize(
    ("settings", "wrong", "reason", "right"),
    [
        ({}, {"livemode": True}, "other_mode", {}),
        ({}, {"account": "acct_1"}, "other_account", {"account": None}),
        ({}, {"context": "acct_1"}, "other_context", {"context": None}),
        ({}, {"context": "org_1/acct_1"}, "other_context", {"context": ""}),
        ({"api_key": "rk_live_1"}, {"livemode": False}, "other_mode", {"livemode": True}),
        ({"account": "acct_1"}, {}, "other_account", {"account": "acct_1"}),
        ({"account": "acct_1"}, {"account": "acct_2"}, "other_account", {"account": "acct_1"}),
        ({"account": "acct_1"}, {"context": "acct_2"}, "other_context", {"context": "acct_1"}),
        (
            {"account": "acct_1"},
            {"context": "acct_2", "account": "acct_1"},
            "other_context",
            {"context": "org_1/acct_1"},
        ),
    ],
)
async def test_another_mode_or_account_is_answered_200_and_leaves_no_row(
    database_url: str,
    stripe_url: str,
    sandbox: Any,
    settings: Any,
    wrong: Any,
    reason: str,
    right: Any,
) -> None:
    changed = other(settings_for(database_url, stripe_url), **settings)
    async with Paydue.running(changed, sandbox) as house:
        thing = intent(await house.an_invoice())

        assert await house.deliver(event("payment_intent.succeeded", thing, **wrong)) == [200]
        assert (await house.events(), await house.payments()) == ([], [])
        assert await foreign_counts(house, 1) == {reason: 1}

        assert await house.deliver(event("payment_intent.succeeded", thing, **right)) == [200]
        assert len(await house.payments()) == 1
        assert await foreign_counts(house, 1) == {reason: 1}


async def test_thin_events_and_pings_are_answered_200_and_counted_by_their_reason(
    paydue: Paydue, database_url: str
) -> None:
    before = REGISTRY.get_sample_value(FOREIGN_TOTAL, {"reason": "thin_event"}) or 0
    thin = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": "v1.payment_intent.succeeded",
        "livemode": False,
        "created": "2026-11-20T10:00:00.000Z",
        "related_object": {"id": "pi_1", "type": "payment_intent", "url": "/v1/payment_intents/1"},
    }
    ping = {**thin, "id": "evt_ping", "type": "v2.core.event_destination.ping"}

    statuses = await paydue.deliver(thin, thin, ping)

    assert statuses == [200] * 3
    assert await paydue.events() == []
    assert await foreign_counts(paydue, 3) == {"thin_event": 2, "ping": 1}
    async with paydue.http.get("/metrics") as answer:
        shown = await answer.text()
    assert f'{FOREIGN_TOTAL}{{reason="thin_event"}} {before + 2}' in shown


async def test_foreign_events_are_logged_once_for_each_reason(paydue: Paydue) -> None:
    foreign = [event("payment_intent.succeeded", intent(None), livemode=True) for _ in range(3)]

    with capture_logs() as logs:
        await paydue.deliver(*foreign)

    assert len([one for one in logs if "not for us" in one["event"]]) == 1


async def test_the_foreign_events_of_all_nodes_and_of_a_closing_one_are_counted(
    database_url: str, stripe_url: str, sandbox: Any
) -> None:
    settings = settings_for(database_url, stripe_url)
    foreign = event("payment_intent.succeeded", intent(None), livemode=True)
    for before in (0, 3):
        async with Paydue.running(settings, sandbox) as house:
            assert await house.deliver(foreign) == [200]
            await foreign_counts(house, before + 1)
            assert await house.deliver(foreign, foreign) == [200, 200]
        async with open_database(settings) as database, database.snapshot() as tx:
            (row,) = await event_queries.list_foreign_counts(tx)
        assert (row.reason, row.events) == ("other_mode", before + 3)


# --- what is kept ----------------------------------------------------------------------------


async def test_an_unknown_type_is_kept_and_ignored(paydue: Paydue) -> None:
    statuses = await paydue.deliver(
        event("charge.succeeded", {"id": "ch_1", "object": "charge"}),
        event("invoice.paid", {"object": "invoice"}),
        event("something.new", {}),
    )

    assert statuses == [200, 200, 200]
    assert await states(paydue) == ["ignored"] * 3
    assert await paydue.payments() == []


async def test_the_same_event_again_or_in_other_bytes_is_one_event(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    told = event("payment_intent.succeeded", intent(invoice))
    older = {**told, "api_version": "2020-08-27"}
    first = orjson.dumps(told)

    statuses = [
        await post(paydue, first),
        await post(paydue, first),
        await post(paydue, orjson.dumps(told, option=orjson.OPT_INDENT_2)),
        await post(paydue, orjson.dumps(older)),
    ]

    assert statuses == [200] * 4
    (row,) = await paydue.events()
    assert row.payload == first
    assert await paid(paydue, invoice) == (120, 2)
    assert len(await paydue.rows(CHANGES, CHANGES.c.invoice_id == invoice)) == 2


async def test_two_event_objects_for_one_change_count_once(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    thing = intent(invoice)

    await paydue.deliver(event("payment_intent.succeeded", thing))
    await paydue.deliver(event("payment_intent.succeeded", thing))

    assert await states(paydue) == ["applied", "applied"]
    assert len(await paydue.payments(invoice)) == 1
    assert await paid(paydue, invoice) == (120, 2)
    changes = await paydue.rows(CHANGES, CHANGES.c.invoice_id == invoice)
    assert [one.field_name for one in changes] == ["amountpaid", "paymentstatus"]


# --- order means nothing ---------------------------------------------------------------------

NOW = 1_793_890_800
SAID = {
    "created": ("payment_intent.created", "requires_payment_method", None),
    "failed": ("payment_intent.payment_failed", "requires_payment_method", {"code": "expired"}),
    "processing": ("payment_intent.processing", "processing", None),
    "action": ("payment_intent.requires_action", "requires_action", None),
    "canceled": ("payment_intent.canceled", "canceled", None),
    "succeeded": ("payment_intent.succeeded", "succeeded", None),
}


ARRIVALS = [
    # (what, at which second), in the order of arrival, and the state that stands
    ("succeeded 5, failed 1", PaymentState.SUCCEEDED),
    ("succeeded 5, failed 9", PaymentState.SUCCEEDED),
    ("succeeded 5, created 0, processing 3", PaymentState.SUCCEEDED),
    ("succeeded 5, canceled 6", PaymentState.SUCCEEDED),
    ("canceled 6, succeeded 5", PaymentState.SUCCEEDED),
    ("canceled 6, failed 7", PaymentState.CANCELED),
    ("failed 1, processing 2", PaymentState.PROCESSING),
    ("processing 2, failed 1", PaymentState.PROCESSING),
    ("failed 3, processing 2", PaymentState.FAILED),
    ("processing 2, failed 3, processing 4", PaymentState.PROCESSING),
    ("processing 4, processing 2, failed 3", PaymentState.PROCESSING),
    ("failed 2, processing 2", PaymentState.PROCESSING),
    ("processing 2, failed 2", PaymentState.PROCESSING),
    ("action 2, created 2", PaymentState.REQUIRES_ACTION),
]


async def test_the_state_that_stands_does_not_hang_on_the_order_of_arrival(
    paydue: Paydue,
) -> None:
    found, expected = {}, {}
    for told, stands in ARRIVALS:
        invoice = await paydue.an_invoice()
        same = {"id": f"pi_order_{invoice}", "latest_charge": "ch_order", "created": NOW}
        for name, second in (one.split() for one in told.split(", ")):
            kind, status, error = SAID[name]
            thing = intent(invoice, status, last_payment_error=error, **same)
            assert await paydue.deliver(event(kind, thing, created=NOW + int(second))) == [200]

        (payment,) = await paydue.payments(invoice)
        row = await paydue.invoice(invoice)
        found[told] = (
            payment.state, row.amountpaid, row.payments_pending, payment.check_at is None,
        )  # fmt: skip
        is_paid, is_pending = stands == PaymentState.SUCCEEDED, stands == PaymentState.PROCESSING
        ended = is_paid or stands == PaymentState.CANCELED
        expected[told] = (stands, 120 * is_paid, int(is_pending), ended)

    assert found == expected


async def test_the_same_reports_in_one_batch_end_the_same(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    thing = intent(invoice)
    failed = {**thing, "status": "requires_payment_method", "last_payment_error": {"code": "x"}}
    given_back = refund(thing, 2000)

    statuses = await at_once(
        paydue,
        event("refund.created", given_back),
        event("payment_intent.payment_failed", failed),
        event("payment_intent.succeeded", thing),
        event("payment_intent.created", {**failed, "last_payment_error": None}),
    )
    await paydue.replay()

    assert statuses == {200}
    assert set(await states(paydue)) == {"applied"}
    assert await paid(paydue, invoice) == (100, 1)


# --- money going back ------------------------------------------------------------------------


async def test_a_refund_before_its_payment_waits_and_then_counts(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    thing = intent(invoice)
    await paydue.deliver(event("refund.created", refund(thing, 2000)))
    (early,) = await paydue.events()
    assert (early.state, "no payment is known" in early.error) == ("parked", True)

    await paydue.deliver(event("payment_intent.succeeded", thing))
    replayed = await paydue.replay()

    assert (replayed.applied, replayed.parked) == (1, 0)
    assert await states(paydue) == ["applied", "applied"]
    assert await paid(paydue, invoice) == (100, 1)


async def test_an_event_that_comes_again_is_not_applied_again(paydue: Paydue) -> None:
    """Whatever became of it stands; one that was given up stays so."""
    early = event("refund.created", refund(intent(4711), 2000))
    await paydue.deliver(early)
    for age in range(1, 11):
        await paydue.replay(later=timedelta(days=2 * age))
    (dead,) = await paydue.events()

    assert await paydue.deliver(early) == [200]

    assert dead.state == "dead"
    assert await paydue.events() == [dead]


@pytest.mark.parametrize("backwards", [False, True])
async def test_a_refund_that_fails_after_it_had_succeeded_is_ours_again(
    paydue: Paydue, backwards: bool
) -> None:
    invoice = await paydue.an_invoice()
    thing = intent(invoice)
    one = refund(thing, 2000)
    told = [
        event("refund.created", {**one, "status": "pending"}),
        event("charge.refunded", charge(thing, 2000)),
        event("refund.updated", one),
        event("refund.failed", {**one, "status": "failed"}),
    ]
    await paydue.deliver(event("payment_intent.succeeded", thing))

    await paydue.deliver(*(told[::-1] if backwards else told))

    assert await paid(paydue, invoice) == (120, 2)
    (payment,) = await paydue.payments(invoice)
    assert (payment.status, payment.amount_refunded) == (PaymentStatus.SUCCEEDED, 0)


async def test_a_charges_total_knows_refunds_we_never_heard_of(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    thing = intent(invoice)
    await paydue.deliver(event("payment_intent.succeeded", thing))

    await paydue.deliver(
        event("refund.created", refund(thing, 2000)),
        event("charge.refunded", charge(thing, 5000)),
        event("charge.refunded", charge(thing, 2000)),
    )

    assert await paid(paydue, invoice) == (70, 1)


async def test_an_older_charge_tells_its_refunds_one_by_one(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    thing = intent(invoice)
    stands, failed = refund(thing, 2000), refund(thing, 3000, "failed")
    listed = [{name: one[name] for name in ("id", "amount", "currency", "status")}
              for one in (stands, failed)]  # fmt: skip
    await paydue.deliver(event("payment_intent.succeeded", thing))

    await paydue.deliver(event("charge.refunded", charge(thing, 2000, *listed)))
    await paydue.deliver(event("refund.created", {**failed, "status": "succeeded"}))

    assert await paid(paydue, invoice) == (100, 1)


DISPUTES = {
    # The dispute's statuses in the order of arrival: what is left of 120.00, and what is shown.
    "needs_response": (120, PaymentStatus.DISPUTED),
    "warning_needs_response": (120, PaymentStatus.SUCCEEDED),
    "lost": (0, PaymentStatus.DISPUTE_LOST),
    "needs_response lost": (0, PaymentStatus.DISPUTE_LOST),
    "lost needs_response": (0, PaymentStatus.DISPUTE_LOST),
    "needs_response lost won": (120, PaymentStatus.SUCCEEDED),
    "won lost needs_response": (120, PaymentStatus.SUCCEEDED),
    "lost appeal_under_review won": (120, PaymentStatus.SUCCEEDED),
    "warning_closed warning_needs_response": (120, PaymentStatus.SUCCEEDED),
}


async def test_a_disputes_own_status_decides_in_any_order(paydue: Paydue) -> None:
    found = {}
    for statuses in DISPUTES:
        invoice = await paydue.an_invoice()
        thing = intent(invoice)
        opened = dispute(thing, "")
        await paydue.deliver(event("payment_intent.succeeded", thing))

        for status in statuses.split():
            # Stripe sends funds_reinstated for lost ones too.
            told = event("charge.dispute.funds_reinstated", {**opened, "status": status})
            assert await paydue.deliver(told) == [200]

        (payment,) = await paydue.payments(invoice)
        found[statuses] = ((await paydue.invoice(invoice)).amountpaid, payment.status)

    assert found == DISPUTES


async def test_more_lost_than_was_charged_never_counts_below_nothing(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()
    thing = intent(invoice)
    await paydue.deliver(event("payment_intent.succeeded", thing))

    await paydue.deliver(
        event("charge.refunded", charge(thing, 5000)),
        event("charge.dispute.closed", dispute(thing, "lost", 12500)),
    )

    assert await paid(paydue, invoice) == (0, 0)


async def test_a_disputed_payment_that_is_assigned_by_hand_keeps_autopay_away(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()
    thing, opened = intent(None, amount=6000), dispute(intent(None), "needs_response", 6000)
    opened["payment_intent"] = thing["id"]
    await paydue.deliver(
        event("payment_intent.succeeded", thing), event("charge.dispute.created", opened)
    )
    (payment,) = await paydue.payments()

    record = {"id": payment.id, "invoice_id": invoice}
    access = await paydue.access()
    async with paydue.http.post("/api/InvoicePayment", json=[record], headers=access) as answer:
        assert answer.status in (200, 201)

    assert (await paydue.invoice(invoice)).payments_reversed == 1
    (skipped,) = (await paydue.autopay())["skipped"]
    assert "a person decides" in skipped["reason"]
    await paydue.deliver(event("charge.dispute.closed", {**opened, "status": "won"}))
    assert (await paydue.invoice(invoice)).payments_reversed == 0


# --- which invoice ---------------------------------------------------------------------------


@pytest.mark.parametrize("session_first", [True, False])
@pytest.mark.parametrize("by", ["client_reference_id", "metadata"])
async def test_a_session_names_the_invoice_that_its_intent_does_not(
    paydue: Paydue, session_first: bool, by: str
) -> None:
    invoice = await paydue.an_invoice()
    thing = intent(None)
    named = (
        {by: str(invoice)} if by == "client_reference_id" else {by: {"invoice_id": str(invoice)}}
    )
    told = [
        event("payment_intent.succeeded", thing),
        event("checkout.session.completed", session(thing, **named)),
    ]

    await paydue.deliver(*(told[::-1] if session_first else told))

    assert await paid(paydue, invoice) == (120, 2)
    assert len(await paydue.payments()) == 1
    assert await states(paydue) == ["applied", "applied"]


async def test_a_session_paid_by_bank_debit_ends_when_the_bank_has_answered(paydue: Paydue) -> None:
    good, bad = await paydue.an_invoice(), await paydue.an_invoice()
    for invoice, outcome in ((good, "succeeded"), (bad, "failed")):
        thing = intent(invoice, "processing")
        waiting = session(thing, payment_status="unpaid")
        done = {**waiting, "payment_status": "paid" if outcome == "succeeded" else "unpaid"}
        await paydue.deliver(
            event("checkout.session.completed", waiting, created=NOW),
            event("payment_intent.processing", thing, created=NOW),
            event(f"checkout.session.async_payment_{outcome}", done, created=NOW + 60),
        )

    assert await paid(paydue, good) == (120, 2)
    assert await paid(paydue, bad) == (0, 0)
    (failed,) = await paydue.payments(bad)
    assert failed.state == PaymentState.FAILED


async def test_our_own_idempotency_key_names_the_invoice_when_the_metadata_is_lost(
    paydue: Paydue,
) -> None:
    invoice, other = await paydue.an_invoice(), await paydue.an_invoice()
    ours = create_key(paydue.node.installation, invoice, 1, 1)
    theirs = create_key("another", other, 1, 1)

    await paydue.deliver(
        event("payment_intent.succeeded", intent(None), request={"idempotency_key": ours}),
        event("payment_intent.succeeded", intent(None), request={"idempotency_key": theirs}),
        event("payment_intent.succeeded", intent(None), request={"idempotency_key": "mine"}),
    )

    assert await paid(paydue, invoice) == (120, 2)
    assert await paid(paydue, other) == (0, -1)
    # The second is another installation's own charge: its money is no concern of ours.
    assert [one.invoice_id for one in await paydue.payments()] == [invoice, None]


async def test_a_payment_for_an_invoice_that_comes_later_finds_it(paydue: Paydue) -> None:
    thing = intent(4711)
    assert await paydue.deliver(event("payment_intent.succeeded", thing)) == [200]
    (parked,) = await paydue.events()
    assert (parked.state, parked.error) == ("parked", "invoice 4711 does not exist")
    (waiting,) = await paydue.payments()
    assert (waiting.invoice_id, waiting.claimed_invoice_id, waiting.amount) == (None, 4711, 120)

    invoice = await paydue.an_invoice(id=4711)
    replayed = await paydue.replay()

    assert replayed.applied == 1
    assert await states(paydue) == ["applied"]
    assert await paid(paydue, invoice) == (120, 2)


async def test_an_invoice_that_a_waiting_payment_claims_is_not_charged(paydue: Paydue) -> None:
    client = await paydue.a_client(stripe_customer_id="cus_waiting")
    thing = intent(4711, customer="cus_waiting")
    await paydue.deliver(event("payment_intent.succeeded", thing))
    await paydue.an_invoice(id=4711, client=client)

    report = await paydue.autopay()

    assert report["charged"] == []
    assert paydue.sandbox.ledger.charges() == []


async def test_a_payment_in_another_currency_is_kept_visible_and_not_counted(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice()

    assert await paydue.deliver(
        event("payment_intent.succeeded", intent(invoice, currency="eur"))
    ) == [200]

    (row,) = await paydue.events()
    assert (row.state, row.error) == (
        "parked", f"the payment is in eur, invoice {invoice} in usd",
    )  # fmt: skip
    (payment,) = await paydue.payments()
    assert (payment.invoice_id, payment.currency_iso, payment.amount) == (None, "eur", 120)
    assert await paid(paydue, invoice) == (0, -1)


async def test_a_payment_that_names_no_invoice_is_kept_with_its_client(paydue: Paydue) -> None:
    client = await paydue.a_client(stripe_customer_id="cus_known")
    said: list[Any] = ["", "0", "-1", "1.0", "1e3", "abc", "9" * 30, "٣", " ", None, 1.5, [1]]
    named = [{}, *({"invoice_id": one} for one in said)]

    await paydue.deliver(
        *(
            event("payment_intent.succeeded", intent(None, metadata=one, customer="cus_known"))
            for one in named
        )
    )

    kept = [(one.invoice_id, one.client_id, one.amount) for one in await paydue.payments()]
    assert kept == [(None, client, 120)] * len(named)
    assert set(await states(paydue)) == {"applied"}


AMOUNTS = [
    ("jpy", 12000, "12000"),
    ("JPY", 1, "1"),
    ("isk", 1200000, "12000"),
    ("ugx", 100, "1"),
    ("kwd", 12340, "12.340"),
    ("huf", 12000, "120"),
    ("usd", 1, "0.01"),
    ("eur", 999_999_999_999, "9999999999.99"),
    ("jpy", 999_999_999_999, "999999999999"),
    ("usd", 0, "0"),
]


async def test_stripes_minor_units_become_exact_amounts(paydue: Paydue) -> None:
    for currency, minor, text in AMOUNTS:
        amount = Decimal(text)
        invoice = await paydue.an_invoice(text, currency_iso=currency.lower())

        await paydue.deliver(
            event("payment_intent.succeeded", intent(invoice, amount=minor, currency=currency))
        )

        *_, payment = await paydue.payments()
        assert (payment.amount, payment.counted) == (amount, amount)
        assert await paid(paydue, invoice) == (amount, 2 if minor else -1)


async def test_what_was_received_counts_not_what_was_asked_for(paydue: Paydue) -> None:
    invoice = await paydue.an_invoice()

    await paydue.deliver(
        event("payment_intent.succeeded", await paydue.own_intent(invoice, amount_received=5000)),
    )

    assert await paid(paydue, invoice) == (50, 1)


# --- saved methods ---------------------------------------------------------------------------


def method(name: str, **more: Any) -> Any:
    return {"id": name, "object": "payment_method", "type": "card", "card": {"last4": "1"}, **more}


def setup(customer: str | None, saved: str, **more: Any) -> Any:
    return {
        "id": "seti_1", "object": "setup_intent", "customer": customer, "payment_method": saved,
        "usage": "off_session", **more,
    }  # fmt: skip


async def a_client_without_method(paydue: Paydue) -> tuple[int, str]:
    client = await paydue.a_client(stripe_payment_method_id=None)
    customer, *_ = await saved_of(paydue, client)
    assert customer is not None
    return client, customer


@pytest.mark.parametrize("together", [False, True])
async def test_a_method_that_is_gone_is_not_saved_by_a_late_event(
    paydue: Paydue, together: bool
) -> None:
    client, customer = await a_client_without_method(paydue)
    told = [
        event("payment_method.detached", method("pm_gone")),
        event("setup_intent.succeeded", setup(customer, "pm_gone")),
    ]

    if together:
        assert await at_once(paydue, *told) == {200}
    else:
        await paydue.deliver(*told)

    assert await saved_of(paydue, client) == (customer, None, None, None)


async def test_a_saved_method_replaces_none_that_the_client_has(paydue: Paydue) -> None:
    client = await paydue.a_client(stripe_payment_method_id="pm_chosen")
    customer, *_ = await saved_of(paydue, client)

    await paydue.deliver(event("setup_intent.succeeded", setup(customer, "pm_other")))

    assert (await saved_of(paydue, client))[1] == "pm_chosen"


async def test_a_new_method_is_kept_when_the_end_of_the_old_one_comes_late(
    paydue: Paydue,
) -> None:
    client = await paydue.a_client(stripe_payment_method_id="pm_old")
    customer, *_ = await saved_of(paydue, client)
    ended = event("payment_method.detached", method("pm_old"), created=NOW)
    saved = event("setup_intent.succeeded", setup(customer, "pm_new"), created=NOW + 60)

    await paydue.deliver(saved, ended)

    assert await saved_of(paydue, client) == (customer, None, None, "pm_new")


async def test_only_methods_saved_for_charges_without_the_customer_are_taken(
    paydue: Paydue,
) -> None:
    client, customer = await a_client_without_method(paydue)

    await paydue.deliver(
        event("setup_intent.succeeded", setup(customer, "pm_1", usage="on_session")),
        event("setup_intent.succeeded", setup(None, "pm_1")),
        event("setup_intent.succeeded", setup("cus_other", "pm_1")),
        event("payment_method.detached", method("pm_other")),
        event("payment_method.updated", method("pm_other")),
    )

    assert await saved_of(paydue, client) == (customer, None, None, None)
    assert set(await states(paydue)) == {"applied"}


async def test_a_deleted_customer_gets_no_method_and_is_not_charged(paydue: Paydue) -> None:
    client, customer = await a_client_without_method(paydue)
    invoice = await paydue.an_invoice(client=client)

    await paydue.deliver(
        event("customer.deleted", {"id": customer, "object": "customer"}),
        event("setup_intent.succeeded", setup(customer, "pm_late")),
    )

    assert await saved_of(paydue, client) == (None, None, None, None)
    (skipped,) = (await paydue.autopay())["skipped"]
    assert (skipped["invoice_id"], "stripe_customer_id" in skipped["reason"]) == (invoice, True)


# --- signed nonsense -------------------------------------------------------------------------

SUCCEEDED = "payment_intent.succeeded"
NESTED = "[" * 900 + "]" * 900


def broken(**more: Any) -> dict[str, Any]:
    return event(SUCCEEDED, intent(None, **more))


MALFORMED: dict[str, dict[str, Any]] = {
    "no amount": broken(amount_received=None, amount=None),
    "amount as text": broken(amount_received="12000"),
    "amount as float": broken(amount_received=120.5),
    "amount as bool": broken(amount_received=True),
    "amount below nothing": broken(amount_received=-1),
    "amount beyond all": broken(amount_received=10**12),
    "amount of 60 bits": broken(amount_received=2**60),
    "no currency": broken(currency=None),
    "a currency of four letters": broken(currency="usdt"),
    "a currency with NUL": broken(currency="us\0"),
    "no id": broken(id=None),
    "an id with NUL": broken(id="pi_\0"),
    "an id of 300 letters": broken(id="p" * 300),
    "an id that is a list": broken(id=["pi_1"]),
    "an error that is text": broken(status="requires_payment_method", last_payment_error="no"),
    "charges that are a list": broken(latest_charge=None, charges=[1]),
    "no object": event(SUCCEEDED, {}),
    "a refund of nothing": event("refund.created", {"id": "re_1", "amount": 1, "currency": "usd"}),
    "a refund as a string": event("refund.created", refund(intent(None), "1")),  # type: ignore[arg-type]
    "refunds that are text": event(
        "charge.refunded", {**charge(intent(None), 1), "refunds": {"data": ["re_1"]}}
    ),
    "a session without amount": event(
        "checkout.session.completed", session(intent(None), amount_total=None)
    ),
    "a method without id": event("payment_method.detached", {"object": "payment_method"}),
    "NUL in a refund's status, too early": event("refund.created", refund(intent(None), 1, "a\0b")),
    "a key that is a number": {**broken(), "request": {"idempotency_key": 7}},
}
# Strange, but what matters is there: a payment is not lost for it.
ODD: dict[str, dict[str, Any]] = {
    "metadata null": broken(metadata=None),
    "metadata text": broken(metadata="invoice_id=1"),
    "metadata list": broken(metadata=[1]),
    "NUL in a description": broken(description="a\0b"),
    "NUL in the invoice's name": broken(metadata={"invoice_id": "1\0"}),
    "an attempt beyond an int": broken(metadata={"attempt": "3000000000"}),
    "an attempt beyond a bigint": broken(metadata={"attempt": "9" * 19}),
    "a customer that is a list": broken(customer=["cus_1"]),
    "a creation that is text": broken(created="now"),
    "a creation beyond time": broken(created=10**15),
    "a status nobody knows": broken(status="teleported"),
    "a status that is a list": broken(status=["succeeded"]),
    "a request that is text": {**broken(), "request": "req_1"},
    "no request": {**broken(), "request": None},
    "NUL in a reason": event(
        "payment_intent.payment_failed",
        intent(None, "requires_payment_method", last_payment_error={"decline_code": "a\0b"}),
    ),
    "a reason that is a list": event(
        "payment_intent.payment_failed",
        intent(None, "requires_payment_method", last_payment_error={"decline_code": ["a"]}),
    ),
    "a reason that is an object": event(
        "payment_intent.payment_failed",
        intent(None, "requires_payment_method", last_payment_error={"code": {"a": 1}}),
    ),
    "NUL in a method's name": broken(
        latest_charge={
            "id": "ch_1",
            "payment_method_details": {"type": "card", "card": {"brand": "vi\0sa"}},
        }
    ),
    "a brand that is a list": broken(
        latest_charge={
            "id": "ch_1",
            "payment_method_details": {"type": "card", "card": {"brand": ["visa"]}},
        }
    ),
    "a deep object": {**broken(deep=orjson.Fragment(NESTED))},
}


@pytest.mark.parametrize("cases", [MALFORMED, ODD], ids=["malformed", "odd"])
async def test_a_malformed_event_is_kept_and_never_harms_its_neighbours(
    paydue: Paydue, cases: dict[str, dict[str, Any]]
) -> None:
    invoice = await paydue.an_invoice("5000000")
    answered, applied = {}, {}
    for name, bad in cases.items():
        good = [event(SUCCEEDED, await paydue.own_intent(invoice, amount=100)) for _ in range(19)]

        answered[name] = await at_once(paydue, *good[:10], bad, *good[10:])

        kept = {row.event_id: row for row in await paydue.events()}
        applied[name] = sum(
            one["id"] in kept and kept[one["id"]].state == "applied" for one in good
        )

    assert answered == {name: {200} for name in cases}
    assert applied == dict.fromkeys(cases, 19)
    assert (await paydue.invoice(invoice)).amountpaid == 19 * len(cases)
    said = {name: kept[bad["id"]].state for name, bad in cases.items()}
    assert said == dict.fromkeys(cases, "parked" if cases is MALFORMED else "applied")


async def test_a_signed_body_that_is_no_event_is_refused_and_not_kept(paydue: Paydue) -> None:
    good = event(SUCCEEDED, intent(None))
    text = orjson.dumps(good).decode()
    bodies = {
        "empty": "",
        "a list": "[]",
        "a number": "1",
        "null": "null",
        "cut": text[:-1],
        "a lone surrogate": text.replace('"usd"', '"\\ud800"'),
        "NaN": text.replace("12000", "NaN"),
        "too deep": text.replace('"usd"', "[" * 2000 + "]" * 2000),
        "an object that is a list": json.dumps({**good, "data": {"object": []}}),
        "an object that is null": json.dumps({**good, "data": {"object": None}}),
        "data that is a list": json.dumps({**good, "data": []}),
        "no data": json.dumps({**good, "data": None}),
        "thin without an id": json.dumps({"object": "v2.core.event", "type": "a", "created": "b"}),
        "no id": json.dumps({**good, "id": None}),
        "an id with NUL": json.dumps({**good, "id": "evt_\0"}),
        "a long id": json.dumps({**good, "id": "e" * 256}),
        "a type that is a list": json.dumps({**good, "type": ["a"]}),
        "created before time": json.dumps({**good, "created": -1}),
        "created beyond time": json.dumps({**good, "created": 10**12}),
        "created as float": json.dumps({**good, "created": 1.5}),
    }

    statuses = {name: await post_text(paydue, body) for name, body in bodies.items()}

    assert statuses == dict.fromkeys(bodies, 400)
    assert await paydue.events() == []


async def test_a_parked_event_that_can_never_be_applied_ends_with_its_reason(
    paydue: Paydue,
) -> None:
    await paydue.deliver(MALFORMED["amount as text"])

    outcomes = [await paydue.replay(later=timedelta(days=2 * day)) for day in range(1, 13)]

    assert sum(one.dead for one in outcomes) == 1
    (row,) = await paydue.events()
    assert (row.state, "not an amount" in row.error) == ("dead", True)


async def test_a_client_named_after_its_payment_is_kept_by_a_later_report(paydue: Paydue) -> None:
    thing = intent(None, "processing", customer="cus_late")
    await paydue.deliver(event("payment_intent.processing", thing))
    client = await paydue.a_client()
    async with paydue.database.transaction() as tx:
        await tx.execute(
            update(CLIENTS).where(CLIENTS.c.id == client).values(stripe_customer_id="cus_late")
        )

    done = {**thing, "status": "succeeded", "amount_received": 12000}
    await paydue.deliver(event("payment_intent.succeeded", done))

    (payment,) = await paydue.payments()
    assert (payment.client_id, payment.state) == (client, PaymentState.SUCCEEDED)
