"""One event that the database cannot take never harms those that came with it, and waits."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from app.payments.webhook.inbox import RETRY_DELAYS
from tests.harness import Paydue, event, intent, signed

pytestmark = pytest.mark.anyio

SUCCEEDED = "payment_intent.succeeded"
REFUSED_ID = "pi_refused_by_the_database"

Event = dict[str, Any]
# An event that makes sense by itself and cannot be applied, and what takes the obstacle away.
Bad = tuple[Event, Callable[[], Awaitable[object]]]


async def against_a_constraint(paydue: Paydue, invoice: int) -> Bad:
    """A payment that a constraint of this database refuses, until it is dropped."""
    sqlite = paydue.database.is_sqlite
    await run(paydue, *(_SQLITE_CONSTRAINT if sqlite else _POSTGRES_CONSTRAINT))
    bad = event(SUCCEEDED, intent(invoice, id=REFUSED_ID, amount=5, currency="jpy"))
    on = "" if sqlite else " ON invoice_payment"
    return bad, lambda: run(paydue, f"DROP TRIGGER refusing{on}")


_SQLITE_CONSTRAINT = (
    f"""CREATE TRIGGER refusing BEFORE INSERT ON invoice_payment
    WHEN NEW.intent_id = '{REFUSED_ID}' BEGIN SELECT RAISE(ABORT, 'no such payment'); END""",
)
_POSTGRES_CONSTRAINT = (
    """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'no such payment' USING ERRCODE = 'check_violation'; END $$""",
    f"""CREATE TRIGGER refusing BEFORE INSERT ON invoice_payment FOR EACH ROW
    WHEN (NEW.intent_id = '{REFUSED_ID}') EXECUTE FUNCTION refuse()""",
)

SAID = "no such payment"


# --- at arrival ------------------------------------------------------------------------------


async def test_a_batch_with_an_event_that_cannot_be_applied_is_taken_apart(
    paydue: Paydue,
) -> None:
    crowded, other = await invoices_in_yen(paydue)
    bad, _ = await against_a_constraint(paydue, crowded)
    before = (await paydue.invoice(crowded)).amountpaid
    good = [
        event(SUCCEEDED, await paydue.own_intent(other, amount=10, currency="jpy"))
        for _ in range(20)
    ]

    statuses = await at_once(paydue, *good[:10], bad, *good[10:])

    kept = {row.event_id: row for row in await paydue.events()}
    assert statuses == {200}
    assert {kept[one["id"]].state for one in good} == {"applied"}
    assert (await paydue.invoice(other)).amountpaid == 200
    parked = kept[bad["id"]]
    assert (parked.state, parked.tries, SAID in parked.error) == ("parked", 1, True)
    assert parked.next_try_at > datetime.now(UTC)
    assert orjson.loads(parked.payload) == bad
    assert (await paydue.invoice(crowded)).amountpaid == before


async def test_an_event_that_comes_alone_and_cannot_be_applied_is_parked_once(
    paydue: Paydue,
) -> None:
    crowded, _ = await invoices_in_yen(paydue)
    bad, _ = await against_a_constraint(paydue, crowded)

    statuses = await paydue.deliver(bad, bad)

    (parked,) = [row for row in await paydue.events() if row.event_id == bad["id"]]
    assert statuses == [200, 200]
    assert (parked.state, parked.tries, SAID in parked.error) == ("parked", 1, True)


# --- again, later ----------------------------------------------------------------------------


async def test_an_event_that_could_not_be_applied_is_tried_again_until_it_can(
    paydue: Paydue,
) -> None:
    crowded, _ = await invoices_in_yen(paydue)
    bad, take_away = await against_a_constraint(paydue, crowded)
    await paydue.deliver(bad)

    again = await paydue.replay()
    (failed,) = [row for row in await paydue.events() if row.event_id == bad["id"]]
    await take_away()
    at_last = await paydue.replay(later=timedelta(days=2))

    assert (again.applied, again.parked, again.dead) == (0, 1, 0)
    assert (failed.state, failed.tries, SAID in failed.error) == ("parked", 2, True)
    assert (at_last.applied, at_last.parked, at_last.dead) == (1, 0, 0)
    (row,) = [row for row in await paydue.events() if row.event_id == bad["id"]]
    assert (row.state, row.error, row.next_try_at) == ("applied", None, None)
    booked = {one.intent_id: one.counted for one in await paydue.payments(crowded)}
    assert booked[bad["data"]["object"]["id"]] == 5


async def test_an_event_that_still_fails_does_not_keep_the_next_one_from_its_turn(
    paydue: Paydue,
) -> None:
    crowded, other = await invoices_in_yen(paydue)
    bad, _ = await against_a_constraint(paydue, crowded)
    early = await paydue.own_intent(other, amount=10, currency="jpy")
    refund = {
        "id": "re_early", "object": "refund", "amount": 4, "currency": "jpy",
        "status": "succeeded", "payment_intent": early["id"], "charge": None,
    }  # fmt: skip
    await paydue.deliver(bad, event("refund.created", refund), event(SUCCEEDED, early))

    done = await paydue.replay()

    assert (done.applied, done.parked) == (1, 1)
    assert (await paydue.invoice(other)).amountpaid == 6


async def test_an_event_that_never_could_be_applied_is_left_to_a_person(paydue: Paydue) -> None:
    crowded, _ = await invoices_in_yen(paydue)
    bad, _ = await against_a_constraint(paydue, crowded)
    await paydue.deliver(bad)

    tries = len(RETRY_DELAYS) + 1
    outcomes = [await paydue.replay(later=timedelta(days=2 * day)) for day in range(1, tries + 1)]

    # The arrival was the first try.
    assert [one.parked for one in outcomes] == [1] * (len(RETRY_DELAYS) - 1) + [0, 0]
    assert [one.dead for one in outcomes] == [0] * (len(RETRY_DELAYS) - 1) + [1, 0]
    (row,) = [row for row in await paydue.events() if row.event_id == bad["id"]]
    assert (row.state, row.next_try_at, SAID in row.error) == ("dead", None, True)


# --- what the tests are made of --------------------------------------------------------------


async def invoices_in_yen(paydue: Paydue) -> tuple[int, int]:
    return (
        await paydue.an_invoice("5", currency_iso="jpy"),
        await paydue.an_invoice("500", currency_iso="jpy"),
    )


async def at_once(paydue: Paydue, *events: Mapping[str, Any]) -> set[int]:
    """The statuses of events that arrive together and so share a batch."""
    return set(await asyncio.gather(*(post(paydue, one) for one in events)))


async def post(paydue: Paydue, told: Mapping[str, Any]) -> int:
    body = orjson.dumps(told)
    headers = {"Stripe-Signature": signed(body)}
    async with paydue.http.post("/stripe/webhook", data=body, headers=headers) as answer:
        return answer.status


async def run(paydue: Paydue, *statements: str) -> None:
    async with paydue.database.transaction() as tx:
        for one in statements:
            await tx.execute(text(one))
