"""GET /Payout and GET /BalanceTransaction: bookkeeping reads what the bank got, and for whom."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from app.storage.column_types import table_of
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_payouts import BalanceTransaction, StripePayout
from app.storage.tables.stripe_reversals import StripeReversal
from tests.api.client import Api
from tests.clock import NOW

pytestmark = pytest.mark.anyio

PAYOUTS = table_of(StripePayout)
TRANSACTIONS = table_of(BalanceTransaction)
PAYMENTS = table_of(InvoicePayment)
REVERSALS = table_of(StripeReversal)
INTENTS = table_of(StripePayment)
MADE = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


async def rows(api: Api, table: Any, *values: dict[str, Any]) -> None:
    async with api.database.transaction() as tx:
        await tx.execute(insert(table), list(values))


def a_payout(payout_id: str, amount: str, day: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "payout_id": payout_id, "status": "paid", "amount": Decimal(amount), "automatic": True,
        "currency_iso": "usd", "arrival_date": date(2026, 3, day), "created_at": MADE, **more,
    }  # fmt: skip


def a_transaction(transaction_id: str, amount: str, fee: str = "0", **more: Any) -> dict[str, Any]:
    return {
        "transaction_id": transaction_id, "type": "charge", "currency_iso": "usd",
        "amount": Decimal(amount), "fee": Decimal(fee), "net": Decimal(amount) - Decimal(fee),
        "created_at": MADE, "available_at": MADE, "source_id": None, "payout_id": None,
        "description": None, "exchange_rate": None, **more,
    }  # fmt: skip


async def a_payment(api: Api, charge: str) -> tuple[int, str]:
    """An invoice of a client that a charge paid: its id, and the PaymentIntent's."""
    client = await api.post("/api/Client", {"name": f"Client of {charge}"})
    line = {"item_shortdescription": "Support", "qty_order": 1, "unit_price": 120}
    invoice = await api.post("/api/Invoice", {"client_id": client["id"], "lines": [line]})
    intent = {
        "intent_id": f"pi_{charge}", "state": 5, "state_at": NOW, "amount": Decimal(120),
        "currency_iso": "usd", "charge_id": charge, "client_id": client["id"],
    }  # fmt: skip
    await rows(api, INTENTS, intent)
    await rows(api, PAYMENTS, a_share(invoice["id"], client["id"], intent["intent_id"], 120))
    return invoice["id"], intent["intent_id"]


def a_share(invoice: int | None, client: int | None, intent: str, amount: int) -> dict[str, Any]:
    return {
        "invoice_id": invoice, "client_id": client, "date": NOW, "amount": Decimal(amount),
        "intent_id": intent, "counted": Decimal(amount),
    }  # fmt: skip


async def test_a_payout_is_listed_and_read_with_the_sums_of_its_lines(api: Api) -> None:
    await rows(api, PAYOUTS, a_payout("po_1", "193.60"), a_payout("po_2", "-5", 3, status="failed"))
    await rows(
        api, TRANSACTIONS,
        a_transaction("txn_1", "120", "3.78", source_id="ch_1", payout_id="po_1"),
        a_transaction("txn_2", "80", "2.62", source_id="ch_2", payout_id="po_1"),
        a_transaction("txn_3", "-193.60", source_id="po_1", payout_id="po_1", type="payout"),
    )  # fmt: skip

    listed = await api.get("/api/Payout", order="arrival_date")
    one = await api.get(f"/api/Payout/{listed['payouts'][0]['id']}")

    first, second = listed["payouts"]
    assert one == first == {
        "id": first["id"], "payout_id": "po_1", "status": "paid", "amount": Decimal("193.6"),
        "currency_iso": "usd", "automatic": True, "arrival_date": "2026-03-02T00:00:00",
        "created_at": "2026-03-02T09:30:00",
        "lines": 2, "gross": 200, "fee": Decimal("6.4"), "net": Decimal("193.6"),
    }  # fmt: skip
    assert (second["amount"], second["lines"], second["net"]) == (-5, 0, 0)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"payout_id": "po_2"}, ["po_2"]),
        ({"payout_id": "po_9"}, []),
        ({"status": "failed"}, ["po_3"]),
        ({"currency_iso": "eur"}, ["po_2"]),
        ({"start_date": "2026-03-03"}, ["po_2", "po_3"]),
        ({"end_date": "2026-03-03"}, ["po_1", "po_2"]),
        ({"pageinate": "true", "page_size": "1", "page_no": "2"}, ["po_2"]),
    ],
)
async def test_payouts_are_filtered(api: Api, params: dict[str, str], found: list[str]) -> None:
    await rows(
        api, PAYOUTS,
        a_payout("po_1", "1", 2),
        a_payout("po_2", "1", 3, currency_iso="eur"),
        a_payout("po_3", "1", 4, status="failed"),
    )  # fmt: skip

    listed = await api.get("/api/Payout", **params)

    assert [one["payout_id"] for one in listed["payouts"]] == found


async def test_a_payouts_lines_name_their_payment_client_and_invoices(api: Api) -> None:
    invoice, intent = await a_payment(api, "ch_1")
    shown = await api.get(f"/api/Invoice/{invoice}")
    await rows(api, REVERSALS, {
        "id": "re_1", "kind": "refund", "intent_id": intent, "amount": Decimal(20),
        "status": "succeeded",
    })  # fmt: skip
    rate = "0.92400003"
    await rows(
        api, TRANSACTIONS,
        a_transaction("txn_1", "120", "3.78", source_id="ch_1", payout_id="po_1",
                      exchange_rate=rate, description="Invoice 1"),
        a_transaction("txn_2", "-20", source_id="re_1", payout_id="po_1", type="refund"),
        a_transaction("txn_3", "-5", payout_id="po_1", type="stripe_fee"),
        a_transaction("txn_4", "120", source_id="ch_other", payout_id="po_2"),
    )  # fmt: skip

    listed = await api.get("/api/BalanceTransaction", payout_id="po_1")

    charge, refund, fee = listed["balance_transactions"]
    payment = {
        "intent_id": intent, "client_id": shown["client_id"], "client_name": "Client of ch_1",
        "invoices": [{"id": invoice, "invoicenumber": shown["invoicenumber"]}],
    }  # fmt: skip
    assert charge == {
        "id": charge["id"], "transaction_id": "txn_1", "type": "charge", "source_id": "ch_1",
        "currency_iso": "usd", "amount": 120, "fee": Decimal("3.78"), "net": Decimal("116.22"),
        "exchange_rate": rate, "description": "Invoice 1", "payout_id": "po_1",
        "created_at": "2026-03-02T09:30:00", "available_at": "2026-03-02T09:30:00", **payment,
    }  # fmt: skip
    assert refund.items() >= payment.items()
    assert not fee.keys() & payment.keys()
    assert await api.get(f"/api/BalanceTransaction/{charge['id']}") == charge


async def test_a_line_names_every_invoice_that_its_payment_is_for(api: Api) -> None:
    invoice, intent = await a_payment(api, "ch_1")
    line = {"item_shortdescription": "Support", "qty_order": 1, "unit_price": 40}
    other = await api.post("/api/Invoice", {"lines": [line]})
    await rows(
        api, PAYMENTS, a_share(other["id"], None, intent, 40), a_share(None, None, intent, 5)
    )
    await rows(api, TRANSACTIONS, a_transaction("txn_1", "165", "5.09", source_id="ch_1"))

    listed = await api.get("/api/BalanceTransaction", intent_id=intent)

    (one,) = listed["balance_transactions"]
    assert sorted(shown["id"] for shown in one["invoices"]) == [invoice, other["id"]]
    assert one["client_name"] == "Client of ch_1"


async def test_the_movements_of_one_payment_are_found_by_its_intent(api: Api) -> None:
    _, intent = await a_payment(api, "ch_1")
    await a_payment(api, "ch_2")
    reversal = {"intent_id": intent, "amount": Decimal(20), "status": "succeeded"}
    await rows(
        api, REVERSALS,
        {"id": "re_1", "kind": "refund", **reversal},
        {"id": "ch_1", "kind": "charge", **reversal},
    )  # fmt: skip
    await rows(
        api, TRANSACTIONS,
        a_transaction("txn_1", "120", source_id="ch_1"),
        a_transaction("txn_2", "-20", source_id="re_1"),
        a_transaction("txn_3", "120", source_id="ch_2"),
        a_transaction("txn_4", "-1"),
    )  # fmt: skip

    async def found(**params: str) -> list[str]:
        listed = await api.get("/api/BalanceTransaction", **params)
        return [one["transaction_id"] for one in listed["balance_transactions"]]

    assert await found(intent_id=intent) == ["txn_1", "txn_2"]
    assert await found(intent_id="pi_of_nobody") == []
    assert await found(source_id="ch_2") == ["txn_3"]


@pytest.mark.parametrize("path", ["Payout", "BalanceTransaction"])
async def test_they_are_only_read(api: Api, path: str) -> None:
    answers = [
        await api.send("POST", f"/api/{path}", json=[{}]),
        await api.send("DELETE", f"/api/{path}/1"),
    ]

    assert [one.status for one in answers] == [405, 405]
    assert (await api.send("GET", f"/api/{path}/1")).status == 404
