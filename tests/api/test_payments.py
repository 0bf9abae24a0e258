"""Payments: entered by hand, annotated, assigned, found, and shown with what Stripe said."""

import asyncio
from decimal import Decimal
from typing import Any

import orjson
import pytest
from sqlalchemy import insert

from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.stripe_events import StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from tests.api.client import Api
from tests.api.test_invoices import changes
from tests.api.test_lists import statements
from tests.clock import NOW

pytestmark = pytest.mark.anyio


async def booked(api: Api, intent_id: str, **values: Any) -> int:
    """A payment as a webhook would book it, with its event."""
    payload = {"id": f"evt_{intent_id}", "data": {"object": {"id": intent_id, "amount": 1000}}}
    event = {
        "event_id": payload["id"], "type": "payment_intent.succeeded", "created_at": NOW,
        "received_at": NOW, "payload": orjson.dumps(payload), "state": "applied",
    }  # fmt: skip
    async with api.database.transaction() as tx:
        await tx.execute(insert(StripeEvent).values(event))
        both = {
            "intent_id": intent_id, "amount": Decimal(10), "state": 5, "currency_iso": "usd",
            "state_at": NOW, "date": NOW, "counted": Decimal(10), "webhook_event_id": payload["id"],
            "webhook_received_date": NOW, **values,
        }  # fmt: skip
        for row in (StripePayment, InvoicePayment):
            own = {name: one for name, one in both.items() if name in row.__table__.c}
            made = await tx.scalar(insert(row).values(own).returning(row.id))
    assert made is not None
    return int(made)


async def test_a_payment_entered_by_hand_pays(api: Api) -> None:
    invoice = await api.invoice("10.10", client_id=await api.client())

    paid = await api.post(
        "/api/InvoicePayment",
        {"invoice_id": invoice["id"], "amount": 4.05, "reference": "cheque 7",
         "date": "2026-11-20", "xero_id": "x9"},
    )  # fmt: skip

    assert paid["amount"] == Decimal("4.05")
    assert paid["date"] == "2026-11-20T00:00:00"
    assert paid["reference"] == "cheque 7"
    assert paid["xero_id"] == "x9"
    assert paid["client_name"] == "Ada Ltd"
    assert paid["invoice_invoicenumber"] == invoice["invoicenumber"]
    assert paid == await api.get(f"/api/invoicepayment/{paid['id']}")
    after = await api.get(f"/api/Invoice/{invoice['id']}", includedetails="true")
    assert after["amountpaid"] == Decimal("4.05")
    assert after["amountdue"] == Decimal("6.05")
    assert after["paymentstatus"] == 1
    assert [one["id"] for one in after["payments"]] == [paid["id"]]


async def test_a_payment_is_answered_with_200_and_listed_as_a_bare_array(api: Api) -> None:
    invoice = await api.invoice(10)
    body = [{"invoice_id": invoice["id"], "amount": 1}]

    answer = await api.send("POST", "/api/InvoicePayment", json=body)

    assert answer.status == 200
    assert [one["id"] for one in await api.get("/api/InvoicePayment")] == [answer.json["id"]]
    paged = await api.get("/api/InvoicePayment", pageinate="true", page_no="2")
    assert paged == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"amount": "0.001"}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"invoice_id": None}, "invoice_id"),
        ({"invoice_id": 4711}, "4711"),
    ],
)
async def test_a_payment_that_cannot_be_meant_is_refused(
    api: Api, values: dict[str, Any], said: str
) -> None:
    invoice = await api.invoice(10)

    answer = await api.send(
        "POST", "/api/InvoicePayment", json=[{"invoice_id": invoice["id"], "amount": 1, **values}]
    )

    assert answer.status in (400, 404)
    assert said in answer.json["Message"]
    assert await api.get("/api/InvoicePayment") == []


async def test_ten_payments_at_once_all_count(api: Api) -> None:
    invoice = await api.invoice(10)
    body = {"invoice_id": invoice["id"], "amount": 1}

    await asyncio.gather(*(api.post("/api/InvoicePayment", body) for _ in range(10)))

    after = await api.get(f"/api/Invoice/{invoice['id']}")
    assert (after["amountpaid"], after["amountdue"], after["paymentstatus"]) == (10, 0, 2)


async def test_a_payment_can_be_annotated_but_its_facts_stay(api: Api) -> None:
    invoice = await api.invoice(10)
    paid = await api.post("/api/InvoicePayment", {"invoice_id": invoice["id"], "amount": 1})

    noted = await api.post("/api/InvoicePayment", {**paid, "reference": "found it", "qbo_id": 3})
    answer = await api.send("POST", "/api/InvoicePayment", json=[{"id": paid["id"], "amount": 2}])

    assert noted == {**paid, "reference": "found it", "qbo_id": 3}
    assert answer.status == 400
    assert answer.json["Message"].startswith("amount")
    told = [one[:3] for one in await changes(api, invoice["id"])]
    assert ("payments", None, f"{paid['id']}: 1") in told
    assert (f"payments[{paid['id']}].reference", None, "found it") in told
    assert (f"payments[{paid['id']}].qbo_id", None, "3") in told


async def test_a_payment_without_an_invoice_can_be_assigned(api: Api) -> None:
    invoice = await api.invoice(10)
    payment_id = await booked(api, "pi_stray")

    assigned = await api.post(
        "/api/InvoicePayment", {"id": payment_id, "invoice_id": invoice["id"]}
    )

    assert assigned["invoice_id"] == invoice["id"]
    assert (await api.get(f"/api/Invoice/{invoice['id']}"))["amountdue"] == 0


async def test_payments_move_between_invoices_in_one_batch(api: Api) -> None:
    one, two = await api.invoice(10), await api.invoice(10)
    a = await api.post("/api/InvoicePayment", {"invoice_id": one["id"], "amount": 3})
    b = await api.post("/api/InvoicePayment", {"invoice_id": two["id"], "amount": 4})

    await api.post(
        "/api/InvoicePayment",
        {"id": b["id"], "invoice_id": one["id"], "reference": "moved"},
        {"id": a["id"], "invoice_id": two["id"]},
    )

    assert (await api.get(f"/api/Invoice/{one['id']}"))["amountpaid"] == 4
    assert (await api.get(f"/api/Invoice/{two['id']}"))["amountpaid"] == 3
    assert (await api.get(f"/api/InvoicePayment/{b['id']}"))["reference"] == "moved"


async def test_one_intent_pays_several_invoices_and_never_more_than_it_has(api: Api) -> None:
    one, two, three = [await api.invoice(6) for _ in range(3)]
    await booked(api, "pi_1")

    def share(invoice: dict[str, Any], amount: int) -> dict[str, Any]:
        return {"invoice_id": invoice["id"], "amount": amount, "intent_id": "pi_1"}

    first = await api.post("/api/InvoicePayment", share(one, 6))
    second = await api.post("/api/InvoicePayment", share(two, 3))
    twice = await api.send("POST", "/api/InvoicePayment", json=[share(two, 1)])
    beyond = await api.send("POST", "/api/InvoicePayment", json=[share(three, 2)])

    shares = {
        (row.get("invoice_id"), row["amount"]) for row in await api.get("/api/InvoicePayment")
    }
    assert shares == {(one["id"], 6), (two["id"], 3), (None, 1)}
    assert {first["intent_id"], second["intent_id"]} == {"pi_1"}
    assert (twice.status, twice.json["Message"][:9]) == (400, "intent_id")
    assert (beyond.status, beyond.json["Message"][:6]) == (400, "amount")
    assert (await api.get(f"/api/Invoice/{two['id']}"))["amountdue"] == 3


async def test_an_intent_that_nobody_has_heard_of_pays_nothing_yet(api: Api) -> None:
    invoice = await api.invoice(10)

    claimed = await api.post(
        "/api/InvoicePayment", {"invoice_id": invoice["id"], "amount": 10, "intent_id": "pi_new"}
    )

    assert (claimed["invoice_id"], claimed["status"]) == (invoice["id"], 0)
    assert (await api.get(f"/api/Invoice/{invoice['id']}"))["amountdue"] == 10


async def test_more_than_is_due_becomes_the_clients_credit(api: Api) -> None:
    invoice = await api.invoice(10, client_id=await api.client())

    paid = await api.post("/api/InvoicePayment", {"invoice_id": invoice["id"], "amount": 12})

    after = await api.get(f"/api/Invoice/{invoice['id']}")
    assert (paid["amount"], after["amountpaid"], after["amountdue"]) == (10, 10, 0)
    (credit,) = [
        one
        for one in await api.get("/api/InvoicePayment", client_id=str(invoice["client_id"]))
        if "invoice_id" not in one
    ]
    assert credit["amount"] == 2


async def test_an_unknown_payment_is_a_404(api: Api) -> None:
    answer = await api.send("POST", "/api/InvoicePayment", json=[{"id": 4711, "reference": "x"}])

    assert answer.status == 404


async def test_a_payment_shows_what_stripe_said(api: Api) -> None:
    payment_id = await booked(api, "pi_1")

    shown = await api.get(f"/api/InvoicePayment/{payment_id}")

    assert orjson.loads(shown["intent_response"]) == {"id": "pi_1", "amount": 1000}
    assert orjson.loads(shown["webhook_payload"])["id"] == "evt_pi_1"
    assert shown["webhook_received_date"] == "2026-11-22T09:30:00"
    assert "webhook_event_id" not in shown
    assert "state" not in shown


async def test_the_answer_to_our_own_charge_comes_before_the_events(api: Api) -> None:
    payment_id = await booked(api, "pi_1", intent_response='{"ours": true}')

    shown = await api.get(f"/api/InvoicePayment/{payment_id}")

    assert shown["intent_response"] == '{"ours": true}'
    assert orjson.loads(shown["webhook_payload"])["id"] == "evt_pi_1"


async def test_payments_are_filtered_and_searched(api: Api) -> None:
    invoice = await api.invoice(10, client_id=await api.client(), invoicenumber="INV-77")
    hand = await api.post(
        "/api/InvoicePayment", {"invoice_id": invoice["id"], "amount": 1, "reference": "Cheque"}
    )
    card = await booked(api, "pi_abc", charge_id="ch_9")

    async def found(**params: str) -> list[int]:
        return [one["id"] for one in await api.get("/api/InvoicePayment", **params)]

    assert await found(intent_id="pi_abc") == [card]
    assert await found(intent_id="pi_ab") == []
    assert await found(invoice_id=str(invoice["id"])) == [hand["id"]]
    assert await found(client_id=str(invoice["client_id"])) == [hand["id"]]
    assert await found(search="CHEQUE") == [hand["id"]]
    assert await found(search="inv-77") == [hand["id"]]
    assert await found(search="ada") == [hand["id"]]
    assert await found(search="ch_9") == [card]
    assert await found(search="pi_a") == [card]


async def test_events_of_a_page_are_read_in_one_statement_and_not_for_ids(api: Api) -> None:
    for number in range(5):
        await booked(api, f"pi_{number}")
    await api.get("/api/InvoicePayment")

    with statements(api.database) as seen:
        await api.get("/api/InvoicePayment")
    with statements(api.database) as ids_only:
        await api.get("/api/InvoicePayment", idonly="true")

    assert len(seen) == 2
    assert len(ids_only) == 1
