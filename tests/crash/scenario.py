"""Much at once: thirteen invoices, two days, and what must have become of them in the end."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select

from app.ledger import assignment
from app.ledger.assignment import ManualPayment
from app.sandbox.server import Sandbox
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice

CLIENTS, INVOICES, PAYMENTS = table_of(Client), table_of(Invoice), table_of(InvoicePayment)

SOFT = ["insufficient_funds", "succeed"]
# Clients by id: their card's behaviour. Client 4's card is known to Stripe only.
BEHAVIOUR: dict[int, list[str]] = {
    1: ["succeed"],
    2: SOFT,
    3: SOFT,
    4: ["stolen_card"],
    5: ["authentication_required"],
    6: ["bank_debit_succeeds"],
    7: SOFT,
    8: ["succeed"],
    9: SOFT,
}
# All that these owe on a day is one charge.
CONSOLIDATES = (8, 9)
# Invoices by id: their client.
PAYS, PAYS_TOO, RETRIED, PART_PAID, STOLEN, NEEDS_3DS, DEBIT, PAID_BY_HAND = range(1, 9)
TOGETHER = (9, 10, 11)
TOGETHER_RETRIED = (12, 13)
CLIENT_OF = {
    PAYS: 1, PAYS_TOO: 1, RETRIED: 2, PART_PAID: 3, STOLEN: 4, NEEDS_3DS: 5, DEBIT: 6,
    PAID_BY_HAND: 7, **dict.fromkeys(TOGETHER, 8), **dict.fromkeys(TOGETHER_RETRIED, 9),
}  # fmt: skip
# Declined on the first day; the others are due on the second.
EARLIER = (RETRIED, PART_PAID, PAID_BY_HAND, *TOGETHER_RETRIED)
BY_HAND = {PART_PAID: Decimal(20), PAID_BY_HAND: Decimal(120)}
TOTAL = Decimal(120)

# What the undisturbed day ends with, before Stripe's events come and after.
ATTEMPTS = {
    PAYS: ["succeeded"],
    PAYS_TOO: ["succeeded"],
    RETRIED: ["declined", "succeeded"],
    PART_PAID: ["declined", "succeeded"],
    STOLEN: ["declined"],
    NEEDS_3DS: ["declined"],
    DEBIT: ["processing"],
    PAID_BY_HAND: ["declined"],
    TOGETHER[0]: ["succeeded"],
    TOGETHER_RETRIED[0]: ["declined", "succeeded"],
}
ATTEMPTS_AFTER = {**ATTEMPTS, DEBIT: ["succeeded"]}
# By the invoice that an intent names; one of several names the first.
TAKEN = {
    PAYS: 12000, PAYS_TOO: 12000, RETRIED: 12000, PART_PAID: 10000,
    TOGETHER[0]: 36000, TOGETHER_RETRIED[0]: 24000,
}  # fmt: skip
TAKEN_AFTER = {**TAKEN, DEBIT: 12000}
PAID = dict.fromkeys(
    (PAYS, PAYS_TOO, RETRIED, PART_PAID, PAID_BY_HAND, *TOGETHER, *TOGETHER_RETRIED), 120
)
PAID_AFTER = {**PAID, DEBIT: 120}
# One for each invoice that is charged alone, one more for the smaller amount of the part-paid one,
# one for the charge of three, and two for the charge of two: a retry has an intent of its own.
INTENTS = 12
SESSIONS_OPEN = 0


def first_day() -> date:
    return datetime.now(UTC).date()


def second_day() -> date:
    return first_day() + timedelta(days=1)


def a_stripe() -> Sandbox:
    """With every client's customer and card."""
    sandbox = Sandbox(seed=0)
    for client, behaviour in BEHAVIOUR.items():
        sandbox.add_customer(f"cus_{client}", payment_method=f"pm_{client}", behaviour=behaviour)
    return sandbox


async def write_books(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(insert(CLIENTS), [client(one) for one in BEHAVIOUR])
        await tx.execute(insert(INVOICES), [invoice(one) for one in CLIENT_OF])


def client(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"Client {number}",
        "inactive": False,
        "stripe_customer_id": f"cus_{number}",
        "stripe_payment_method_id": None if number == 4 else f"pm_{number}",
        "consolidate": number in CONSOLIDATES,
    }


def invoice(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "client_id": CLIENT_OF[number],
        "invoicenumber": f"INV-{number}",
        "invoice_date": datetime.now(UTC),
        "duedate": first_day() if number in EARLIER else second_day(),
        "total": TOTAL,
        "amountdue": TOTAL,
        "take_auto_payment": True,
    }


async def pay_by_hand(database: Database) -> None:
    now = datetime.now(UTC)
    entries = [ManualPayment(invoice, amount, now) for invoice, amount in BY_HAND.items()]
    async with database.transaction() as tx:
        await assignment.enter_manual(tx, entries, now=now, who="somebody")


async def books(database: Database) -> dict[str, Any]:
    """What the database says about money now."""
    from app.storage.tables.charge_attempts import ChargeAttempt
    from app.storage.tables.stripe_events import StripeEvent

    attempts, events = table_of(ChargeAttempt), table_of(StripeEvent)
    async with database.snapshot() as tx:
        invoices = (await tx.execute(select(INVOICES).order_by(INVOICES.c.id))).all()
        tries = (await tx.execute(select(attempts).order_by(attempts.c.id))).all()
        payments = (await tx.execute(select(PAYMENTS).order_by(PAYMENTS.c.id))).all()
        kept = (await tx.execute(select(events).order_by(events.c.id))).all()
    return {
        "paid": {row.id: str(row.amountpaid) for row in invoices},
        "due": {row.id: str(row.amountdue) for row in invoices},
        "pending": {row.id: row.payments_pending for row in invoices},
        "reversed": {row.id: row.payments_reversed for row in invoices},
        "attempts": [[row.invoice_id, row.number, row.state] for row in tries],
        "leased": [row.id for row in tries if row.lease_until is not None],
        "payments": {
            row.intent_id or f"by hand {row.id}": [row.invoice_id, row.state, str(row.counted)]
            for row in payments
        },
        "events": {row.event_id: row.state for row in kept},
    }
