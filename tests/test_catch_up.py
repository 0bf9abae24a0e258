"""A run knows all that Stripe knows before it charges: after a pause, and after a restore too."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from app.payments.reconciliation.cursor import COMPLETED, CURSOR, EPOCH
from app.payments.stripe.gateway import NoAnswer
from app.storage.column_types import table_of
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.invoices import InvoiceChange
from app.storage.tables.stripe_payments import StripePayment
from tests.harness import ATTEMPTS, CLIENTS, EVENTS, INVOICES, PAYMENTS, Paydue, today
from tests.test_reconcile import a_payment, a_session, stripe

pytestmark = pytest.mark.anyio

FACTS = table_of(InstallationValue)
CHANGES = table_of(InvoiceChange)
STRIPE_PAYMENTS = table_of(StripePayment)
TOMORROW = today() + timedelta(days=1)
KEYS_LAST = 25 * 3600


# --- events that are still on their way ------------------------------------------------------


async def test_an_invoice_paid_a_moment_ago_is_not_charged(paydue: Paydue, stripe_url: str) -> None:
    await paydue.reconcile()
    invoice = await paydue.an_invoice("120.00")
    await a_payment(paydue, stripe_url, invoice)

    report = await paydue.autopay()

    assert report["charged"] == []
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}


async def test_an_invoice_paid_by_a_guest_a_moment_ago_is_not_charged(
    paydue: Paydue, stripe_url: str
) -> None:
    await paydue.reconcile()
    invoice = await paydue.an_invoice("120.00")
    paydue.sandbox.complete_checkout(await a_session(stripe_url, client_reference_id=str(invoice)))

    report = await paydue.autopay()

    assert report["charged"] == []
    assert len(paydue.sandbox.ledger.charges()) == 1


@pytest.mark.parametrize("call", ["GET /v1/events", "GET /v1/payment_intents", "GET /v1/refunds"])
async def test_nothing_is_charged_while_stripe_cannot_be_read(paydue: Paydue, call: str) -> None:
    invoice = await paydue.an_invoice()
    paydue.sandbox.fault(call, kind="status", status=503, times=50)

    with pytest.raises(NoAnswer, match="nothing was charged"):
        await paydue.autopay()

    assert paydue.sandbox.ledger.charges() == []
    assert await paydue.attempts(invoice) == []
    paydue.sandbox.clear_faults()
    assert len((await paydue.autopay())["charged"]) == 1


async def test_a_run_that_is_stopped_while_it_waits_reads_stripe_no_second_time(
    paydue: Paydue,
) -> None:
    stop, asked = asyncio.Event(), []

    async def unanswered() -> None:
        asked.append("events")
        asyncio.get_running_loop().call_soon(stop.set)
        raise NoAnswer("a cut connection")

    run = replace(paydue.node.autopay(), catch_up=unanswered, stop=stop)

    with pytest.raises(NoAnswer, match="nothing was charged"):
        await run.run()
    assert asked == ["events"]


# --- after a gap -----------------------------------------------------------------------------


async def test_after_hours_without_a_pass_everything_is_read_first(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await an_older_invoice(paydue)
    await paydue.reconcile()
    paydue.sandbox.clock.advance(-10 * 86400)
    await a_payment(paydue, stripe_url, invoice)
    paydue.sandbox.clock.advance(10 * 86400)
    paydue.sandbox.forget_events()

    await last_pass(paydue, datetime.now(UTC) - timedelta(hours=3, minutes=1))
    report = await paydue.autopay()

    assert report["charged"] == []
    assert paydue.sandbox.ledger.net_by_invoice() == {str(invoice): 12000}


async def test_within_hours_of_a_complete_pass_only_events_are_read(paydue: Paydue) -> None:
    await paydue.reconcile()
    await last_pass(paydue, datetime.now(UTC) - timedelta(hours=2, minutes=50))
    paydue.sandbox.requests.clear()

    await paydue.autopay()

    paths = {one.path for one in paydue.sandbox.requests}
    assert paths - {"/v1/account"} == {"/v1/events"}


async def test_a_complete_pass_before_a_run_is_a_pass_like_any_other(paydue: Paydue) -> None:
    before = datetime.now(UTC)

    await paydue.autopay()

    completed = await fact(paydue, COMPLETED)
    assert completed is not None
    assert datetime.fromisoformat(completed) >= before


# --- after a restore -------------------------------------------------------------------------


@pytest.mark.parametrize("events", ["kept", "gone"])
@pytest.mark.parametrize("cursor", ["none", "old", "young"])
async def test_a_restored_copy_charges_nothing_again_when_the_keys_have_expired(
    paydue: Paydue, events: str, cursor: str
) -> None:
    invoices = [await an_older_invoice(paydue) for _ in range(3)]
    later = await paydue.an_invoice(due=TOMORROW)
    assert len((await paydue.autopay(today()))["charged"]) == 3

    await restored(paydue, cursor=cursor if events == "kept" else "old")
    paydue.sandbox.clock.advance(KEYS_LAST)
    if events == "gone":
        paydue.sandbox.forget_events()
    report = await paydue.autopay(TOMORROW)

    assert [one["invoice_id"] for one in report["charged"]] == [later]
    assert paydue.sandbox.ledger.double_charges() == {}
    assert len(paydue.sandbox.ledger.charges()) == 4
    assert [(await paydue.invoice(one)).amountdue for one in invoices] == [0, 0, 0]


async def test_attempts_of_before_the_restore_are_known_again_with_their_verdicts(
    paydue: Paydue,
) -> None:
    stolen = await paydue.an_invoice(client=await paydue.a_client("stolen_card"))
    await paydue.an_invoice()
    await paydue.autopay(today())
    before = [await paydue.attempts(one) for one in (1, 2)]
    assert before[0][0].reason == "stolen_card: the card network forbids another try"

    await restored(paydue)
    await paydue.autopay(today())

    after = [await paydue.attempts(one) for one in (1, 2)]
    names = (
        "invoice_id number state step amount_minor currency customer_id payment_method_id"
        " intent_id charge_id code decline_code advice_code reason next_try_on"
    ).split()
    for old, new in zip(before, after, strict=True):
        (was,), (now) = old, new
        assert [[getattr(one, name) for name in names] for one in now] == [
            [getattr(was, name) for name in names]
        ]
    assert (await paydue.attempts(stolen))[0].next_try_on is None
    confirms = [one for one in paydue.sandbox.requests if one.path.endswith("/confirm")]
    assert len(confirms) == 2


async def test_a_restore_begins_an_epoch_whose_keys_no_earlier_life_has_used(
    paydue: Paydue,
) -> None:
    await paydue.an_invoice()
    await paydue.autopay(today())
    await restored(paydue)
    other = await paydue.an_invoice()

    await paydue.autopay(today())
    await paydue.autopay(today())

    assert await fact(paydue, EPOCH) == "1"
    prefix = f"paydue-{paydue.node.installation}"
    sent = [one.idempotency_key for one in paydue.sandbox.requests if one.method == "POST"]
    assert sent == [
        f"{prefix}-inv-1-att-1-create1",
        f"{prefix}-inv-1-att-1-confirm",
        f"{prefix}-e1-inv-{other}-att-1-create1",
        f"{prefix}-e1-inv-{other}-att-1-confirm",
    ]


async def test_a_new_invoice_gets_no_id_that_stripe_has_heard_of(paydue: Paydue) -> None:
    invoices = [await paydue.an_invoice() for _ in range(3)]
    await paydue.autopay(today())
    await restored(paydue)
    await without_invoices_after(paydue, invoices[0])

    await paydue.autopay(today())

    new = await paydue.an_invoice("50.00")
    assert new == invoices[2] + 1
    await paydue.autopay(today())
    assert (await paydue.invoice(new)).amountpaid == 50
    assert paydue.sandbox.ledger.double_charges() == {}


async def test_an_invoice_whose_amount_changed_after_a_restore_is_not_charged_again(
    paydue: Paydue,
) -> None:
    invoice = await paydue.an_invoice("100.00")
    await paydue.autopay(today())
    await restored(paydue)
    async with paydue.database.transaction() as tx:
        await tx.execute(update(INVOICES).values(total=50, amountdue=50))

    await paydue.autopay(today())

    assert [one.amount for one in paydue.sandbox.ledger.charges()] == [10000]
    assert (await paydue.invoice(invoice)).amountdue == 0


async def test_attempts_of_another_installation_are_not_ours(
    paydue: Paydue, stripe_url: str
) -> None:
    invoice = await paydue.an_invoice("120.00")
    customer = (await client_of(paydue, invoice)).stripe_customer_id
    await stripe(
        stripe_url, "/v1/payment_intents", amount="12000", currency="usd", customer=customer,
        **{"metadata[invoice_id]": str(invoice), "metadata[attempt]": "1",
           "metadata[paydue_installation]": "another"},
    )  # fmt: skip

    report = await paydue.autopay()

    assert len(report["charged"]) == 1
    assert await fact(paydue, EPOCH) is None
    assert [one.state for one in await paydue.attempts(invoice)] == ["succeeded"]


# --- adopting --------------------------------------------------------------------------------

MISFITS = {
    "another amount": {"amount": "5000"},
    "another currency": {"currency": "eur"},
    "another customer": {"customer": "cus_other"},
    "another installation": {"metadata[paydue_installation]": "another"},
}


@pytest.mark.parametrize("misfit", MISFITS.values(), ids=MISFITS)
async def test_an_intent_is_adopted_only_when_it_takes_the_very_money_of_the_attempt(
    paydue: Paydue, stripe_url: str, misfit: dict[str, str]
) -> None:
    invoice = await paydue.an_invoice("120.00")
    paydue.sandbox.fault("POST /v1/payment_intents", kind="drop", when="before", times=50)
    await paydue.autopay()
    paydue.sandbox.clear_faults()
    (attempt,) = await paydue.attempts(invoice)
    paydue.sandbox.add_customer("cus_other", payment_method="pm_other")
    given = {
        "amount": "12000", "currency": "usd", "customer": attempt.customer_id,
        "metadata[invoice_id]": str(invoice), "metadata[attempt]": "1",
        "metadata[paydue_installation]": paydue.node.installation,
    } | misfit  # fmt: skip
    other = (await stripe(stripe_url, "/v1/payment_intents", **given))["id"]
    await age(paydue, timedelta(hours=24))

    await paydue.autopay()

    (charge,) = paydue.sandbox.ledger.charges()
    assert (charge.amount, charge.payment_intent != other) == (12000, True)
    assert (await paydue.invoice(invoice)).amountdue == 0


# --- what the tests are made of --------------------------------------------------------------


async def an_older_invoice(paydue: Paydue) -> int:
    """An invoice made long before it falls due today."""
    return await paydue.an_invoice(date_created=datetime.now(UTC) - timedelta(days=40))


async def last_pass(paydue: Paydue, moment: datetime) -> None:
    async with paydue.database.transaction() as tx:
        await tx.execute(
            update(FACTS)
            .where(FACTS.c.name.in_([CURSOR, COMPLETED]))
            .values(value=moment.isoformat())
        )


async def restored(paydue: Paydue, *, cursor: str = "young") -> None:
    """The database as an older copy: nothing of what was charged has happened yet."""
    moment = {"old": timedelta(days=5), "young": timedelta(minutes=10), "none": None}[cursor]
    async with paydue.database.transaction() as tx:
        for table in (CHANGES, PAYMENTS, STRIPE_PAYMENTS, ATTEMPTS, EVENTS):
            await tx.execute(delete(table))
        await tx.execute(
            update(INVOICES).values(
                amountpaid=0, amountdue=INVOICES.c.total, datepaid=None,
                paymentstatus=0,
            )
        )  # fmt: skip
        await tx.execute(delete(FACTS).where(FACTS.c.name.in_([CURSOR, COMPLETED, EPOCH])))
        if moment is not None:
            value = (datetime.now(UTC) - moment).isoformat()
            rows = [{"name": name, "value": value} for name in (CURSOR, COMPLETED)]
            await tx.execute(insert(FACTS), rows)


async def without_invoices_after(paydue: Paydue, last: int) -> None:
    """The copy is of a time when these invoices had not been made."""
    if paydue.database.is_sqlite:
        reset = f"UPDATE sqlite_sequence SET seq = {last} WHERE name = 'invoice'"
    else:
        reset = f"SELECT setval(pg_get_serial_sequence('invoice', 'id'), {last})"
    async with paydue.database.transaction() as tx:
        await tx.execute(delete(INVOICES).where(INVOICES.c.id > last))
        await tx.execute(text(reset))


async def age(paydue: Paydue, span: timedelta) -> None:
    """As if the open attempt had been opened so much earlier, and its time to be asked had come."""
    then = datetime.now(UTC) - span
    async with paydue.database.transaction() as tx:
        await tx.execute(update(ATTEMPTS).values(created_at=then, check_at=then, lease_until=then))


async def fact(paydue: Paydue, name: str) -> str | None:
    async with paydue.database.snapshot() as tx:
        found: str | None = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == name))
        return found


async def client_of(paydue: Paydue, invoice: int) -> Any:
    (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == (await paydue.invoice(invoice)).client_id)
    return row
