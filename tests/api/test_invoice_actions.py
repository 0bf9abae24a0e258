"""What is done with invoices besides saving them: lines one by one, void, delete, presence."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, update

from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.invoices import Invoice
from tests.api.client import Answer, Api
from tests.api.test_invoices import changes
from tests.api.test_payments import booked
from tests.clock import NOW, Clock

pytestmark = pytest.mark.anyio


async def attempted(api: Api, invoice_id: int, state: str) -> None:
    attempt = {
        "invoice_id": invoice_id, "number": 1, "state": state, "step": "confirming",
        "business_day": NOW.date(), "amount_minor": 1000, "currency": "usd", "customer_id": "cus",
        "created_at": NOW,
    }  # fmt: skip
    async with api.database.transaction() as tx:
        await tx.execute(insert(ChargeAttempt).values(attempt))


async def post(api: Api, path: str, body: Any = None) -> Answer:
    return await api.send("POST", path, **({} if body is None else {"json": body}))


# --- lines ---------------------------------------------------------------------------------------


async def test_named_lines_change_and_the_others_stay(api: Api) -> None:
    made = await api.invoice(10, 20)
    first, second = made["lines"]

    one = await api.post("/api/Invoice/updatelines", {"id": first["id"], "unit_price": 5})
    both = await api.post(
        "/api/invoice/UpdateLines/",
        {"id": second["id"], "ihid": made["id"], "qty_order": 2},
        {"id": first["id"], "item_shortdescription": "x"},
    )

    assert (one["id"], one["unit_price"], one["ihid"]) == (first["id"], 5, made["id"])
    assert [line["id"] for line in both] == [second["id"], first["id"]]
    after = await api.get(f"/api/Invoice/{made['id']}")
    assert [line["id"] for line in after["lines"]] == [first["id"], second["id"]]
    assert (after["total"], after["amountdue"], after["change_seq"]) == (45, 45, 3)
    assert ("unit_price", "10", "5", "tests") in await changes(api, made["id"])


async def test_lines_that_do_not_exist_or_are_elsewhere_are_refused(api: Api) -> None:
    made, other = await api.invoice(10), await api.invoice(10)
    line = made["lines"][0]["id"]
    template = await api.post("/api/RecurringInvoice", {"lines": [{"unit_price": 1}]})

    for body, status in (
        ([{"id": 4711, "unit_price": 1}], 404),
        ([{"unit_price": 1}], 400),
        ([{"id": line, "ihid": other["id"], "unit_price": 1}], 400),
        ([{"id": line}, {"id": line}], 400),
        ([{"id": template["lines"][0]["id"], "unit_price": 1}], 404),
    ):
        assert (await post(api, "/api/Invoice/updatelines", body)).status == status


async def test_who_read_an_older_version_may_not_change_its_lines(api: Api) -> None:
    made = await api.invoice(10)
    line = {"id": made["lines"][0]["id"], "last_change_seq": 1, "unit_price": 7}
    await api.post("/api/Invoice", {"id": made["id"], "reference": "newer"})

    refused = await post(api, "/api/Invoice/updatelines", [line])
    forced = await api.post("/api/Invoice/updatelines", {**line, "ignore_change_seq": True})

    assert refused.status == 409
    assert forced["unit_price"] == 7


async def test_ten_who_change_lines_of_one_invoice_at_once_lose_nothing(api: Api) -> None:
    made = await api.invoice(*[1] * 10)

    await asyncio.gather(
        *(
            api.post("/api/Invoice/updatelines", {"id": line["id"], "unit_price": 2})
            for line in made["lines"]
        )
    )

    after = await api.get(f"/api/Invoice/{made['id']}")
    assert (after["total"], after["amountdue"], after["change_seq"]) == (20, 20, 11)


async def test_the_list_of_lines_is_invoices_with_their_lines(api: Api) -> None:
    made = await api.invoice(10, 20)
    await api.invoice(1)

    listed = await api.get("/api/Invoice/lines", ids=str(made["id"]))

    assert listed["record_count"] == 1
    assert listed["invoices"][0]["lines"] == made["lines"]


# --- void and delete -----------------------------------------------------------------------------


async def test_a_voided_invoice_stays_and_owes_nothing(api: Api) -> None:
    made = await api.invoice(10)

    voided = (await post(api, f"/api/Invoice/{made['id']}/void")).json
    again = (await post(api, f"/api/Invoice/{made['id']}/void", {})).json

    assert (voided["voided"], voided["amountdue"], voided["total"]) == (True, 0, 10)
    assert again == voided
    assert await api.get(f"/api/Invoice/{made['id']}") == voided
    assert ("voided", "false", "true", "tests") in await changes(api, made["id"])
    edit = [{"id": made["id"], "lines": []}]
    assert "voided" in (await post(api, "/api/Invoice", edit)).json["Message"]
    assert (await api.post("/api/Invoice", {"id": made["id"], "notes_1": "why"}))["notes_1"]


async def test_nothing_is_voided_that_would_lose_money(api: Api) -> None:
    paid, pending, charging, tried = [await api.invoice(10) for _ in range(4)]
    await api.post("/api/InvoicePayment", {"invoice_id": paid["id"], "amount": 1})
    note = await api.invoice(-5, invoicetype=1)
    used = {"invoice_id": paid["id"], "amount": 1, "credit_note_id": note["id"]}
    await api.post("/api/InvoicePayment", used)
    async with api.database.transaction() as tx:
        at = Invoice.id == pending["id"]
        await tx.execute(update(Invoice).where(at).values(payments_pending=1))
    await attempted(api, charging["id"], "unknown")
    await attempted(api, tried["id"], "declined")

    for one, why in ((paid, "paid"), (pending, "processing"), (charging, "charge"), (note, "paid")):
        refused = await post(api, f"/api/Invoice/{one['id']}/void")
        assert refused.status == (409 if one is charging else 400)
        assert why in refused.json["Message"]
        assert "voided" not in [one[0] for one in await changes(api, one["id"])]
    assert (await post(api, f"/api/Invoice/{tried['id']}/void")).status == 200
    assert (await post(api, "/api/Invoice/4711/void")).status == 404


async def test_a_deleted_invoice_is_gone_and_its_id_is_not_used_again(api: Api) -> None:
    made = await api.invoice(10)

    answer = await api.send("DELETE", f"/api/Invoice/{made['id']}?bypass_accounts_sync=true")

    assert (answer.status, answer.json["id"]) == (200, made["id"])
    assert (await api.send("GET", f"/api/Invoice/{made['id']}")).status == 404
    assert (await api.send("DELETE", f"/api/Invoice/{made['id']}")).status == 404
    assert (await changes(api, made["id"]))[-1][0] == "deleted"
    assert (await api.invoice(1))["id"] > made["id"]


async def test_nothing_is_deleted_that_money_or_history_hangs_on(api: Api) -> None:
    paid, tried, posted, waited = [await api.invoice(10) for _ in range(4)]
    await api.post("/api/InvoicePayment", {"invoice_id": paid["id"], "amount": 1})
    await attempted(api, tried["id"], "declined")
    await api.post("/api/Invoice", {"id": posted["id"], "posted": True})
    named = {"claimed_invoice_id": waited["id"], "evidence": "metadata"}
    await booked(api, "pi_1", currency_iso="eur", **named)

    for one, why in ((paid, "payments"), (tried, "attempts"), (posted, "posted"),
                     (waited, "payments")):  # fmt: skip
        refused = await api.send("DELETE", f"/api/Invoice/{one['id']}")
        assert refused.status == 400
        assert why in refused.json["Message"]
        assert (await api.get(f"/api/Invoice/{one['id']}"))["lines"] != []


async def test_a_deleted_hand_entered_payment_is_owed_again(api: Api) -> None:
    made = await api.invoice(10)
    paid = await api.post("/api/InvoicePayment", {"invoice_id": made["id"], "amount": 10})

    answer = await api.send("DELETE", f"/api/InvoicePayment/{paid['id']}")

    assert (answer.status, answer.json["id"]) == (200, paid["id"])
    after = await api.get(f"/api/Invoice/{made['id']}", includedetails="true")
    assert (after["amountpaid"], after["amountdue"], after["payments"]) == (0, 10, [])
    assert after["datepaid"].startswith("1899")
    told = [one[:3] for one in await changes(api, made["id"])]
    assert ("payments", f"{paid['id']}: 10", None) in told
    assert ("amountpaid", "10", "0") in told
    assert (await api.send("DELETE", f"/api/InvoicePayment/{paid['id']}")).status == 404


@pytest.mark.parametrize(("state", "status"), [(5, 400), (2, 400), (3, 400), (1, 400), (4, 200)])
async def test_a_payment_at_stripe_goes_only_when_it_ended_without_money(
    api: Api, state: int, status: int
) -> None:
    payment = await booked(api, "pi_1", state=state, counted=Decimal(0))

    assert (await api.send("DELETE", f"/api/InvoicePayment/{payment}")).status == status


async def test_a_paid_invoice_is_not_lowered_below_what_was_paid(api: Api) -> None:
    made = await api.invoice(10)
    await api.post("/api/InvoicePayment", {"invoice_id": made["id"], "amount": 6})

    refused = await post(api, "/api/Invoice", [{"id": made["id"], "lines": [{"unit_price": 5}]}])

    assert refused.status == 400
    assert "6 was paid" in refused.json["Message"]
    assert (await api.get(f"/api/Invoice/{made['id']}"))["total"] == 10


# --- presence ------------------------------------------------------------------------------------


async def test_who_looks_at_an_invoice_is_told_until_he_stops_saying_so(
    api: Api, clock: Clock
) -> None:
    made, other = await api.invoice(10), await api.invoice(10)

    first = await api.post("/api/Invoice/View", {"id": made["id"], "current_action_type": "edit"})
    clock.advance(minutes=2)
    both = await api.post("/api/Invoice/View", {"id": other["id"]}, {"id": made["id"]})

    assert (first["id"], first["changeseq"]) == (made["id"], 1)
    assert first["current_action_type"] == "edit"
    assert [one["name"] for one in first["viewers"]] == ["tests"]
    assert [(one["id"], len(one["viewers"])) for one in both] == [(other["id"], 1), (made["id"], 1)]
    assert (await post(api, "/api/Invoice/View", [{"id": 4711}])).status == 404
    assert (await post(api, "/api/Invoice/View", [])).status == 400


# --- payments that came before their invoice -------------------------------------------


async def test_an_invoice_takes_the_payments_that_named_it_before_it_was_there(api: Api) -> None:
    before = await api.invoice(1)
    coming = before["id"] + 1
    waiting = await booked(api, "pi_1", claimed_invoice_id=coming, currency_iso="usd")
    euros = await booked(api, "pi_2", claimed_invoice_id=coming, currency_iso="eur")

    made = await api.invoice(10)

    assert made["id"] == coming
    assert (made["amountpaid"], made["amountdue"], made["paymentstatus"]) == (10, 0, 2)
    payments = {one["id"]: one for one in await api.get("/api/InvoicePayment")}
    assert payments[waiting]["invoice_id"] == coming
    assert "invoice_id" not in payments[euros]
