"""Old bodies are compressed and dropped, expired rows go, and nothing that money needs is lost."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from sqlalchemy import LargeBinary, func, insert, select, type_coerce, update

from app.payments.purge import Purge, PurgeResult
from app.storage import event_bodies, schema
from app.storage.column_types import table_of
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.console_people import OneTimeToken
from app.storage.tables.credentials import AccessToken, ApiCredential, IdempotencyRecord
from app.storage.tables.stripe_events import EventState, StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_reversals import StripeReversal
from tests.harness import Paydue, event, intent, settings_for, today

pytestmark = pytest.mark.anyio

EVENTS, ATTEMPTS = table_of(StripeEvent), table_of(ChargeAttempt)
INTENTS, REVERSALS = table_of(StripePayment), table_of(StripeReversal)
RECORDS, TOKENS = table_of(IdempotencyRecord), table_of(AccessToken)
ONE_TIME = table_of(OneTimeToken)
STORED = type_coerce(EVENTS.c.payload, LargeBinary)


async def purge(paydue: Paydue, *, days: float, **more: Any) -> PurgeResult:
    """A purge so many days from now."""
    days_of = {"compress_events_after": 30, "drop_events_after": 60}
    settings = paydue.node.settings.model_copy(update=more.pop("settings", days_of))
    at = datetime.now(UTC) + timedelta(days=days)
    return await Purge(paydue.database, settings, at, asyncio.Event(), **more).run()


async def a_paid_invoice(paydue: Paydue) -> tuple[int, bytes]:
    """An invoice that an event paid, and the event's body."""
    invoice = await paydue.an_invoice(take_auto_payment=False)
    body = orjson.dumps(event("payment_intent.succeeded", await paydue.own_intent(invoice)))
    assert await paydue.deliver_body(body) == 200
    return invoice, body


async def stored(paydue: Paydue) -> list[bytes]:
    async with paydue.database.snapshot() as tx:
        return list((await tx.execute(select(STORED).order_by(EVENTS.c.id))).scalars())


async def test_an_old_body_is_compressed_and_read_as_it_was_received(paydue: Paydue) -> None:
    invoice, body = await a_paid_invoice(paydue)

    young = await purge(paydue, days=29)
    old = await purge(paydue, days=31)

    assert (young.compressed, old.compressed, old.dropped) == (0, 1, 0)
    (kept,) = await stored(paydue)
    assert old.bytes_freed == len(body) - len(kept) > 0
    assert [one.payload for one in await paydue.events()] == [body]
    access = await paydue.access("all")
    async with paydue.http.get(
        f"/api/InvoicePayment?invoice_id={invoice}", headers=access
    ) as answer:
        (payment,) = await answer.json()
    assert payment["webhook_payload"] == body.decode()


async def test_a_dropped_body_leaves_its_digest_and_is_not_applied_again(paydue: Paydue) -> None:
    invoice, body = await a_paid_invoice(paydue)

    await purge(paydue, days=31)
    done = await purge(paydue, days=61)

    assert (done.compressed, done.dropped) == (0, 1)
    (left,) = await stored(paydue)
    known = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
    assert orjson.loads(left) == {"dropped": known}
    assert await paydue.deliver_body(body) == 200
    assert len(await paydue.events()) == 1
    assert (await paydue.invoice(invoice)).amountpaid == 120
    access = await paydue.access("all")
    async with paydue.http.get(
        f"/api/InvoicePayment?invoice_id={invoice}", headers=access
    ) as answer:
        assert answer.status == 200


async def set_state(paydue: Paydue, state: EventState) -> None:
    async with paydue.database.transaction() as tx:
        await tx.execute(update(EVENTS).values(state=state))


async def an_open_attempt(paydue: Paydue) -> None:
    (found,) = await paydue.events()
    invoice = await paydue.an_invoice()
    async with paydue.database.transaction() as tx:
        await tx.execute(
            insert(ATTEMPTS).values(
                invoice_id=invoice, number=1, state="unknown", step="confirm", amount_minor=1,
                business_day=today(), currency="usd", customer_id="cus_1",
                intent_id=found.intent_id, created_at=datetime.now(UTC),
            )
        )  # fmt: skip


async def an_intent_that_is_asked_about(paydue: Paydue) -> None:
    async with paydue.database.transaction() as tx:
        await tx.execute(update(INTENTS).values(check_at=datetime.now(UTC)))


async def an_open_dispute(paydue: Paydue) -> None:
    (found,) = await paydue.events()
    async with paydue.database.transaction() as tx:
        await tx.execute(
            insert(REVERSALS).values(
                id="dp_1", kind="dispute", intent_id=found.intent_id, amount=Decimal(1),
                status="under_review",
            )
        )  # fmt: skip


# Each makes the one event that is there still needed; the body of an applied one is compressed.
NEEDED: dict[str, tuple[Callable[[Paydue], Awaitable[None]], int]] = {
    "parked": (lambda paydue: set_state(paydue, EventState.PARKED), 0),
    "dead": (lambda paydue: set_state(paydue, EventState.DEAD), 0),
    "an attempt without an end": (an_open_attempt, 1),
    "an intent that is asked about": (an_intent_that_is_asked_about, 1),
    "an open dispute": (an_open_dispute, 1),
}


@pytest.mark.parametrize("why", NEEDED)
async def test_a_body_that_may_still_be_needed_is_not_dropped(paydue: Paydue, why: str) -> None:
    _, body = await a_paid_invoice(paydue)
    make_needed, compressed = NEEDED[why]
    await make_needed(paydue)

    done = await purge(paydue, days=3650)

    assert (done.dropped, done.compressed) == (0, compressed)
    assert [one.payload for one in await paydue.events()] == [body]


async def test_the_body_of_money_without_an_invoice_is_not_dropped(paydue: Paydue) -> None:
    await paydue.deliver(event("payment_intent.succeeded", intent(None, customer="cus_9")))

    assert (await purge(paydue, days=3650)).dropped == 0


async def test_what_was_needed_is_found_from_the_start(paydue: Paydue) -> None:
    await a_paid_invoice(paydue)
    await set_state(paydue, EventState.DEAD)
    await purge(paydue, days=100)
    await set_state(paydue, EventState.APPLIED)

    again = await purge(paydue, days=100)
    whole = await purge(paydue, days=100, from_start=True)

    assert ((again.dropped, whole.dropped), whole.compressed) == ((0, 1), 1)


async def test_a_dry_purge_says_what_it_would_free_and_changes_nothing(paydue: Paydue) -> None:
    _, body = await a_paid_invoice(paydue)

    foreseen = await purge(paydue, days=31, is_dry=True)
    unchanged = await stored(paydue)
    done = await purge(paydue, days=31)

    assert unchanged == [body]
    assert replace(foreseen, expired=0) == replace(done, expired=0)
    assert done.compressed == 1


async def test_days_of_zero_keep_everything(paydue: Paydue) -> None:
    await a_paid_invoice(paydue)
    never = {"compress_events_after": 0, "drop_events_after": 0}

    done = await purge(paydue, days=3650, settings=never)

    assert (done.compressed, done.dropped) == (0, 0)


async def test_expired_rows_go_and_others_stay(paydue: Paydue) -> None:
    await paydue.access("all")
    now = datetime.now(UTC)
    record = {"fingerprint": "f", "status": 201, "content_type": "a/b", "body": b"{}"}
    token = {"purpose": "setup", "content": {}}
    async with paydue.database.transaction() as tx:
        owner = await tx.scalar(select(table_of(ApiCredential).c.id))
        await tx.execute(insert(RECORDS).values([
            {**record, "access_id": owner, "key": "old", "kept_at": now - timedelta(hours=25)},
            {**record, "access_id": owner, "key": "new", "kept_at": now - timedelta(hours=23)},
        ]))  # fmt: skip
        await tx.execute(insert(ONE_TIME).values([
            {**token, "token_hash": "old", "expires_at": now - timedelta(seconds=1)},
            {**token, "token_hash": "new", "expires_at": now + timedelta(hours=1)},
        ]))  # fmt: skip

    done = await purge(paydue, days=0)

    assert done.expired == 2
    async with paydue.database.snapshot() as tx:
        assert list((await tx.execute(select(RECORDS.c.key))).scalars()) == ["new"]
        assert list((await tx.execute(select(ONE_TIME.c.token_hash))).scalars()) == ["new"]
        assert await tx.scalar(select(func.count()).select_from(TOKENS)) == 1


async def test_a_version_before_finds_the_bodies_as_they_were(paydue: Paydue) -> None:
    _, body = await a_paid_invoice(paydue)
    await purge(paydue, days=31)
    assert event_bodies.is_compressed((await stored(paydue))[0])

    await schema.downgrade(paydue.database, "0020")

    assert await stored(paydue) == [body]
    await schema.upgrade(paydue.database)


def with_days(days: int) -> Any:
    return settings_for("sqlite:///x.db", "http://127.0.0.1:9", PAYDUE_DROP_EVENTS_AFTER=days)


def test_no_body_is_dropped_while_stripe_may_still_send_it() -> None:
    for refused in (1, 34):
        with pytest.raises(ValidationError, match="at least 35"):
            with_days(refused)

    assert [with_days(days).drop_events_after for days in (0, 35)] == [0, 35]
