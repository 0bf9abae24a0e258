"""Invoices: created, changed, read."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, select

from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.invoices import InvoiceChange
from tests.api.client import Api
from tests.clock import NOW, Clock

pytestmark = pytest.mark.anyio

# A published client's decoder raises when one of these is missing.
ALWAYS_PRESENT = """
    customfields id use client_id sitenumber uid invoicenumber posted name invoice_date
    schedule_date last_modified salesorder_id datetype percentold percent contract_id contract_ref
    datesent currency currency_code currency_conversion_rate paymentterms hideinvoice ticket_id
    invoicetype datepaid paymentstatus xeroid amountpaid amountdue emailstatus address shipaddress
    originaddress lines pdftemplate_id total is_recurring_invoice recurring_invoice_id
    add_contract_assets add_labour add_project add_travel add_mileage add_itemsissued add_prepay
    add_salesorder qboid billingcategory xero_tenant_id xero_branding_theme_id
    xero_branding_theme_name due_date_int due_date_type createdbyagentname internal_note
    kashflow_tenant_id kashflow_pdf original_client_id original_client_name xero_status merge_data
    snelstart_id date_created qbo_company_id dbc_id dbc_company_id creditlinkedtoinvoiceid
    creditlinkedtoinvoiceid_thirdpartynumber assigned_agent_name requires_approval
    take_payment_on_duedate credit_total customer_paid_total invoice_display change_seq
    recognised_from_invoice revenue type organisation_id
""".split()


async def changes(api: Api, invoice_id: int) -> list[tuple[str, str | None, str | None, str]]:
    found = select(InvoiceChange).where(InvoiceChange.invoice_id == invoice_id)
    async with api.database.snapshot() as tx:
        return [
            (row.field_name, row.old_value, row.new_value, row.who)
            for row in await tx.execute(found.order_by(InvoiceChange.id))
        ]


async def test_an_invoice_is_created_from_its_lines(api: Api) -> None:
    client_id = await api.client()

    made = await api.invoice("0.10", 20, client_id=client_id, duedate="2026-12-01T10:00:00.000Z")

    assert made["total"] == made["amountdue"] == made["amount_remaining"] == Decimal("20.1")
    assert made["amountpaid"] == 0
    assert made["paymentstatus"] == 0
    assert made["client_name"] == "Ada Ltd"
    assert made["currency"] == "$"
    assert made["duedate"] == "2026-12-01T00:00:00"
    assert [line["net_amount"] for line in made["lines"]] == [Decimal("0.1"), 20]
    assert made["invoicenumber"] == str(made["id"])
    assert made["invoice_date"] == made["date_created"] == "2026-11-22T09:30:00"
    assert made == await api.get(f"/api/Invoice/{made['id']}")


async def test_a_line_says_net_tax_and_gross_in_halopsas_words(api: Api) -> None:
    line = {"qty_order": "2.5", "unit_price": "19.99", "discount_perc": 10, "tax_rate": "17.5"}

    made = await api.post("/api/Invoice", {"lines": [line]})

    shown = made["lines"][0]
    assert shown["net_amount"] == shown["total_price"] == Decimal("44.9775")
    assert shown["tax_amount"] == shown["total_tax"] == Decimal("7.8710625")
    assert shown["net_total"] == Decimal("52.8485625")
    assert shown["ihid"] == made["id"]
    assert (made["revenue"], made["tax_total"]) == (Decimal("44.98"), Decimal("7.87"))
    assert made["total"] == Decimal("52.85")


async def test_a_line_without_a_quantity_is_one_and_an_inactive_line_does_not_count(
    api: Api,
) -> None:
    lines = [{"unit_price": 10}, {"unit_price": 60, "isinactive": True}, {"qty_order": 0,
             "unit_price": 5}]  # fmt: skip

    assert (await api.post("/api/Invoice", {"lines": lines}))["total"] == 10


async def test_a_single_invoice_always_has_the_81_fields(api: Api) -> None:
    assert len(ALWAYS_PRESENT) == 81
    made = await api.post("/api/Invoice", {})

    shown = await api.get(f"/api/Invoice/{made['id']}", includedetails="True")

    assert [name for name in ALWAYS_PRESENT if name not in shown] == []
    assert shown["datepaid"] == "1899-12-30T00:00:00"
    assert shown["salesorder_id"] == -2
    assert shown["payments"] == []


async def test_only_given_fields_change(api: Api, clock: Clock) -> None:
    made = await api.invoice(10, reference="a", duedate="2026-01-31", notes_1="x")
    clock.advance(minutes=5)

    changed = await api.post("/api/Invoice", {"id": made["id"], "reference": "b"})

    assert changed == {
        **made,
        "reference": "b",
        "change_seq": 2,
        "last_modified": "2026-11-22T09:35:00",
    }


async def test_null_empties_what_may_be_empty(api: Api) -> None:
    made = await api.invoice(10, reference="a", duedate="2026-01-31", reviewrequired=True)
    emptied = {"reference": None, "duedate": None, "reviewrequired": None}

    changed = await api.post("/api/Invoice", {"id": made["id"], **emptied})

    assert "reference" not in changed
    assert "duedate" not in changed
    assert changed["reviewrequired"] is True


async def test_an_unknown_invoice_is_not_changed_and_nothing_else_is_written(api: Api) -> None:
    answer = await api.send("POST", "/api/Invoice", json=[{}, {"id": 4711, "reference": "b"}])

    assert answer.status == 404
    assert "4711" in answer.json["Message"]
    assert (await api.get("/api/Invoice"))["record_count"] == 0


async def test_one_invoice_cannot_be_changed_twice_in_one_body(api: Api) -> None:
    made = await api.invoice(10)

    answer = await api.send("POST", "/api/Invoice", json=[{"id": made["id"]}] * 2)

    assert answer.status == 400


async def test_lines_are_the_whole_list(api: Api) -> None:
    made = await api.invoice(10, 20, 30)
    kept = made["lines"][1]

    changed = await api.post(
        "/api/Invoice",
        {
            "id": made["id"],
            "lines": [{"unit_price": 5}, {"id": kept["id"], "item_shortdescription": "kept"}],
        },
    )

    assert [line["unit_price"] for line in changed["lines"]] == [5, 20]
    assert changed["lines"][1]["id"] == kept["id"]
    assert changed["lines"][1]["item_shortdescription"] == "kept"
    assert changed["total"] == changed["amountdue"] == 25


async def test_an_empty_list_takes_all_lines_away(api: Api) -> None:
    made = await api.invoice(10)

    changed = await api.post("/api/Invoice", {"id": made["id"], "lines": []})

    assert changed["lines"] == []
    assert changed["total"] == changed["amountdue"] == 0


async def test_a_line_of_another_invoice_cannot_be_taken(api: Api) -> None:
    other, made = await api.invoice(10), await api.invoice(20)
    stolen = {"id": other["lines"][0]["id"], "unit_price": 1}

    answer = await api.send("POST", "/api/Invoice", json=[{"id": made["id"], "lines": [stolen]}])

    assert answer.status == 400
    assert answer.json["Message"].startswith("lines[0].id")
    assert (await api.get(f"/api/Invoice/{other['id']}"))["total"] == 10


async def test_an_invoice_can_be_made_as_a_copy_of_another(api: Api) -> None:
    made = await api.invoice(10, 20)

    copy = await api.post("/api/Invoice", {**made, "id": 0})

    assert copy["id"] != made["id"]
    assert copy["total"] == 30
    assert (await api.get(f"/api/Invoice/{made['id']}"))["lines"] == made["lines"]


async def test_added_lines_leave_the_others_alone(api: Api) -> None:
    made = await api.invoice(10)

    changed = await api.post("/api/Invoice", {"id": made["id"], "add_lines": [{"unit_price": 5}]})

    assert changed["lines"][0] == made["lines"][0]
    assert [line["unit_price"] for line in changed["lines"]] == [10, 5]
    assert changed["amountdue"] == 15


async def test_ten_who_add_lines_at_once_lose_nothing(api: Api) -> None:
    made = await api.invoice(10)
    body = {"id": made["id"], "add_lines": [{"unit_price": "0.01"}]}

    await asyncio.gather(*(api.post("/api/Invoice", body) for _ in range(10)))

    after = await api.get(f"/api/Invoice/{made['id']}")
    assert len(after["lines"]) == 11
    assert after["total"] == after["amountdue"] == Decimal("10.1")
    assert after["change_seq"] == 11


async def test_ten_who_replace_lines_at_once_leave_one_whole_list(api: Api) -> None:
    made = await api.invoice(10)

    await asyncio.gather(
        *(
            api.post("/api/Invoice", {"id": made["id"], "lines": [{"unit_price": one}] * one})
            for one in range(1, 11)
        )
    )

    after = await api.get(f"/api/Invoice/{made['id']}")
    prices = {line["unit_price"] for line in after["lines"]}
    assert len(prices) == 1
    assert len(after["lines"]) == prices.pop()
    assert after["total"] == after["amountdue"] == len(after["lines"]) ** 2


async def test_the_currency_is_the_invoices_else_the_clients_else_ours(api: Api) -> None:
    euro = (await api.get("/api/Currency", search="EUR"))[0]["id"]
    yen = (await api.get("/api/Currency", search="JPY"))[0]["id"]
    client_id = await api.client(currency_code=euro)

    ours, clients, own = await api.post(
        "/api/Invoice",
        {},
        {"client_id": client_id},
        {"client_id": client_id, "currency_code": yen, "lines": [{"unit_price": "10.5"}]},
    )

    assert [one["currency"] for one in (ours, clients, own)] == ["$", "€", "¥"]
    assert clients["currency_code"] == euro
    assert own["total"] == 11


async def test_another_currency_rounds_the_totals_anew(api: Api) -> None:
    yen = (await api.get("/api/Currency", search="JPY"))[0]["id"]
    made = await api.invoice("10.50")

    changed = await api.post("/api/Invoice", {"id": made["id"], "currency_code": yen})

    assert changed["total"] == changed["amountdue"] == 11


async def test_the_currency_of_an_invoice_with_payments_stays(api: Api) -> None:
    euro = (await api.get("/api/Currency", search="EUR"))[0]["id"]
    made = await api.invoice(10)
    await api.post("/api/InvoicePayment", {"invoice_id": made["id"], "amount": 1})

    answer = await api.send(
        "POST", "/api/Invoice", json=[{"id": made["id"], "currency_code": euro}]
    )

    assert answer.status == 400
    assert "payments" in answer.json["Message"]
    same = await api.post("/api/Invoice", {**made, "reference": "same currency"})
    assert same["reference"] == "same currency"


async def test_the_currency_of_an_invoice_that_is_being_charged_stays(api: Api) -> None:
    euro = (await api.get("/api/Currency", search="EUR"))[0]["id"]
    made = await api.invoice(10)
    attempt = {
        "invoice_id": made["id"], "number": 1, "state": "unknown", "step": "confirming",
        "business_day": NOW.date(), "amount_minor": 1000, "currency": "usd", "customer_id": "cus",
        "created_at": NOW,
    }  # fmt: skip
    async with api.database.transaction() as tx:
        await tx.execute(insert(ChargeAttempt).values(attempt))

    answer = await api.send(
        "POST", "/api/Invoice", json=[{"id": made["id"], "currency_code": euro}]
    )

    assert answer.status == 409


async def test_totals_follow_lines_after_a_payment(api: Api) -> None:
    made = await api.invoice(10)
    await api.post("/api/InvoicePayment", {"invoice_id": made["id"], "amount": 4})

    raised = await api.post("/api/Invoice", {"id": made["id"], "lines": [{"unit_price": 7}]})
    lowered = await api.post("/api/Invoice", {"id": made["id"], "lines": [{"unit_price": 4}]})

    assert (raised["amountpaid"], raised["amountdue"], raised["paymentstatus"]) == (4, 3, 1)
    assert (lowered["amountpaid"], lowered["amountdue"], lowered["paymentstatus"]) == (4, 0, 2)


async def test_whoever_read_an_older_version_is_refused(api: Api) -> None:
    made = await api.invoice(10)
    await api.post("/api/Invoice", {"id": made["id"], "reference": "b"})
    late: dict[str, Any] = {"id": made["id"], "reference": "c", "last_change_seq": 1}

    answer = await api.send("POST", "/api/Invoice", json=[late])
    forced = await api.post("/api/Invoice", {**late, "ignore_change_seq": True})
    current = await api.post("/api/Invoice", {**late, "reference": "d", "last_change_seq": 3})

    assert answer.status == 409
    assert forced["reference"] == "c"
    assert current["reference"] == "d"


async def test_every_change_is_written_down_with_who_made_it(api: Api) -> None:
    made = await api.post(
        "/api/Invoice", {"reference": "a", "lines": [{"unit_price": 1}, {"unit_price": 2}]}
    )
    first = made["lines"][0]

    await api.post(
        "/api/Invoice",
        {
            "id": made["id"],
            "reference": "b",
            "ticket_id": 5,
            "lines": [
                {"id": first["id"], "unit_price": "1.5"},
                {"unit_price": 3, "item_shortdescription": "new"},
            ],
        },
    )

    told = [one[:3] for one in await changes(api, made["id"])]
    assert told[0] == ("created", None, str(made["id"]))
    assert ("reference", "a", "b") in told
    assert ("ticket_id", None, "5") in told
    assert ("unit_price", "1", "1.5") in told
    assert ("lines", "1 x 2", None) in told
    assert ("lines", None, "1 x 3 new") in told
    assert ("total", "3", "4.5") in told
    assert {one[3] for one in await changes(api, made["id"])} == {"tests"}


async def test_a_change_that_changes_nothing_leaves_no_trace(api: Api, clock: Clock) -> None:
    made = await api.invoice(10, reference="a")
    before = await changes(api, made["id"])
    clock.advance(minutes=1)

    again = await api.post("/api/Invoice", {"id": made["id"], "reference": "a"})

    assert again == made
    assert await changes(api, made["id"]) == before
