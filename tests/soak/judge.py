"""The judge: what was acknowledged is stored and applied once, and the books are Stripe's."""

from collections import Counter
from decimal import Decimal

from sqlalchemy import func, select

from app.ledger import audit_chain, journal_check
from app.payments.webhook.event_types import HANDLERS
from app.rules import money
from app.rules.attempt import UNRESOLVED
from app.rules.payment import PaymentState
from app.sandbox.server import Sandbox
from app.storage.engines import Database, Tx
from app.storage.tables.stripe_events import EventState
from tests.harness import ATTEMPTS, EVENTS, INTENTS, INVOICES, PAYMENTS
from tests.soak.deliveries import AMOUNT_MINOR, Deliveries

SHOWN = 5


async def faults_found(
    url: str, load: Deliveries, sandbox: Sandbox, sandbox_acknowledged: set[str]
) -> list[str]:
    """Each sentence is money or an event that is not as it should be; none is what is hoped for."""
    database = Database(url)
    try:
        async with database.snapshot() as tx:
            return [
                *await _lost_events(tx, load, sandbox_acknowledged),
                *await _wrong_payments(tx, load, sandbox),
                *_double_charges(sandbox),
                *await _wrong_invoices(tx),
                *await _unended_attempts(tx),
                *(str(one) for one in await journal_check.list_differences(tx)),
                *(await audit_chain.verify(tx, None)).faults,
            ]
    finally:
        await database.close()


async def is_restless(tx: Tx) -> bool:
    """Whether an invoice is due, an attempt has no end, or an event waits to be tried again."""
    parked = EVENTS.c.state == EventState.PARKED
    waiting = await tx.scalar(select(func.count()).select_from(EVENTS).where(parked))
    return bool(waiting or await _uncharged(tx) or await _unended_attempts(tx))


async def count_events(url: str) -> int:
    database = Database(url)
    async with database.snapshot() as tx:
        found = int(await tx.scalar(select(func.count()).select_from(EVENTS)) or 0)
    await database.close()
    return found


async def _lost_events(tx: Tx, load: Deliveries, of_sandbox: set[str]) -> list[str]:
    columns = (EVENTS.c.event_id, EVENTS.c.type, EVENTS.c.state)
    stored = {row.event_id: row for row in await tx.execute(select(*columns))}
    acknowledged = load.acknowledged.keys() | of_sandbox
    lost = sorted(acknowledged - stored.keys())
    idle = sorted(
        f"{one.event_id} {one.type} {one.state}"
        for one in stored.values()
        if one.state != EventState.APPLIED and one.type in HANDLERS
    )
    return [
        *_said("acknowledged and not stored", lost),
        *_said("stored and not applied", [one for one in idle if "ignored" not in one]),
    ]


async def _wrong_payments(tx: Tx, load: Deliveries, sandbox: Sandbox) -> list[str]:
    """Each PaymentIntent that succeeded is booked once, with Stripe's amount, and no other is."""
    expected = dict.fromkeys(load.acknowledged.values(), AMOUNT_MINOR)
    for taken in sandbox.ledger.charges():
        expected[taken.payment_intent] = taken.amount
    columns = (INTENTS.c.intent_id, INTENTS.c.amount, INTENTS.c.currency_iso)
    succeeded = INTENTS.c.state == PaymentState.SUCCEEDED
    rows = list(await tx.execute(select(*columns).where(succeeded)))
    booked = {row.intent_id: money.to_minor(row.amount, row.currency_iso) for row in rows}
    wrong = [one for one in expected if booked.get(one) != expected[one]]
    twice = [one for one, count in Counter(row.intent_id for row in rows).items() if count > 1]
    unknown = sorted(booked.keys() - expected.keys())
    return [
        *_said("paid at Stripe and booked otherwise", wrong),
        *_said("booked twice", twice),
        *_said("booked and never paid", unknown),
    ]


def _double_charges(sandbox: Sandbox) -> list[str]:
    return _said("invoices charged twice", sorted(sandbox.ledger.double_charges()))


async def _wrong_invoices(tx: Tx) -> list[str]:
    rows = list(await tx.execute(select(PAYMENTS.c.invoice_id, PAYMENTS.c.counted)))
    nobodys = [f"a payment of {row.counted}" for row in rows if row.invoice_id is None]
    sums: dict[int, Decimal] = {}
    for row in rows:
        sums[row.invoice_id] = sums.get(row.invoice_id, Decimal(0)) + row.counted
    invoices = list(await tx.execute(select(INVOICES.c.id, INVOICES.c.amountpaid)))
    wrong = [str(row.id) for row in invoices if row.amountpaid != sums.get(row.id, Decimal(0))]
    return [
        *_said("applied to no invoice", nobodys),
        *_said("invoices whose sum is not that of their payments", wrong),
        *await _uncharged(tx),
    ]


async def _uncharged(tx: Tx) -> list[str]:
    due = INVOICES.c.take_auto_payment & (INVOICES.c.amountdue > 0)
    rows = await tx.execute(select(INVOICES.c.id).where(due))
    return _said("invoices that were due and are not charged", [str(row.id) for row in rows])


async def _unended_attempts(tx: Tx) -> list[str]:
    statement = select(ATTEMPTS.c.id, ATTEMPTS.c.state).where(ATTEMPTS.c.state.in_(UNRESOLVED))
    return _said(
        "attempts without an end", [str(tuple(row)) for row in await tx.execute(statement)]
    )


def _said(what: str, found: list[str]) -> list[str]:
    if not found:
        return []
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return [f"{len(found)} {what}: {', '.join(found[:SHOWN])}{more}"]
