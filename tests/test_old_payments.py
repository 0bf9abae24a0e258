"""A database of before migration 0003 keeps its money: each kind of payment, there and back."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, Table, insert, select

from app.ledger import balances
from app.rules.payment import PaymentState
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_payments import StripePayment

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
MILLIONTHS = 10**6
PAID, OWED = 1, 2

OLD: list[dict[str, Any]] = [
    {"id": 1, "invoice_id": PAID, "intent_id": "pi_ours", "attempt": 1, "state": 5, "status": 5,
     "counted": 100, "intent_response": "{}", "charge_id": "ch_1", "stripe_customer_id": "cus_1"},
    {"id": 2, "invoice_id": PAID, "intent_id": "pi_page", "state": 5, "status": 6,
     "counted": 60, "amount_refunded": 40, "webhook_event_id": "evt_2"},
    {"id": 3, "invoice_id": PAID, "intent_id": "pi_lost", "state": 5, "status": 9,
     "counted": 0, "amount_lost": 100},
    {"id": 4, "invoice_id": OWED, "intent_id": "pi_debit", "state": 2, "status": 2, "counted": 0,
     "check_at": NOW, "reason": "why"},
    {"id": 5, "invoice_id": None, "intent_id": "pi_stray", "state": 5, "status": 5,
     "counted": 100, "client_id": 1},
    {"id": 6, "invoice_id": None, "intent_id": "pi_early", "state": 5, "status": 5,
     "counted": 100, "claimed_invoice_id": 4711},
    {"id": 7, "invoice_id": None, "intent_id": "pi_none", "state": 5, "status": 5,
     "counted": 100, "claimed_invoice_id": 0},
    {"id": 8, "invoice_id": PAID, "intent_id": None, "state": 5, "status": 5, "counted": 100,
     "method": 0, "module_id": 0, "reference": "cheque"},
    {"id": 9, "invoice_id": OWED, "intent_id": "pi_failed", "state": 3, "status": 3, "counted": 0},
    {"id": 10, "invoice_id": OWED, "intent_id": "pi_gone", "state": 4, "status": 4, "counted": 0},
]  # fmt: skip


async def as_it_was(tx: Tx, name: str) -> Table:
    def load(connection: Connection) -> Table:
        return Table(name, MetaData(), autoload_with=connection)

    return await tx.run_sync(load)


def instant(database: Database, value: datetime | None) -> Any:
    if value is None or not database.is_sqlite:
        return value
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def old_row(database: Database, given: dict[str, Any]) -> dict[str, Any]:
    money = {
        name: given.get(name, 0) * MILLIONTHS
        for name in ("counted", "amount_refunded", "amount_lost")
    }
    moments = {name: instant(database, given.get(name)) for name in ("check_at",)}
    return {
        "client_id": None, "claimed_invoice_id": None, "attempt": None, "charge_id": None,
        "stripe_customer_id": None, "reason": None, "intent_response": None, "reference": None,
        "webhook_event_id": None, "method": 1, "module_id": 1, "type": 0, "posted": False,
        "disputed": False, "currency_iso": "usd", "amount": 100 * MILLIONTHS,
        "date": instant(database, NOW), "state_at": instant(database, NOW),
        **given, **money, **moments,
    }  # fmt: skip


async def filled(database: Database) -> None:
    await schema.downgrade(database, "0002")
    async with database.transaction() as tx:
        clients, invoices = await as_it_was(tx, "client"), await as_it_was(tx, "invoice")
        payments = await as_it_was(tx, "invoice_payment")
        names = {"name": "A", "inactive": False, "stripe_customer_id": "cus_1"}
        await tx.execute(insert(clients).values(id=1, **names))
        model = table_of(Invoice)
        for number in (PAID, OWED):
            values = {
                column.name: column.default.arg
                for column in model.c
                if column.default is not None
                and column.default.is_scalar
                and column.name in invoices.c
            }
            values = {
                name: int(one * MILLIONTHS) if isinstance(one, Decimal) else one
                for name, one in values.items()
            }
            await tx.execute(
                insert(invoices).values(
                    **{**values, "id": number, "client_id": 1, "total": 260 * MILLIONTHS,
                       "amountpaid": (260 if number == PAID else 0) * MILLIONTHS,
                       "amountdue": (0 if number == PAID else 260) * MILLIONTHS,
                       "invoice_date": instant(database, NOW)}
                )
            )  # fmt: skip
        for given in OLD:
            await tx.execute(insert(payments).values(**old_row(database, given)))


async def test_every_kind_of_payment_keeps_its_money_and_its_story(database: Database) -> None:
    await filled(database)

    await schema.upgrade(database)

    shares, intents = table_of(InvoicePayment), table_of(StripePayment)
    async with database.transaction() as tx:
        kept = {row.id: row for row in await tx.execute(select(shares))}
        known = {row.intent_id: row for row in await tx.execute(select(intents))}
        paid = {row.id: row.amountpaid for row in await tx.execute(select(table_of(Invoice)))}
        await balances.recompute(tx, [PAID, OWED], now=NOW, who="tests")
        again = {row.id: row.amountpaid for row in await tx.execute(select(table_of(Invoice)))}
    assert paid == again == {PAID: 260, OWED: 0}
    assert known.keys() == {one["intent_id"] for one in OLD if one["intent_id"]}
    for given in OLD:
        share = kept[given["id"]]
        assert (share.invoice_id, share.counted) == (given["invoice_id"], given["counted"])
        if given["intent_id"]:
            intent = known[given["intent_id"]]
            assert (intent.state, intent.amount) == (given["state"], 100)
            assert intent.reason == given.get("reason")
            assert intent.claimed_invoice_id == given.get("claimed_invoice_id")
    assert (known["pi_ours"].evidence, known["pi_page"].evidence) == ("attempt", "person")
    assert (known["pi_early"].evidence, known["pi_none"].evidence) == (None, "person")
    assert known["pi_debit"].check_at == NOW
    assert PaymentState(known["pi_debit"].state) == PaymentState.PROCESSING


async def test_going_back_gives_each_payment_its_one_row_again(database: Database) -> None:
    await filled(database)
    async with database.snapshot() as tx:
        payments = await as_it_was(tx, "invoice_payment")
        before = [dict(row._mapping) for row in await tx.execute(select(payments).order_by("id"))]

    await schema.upgrade(database)
    await schema.downgrade(database, "0002")

    async with database.snapshot() as tx:
        payments = await as_it_was(tx, "invoice_payment")
        after = [dict(row._mapping) for row in await tx.execute(select(payments).order_by("id"))]
    for row in (*before, *after):  # a payment by hand said nothing by this column
        if row["intent_id"] is None:
            row["state_at"] = None
    assert after == before


async def test_going_back_with_a_shared_intent_keeps_all_of_its_money(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(insert(table_of(Client)).values(id=1, name="A", inactive=False))
        invoices = [{"id": one, "client_id": 1, "total": 60, "amountpaid": 60} for one in (1, 2)]
        await tx.execute(insert(table_of(Invoice)), invoices)
        intent = {
            "intent_id": "pi_1", "state": 5, "state_at": NOW, "amount": 130, "currency_iso": "usd",
        }  # fmt: skip
        await tx.execute(insert(table_of(StripePayment)).values(intent))
        shares = [
            {
                "intent_id": "pi_1",
                "invoice_id": one,
                "amount": amount,
                "counted": amount,
                "date": NOW,
            }
            for one, amount in ((1, 60), (2, 60), (None, 10))
        ]
        await tx.execute(insert(table_of(InvoicePayment)), shares)

    await schema.downgrade(database, "0002")

    async with database.snapshot() as tx:
        payments = await as_it_was(tx, "invoice_payment")
        (row,) = (await tx.execute(select(payments))).all()
    assert (row.invoice_id, row.amount) == (2, 130 * MILLIONTHS)
