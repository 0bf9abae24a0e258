"""Templates: beside invoices, below zero, never paid; and the invoices they make."""

import asyncio

import pytest

from tests.api.client import Api
from tests.api.test_invoices import ALWAYS_PRESENT, changes

pytestmark = pytest.mark.anyio


async def test_templates_have_negative_ids_that_are_never_used_twice(api: Api) -> None:
    first = await api.post("/api/RecurringInvoice", {"lines": [{"unit_price": 10}]})
    await api.send("DELETE", f"/api/RecurringInvoice/{first['id']}")
    second, third = await api.post("/api/RecurringInvoice", {"reference": "b"}, {"reference": "c"})

    assert [first["id"], second["id"], third["id"]] == [-2, -3, -4]
    assert (first["is_recurring_invoice"], first["total"], first["amountdue"]) == (True, 10, 10)
    assert (first["paymentstatus"], first["invoicenumber"]) == (-1, "0")
    assert [second["reference"], third["reference"]] == ["b", "c"]
    assert (await api.invoice(1))["id"] == 1


async def test_templates_and_invoices_do_not_show_in_each_others_lists(api: Api) -> None:
    invoice = await api.invoice(1)
    template = await api.post("/api/RecurringInvoice", {"client_id": await api.client()})

    listed = await api.get("/api/recurringinvoice", pageinate="true", includelines="true")

    assert [one["id"] for one in listed["invoices"]] == [template["id"]]
    assert listed["invoices"][0]["lines"] == []
    assert [one["id"] for one in (await api.get("/api/Invoice"))["invoices"]] == [invoice["id"]]
    assert (await api.send("GET", f"/api/Invoice/{template['id']}")).status == 404
    assert (await api.send("GET", f"/api/RecurringInvoice/{invoice['id']}")).status == 404
    assert (await api.send("DELETE", f"/api/Invoice/{template['id']}")).status == 404
    for path, wrong in (("Invoice", template["id"]), ("RecurringInvoice", invoice["id"])):
        answer = await api.send("POST", f"/api/{path}", json=[{"id": wrong, "reference": "x"}])
        assert answer.status == 404
    shown = await api.get(f"/api/RecurringInvoice/{template['id']}", includedetails="true")
    assert [name for name in ALWAYS_PRESENT if name not in shown] == []


async def test_a_template_takes_no_payment_and_awaits_none(api: Api) -> None:
    card = await api.client(stripe_payment_method_id="pm_1", stripe_customer_id="cus_1")
    template = await api.post(
        "/api/RecurringInvoice",
        {"client_id": card, "take_auto_payment": True, "lines": [{"unit_price": 10}]},
    )

    paid = {"invoice_id": template["id"], "amount": 1}
    answer = await api.send("POST", "/api/InvoicePayment", json=[paid])
    listed = await api.get("/api/Invoice", stripeautopaymentrequired="true")

    assert answer.status == 404
    assert listed["invoices"] == []


async def test_lines_of_templates_are_changed_and_added(api: Api) -> None:
    made = await api.post("/api/RecurringInvoice", {"lines": [{"unit_price": 10}]})
    line = made["lines"][0]["id"]

    changed = await api.post("/api/RecurringInvoice/UpdateLines", {"id": line, "unit_price": 7})
    added = await api.post(
        "/api/RecurringInvoice/Lines",
        {"ihid": made["id"], "unit_price": 1},
        {"ihid": made["id"], "unit_price": 2},
    )
    by_query = await api.get(
        "/api/RecurringInvoice/UpdateLines", id=str(line), ihid=str(made["id"]), qty_order="3"
    )

    assert changed["unit_price"] == 7
    assert [one["unit_price"] for one in added] == [1, 2]
    assert by_query["qty_order"] == 3
    after = await api.get(f"/api/RecurringInvoice/{made['id']}")
    assert (after["total"], after["amountdue"], len(after["lines"])) == (24, 24, 3)
    nowhere = await api.send("GET", "/api/RecurringInvoice/UpdateLines?id=4711&ihid=-2")
    assert (nowhere.status, "4711" in nowhere.json["Message"]) == (404, True)
    for body in ([{"unit_price": 1}], [{"ihid": 1, "unit_price": 1}]):
        answer = await api.send("POST", "/api/RecurringInvoice/Lines", json=body)
        assert answer.status in (400, 404)


async def test_a_template_makes_a_copy_of_what_is_charged_now(api: Api) -> None:
    lines = [
        {"unit_price": 10, "item_shortdescription": "seat", "asset_id": 5},
        {"unit_price": 60, "isinactive": True},
        {"unit_price": 5, "enddate": "2026-11-21"},
        {"unit_price": 3, "onetimecharge": True},
    ]
    fields = {"due_date_int": 30, "take_auto_payment": True, "contract_id": 7, "lines": lines}
    template = await api.post("/api/RecurringInvoice", fields)
    path = "/api/RecurringInvoice/process?force_creation=true"

    made = await api.post(path, template["id"])
    another = await api.post(path, template["id"])

    assert made["id"] > 0
    assert (made["total"], made["amountdue"], made["posted"]) == (13, 13, False)
    assert (made["is_recurring_invoice"], made["recurring_invoice_id"]) == (False, template["id"])
    assert (made["duedate"], made["contract_id"]) == ("2026-12-22T00:00:00", 7)
    assert made["take_auto_payment"] is True
    assert made["lines"][0]["recurring_invoice_line_id"] == template["lines"][0]["id"]
    assert made["lines"][0]["recurring_invoice_id"] == template["id"]
    assert made["lines"][0]["asset_id"] == 5
    assert (another["id"] != made["id"], another["total"]) == (True, 10)
    gone = await api.send("DELETE", f"/api/RecurringInvoice/{template['id']}")
    assert (gone.status, "invoices were made" in gone.json["Message"]) == (400, True)


async def test_a_one_time_charge_waits_for_its_first_day_and_names_its_invoice(api: Api) -> None:
    later = {"unit_price": 3, "onetimecharge": True, "startdate": "2026-11-23"}
    once = {"unit_price": 5, "onetimecharge": True}
    template = await api.post("/api/RecurringInvoice", {"lines": [once, later]})
    path = "/api/RecurringInvoice/process?force_creation=true"

    first = await api.post(path, template["id"])
    second = await api.post(path, template["id"])

    assert (first["total"], second["total"]) == (5, 0)
    lines = (await api.get(f"/api/RecurringInvoice/{template['id']}"))["lines"]
    assert [one.get("onetimechargeinvoiceid") for one in lines] == [first["id"], None]


async def test_a_template_makes_one_invoice_a_period(api: Api) -> None:
    schedule = {"period": 2, "nextcreationdate": "2026-10-31T23:00:00"}
    template = await api.post("/api/RecurringInvoice", {**schedule, "lines": [{"unit_price": 1}]})
    path = "/api/RecurringInvoice/process"

    made = await api.post(path, template["id"])
    again = await api.post(path, template["id"])
    after = await api.get(f"/api/RecurringInvoice/{template['id']}")
    await api.post(
        "/api/RecurringInvoice", {"id": template["id"], "nextcreationdate": "2026-11-21"}
    )
    following = await api.post(path, template["id"])

    assert again["id"] == made["id"]
    assert after["nextcreationdate"] == "2026-11-30T23:00:00"
    assert after["lastcreated"] == "2026-11-22T09:30:00"
    assert following["id"] > made["id"]
    found = await api.get("/api/Invoice", recurringinvoice_id=str(template["id"]))
    assert found["record_count"] == 2
    told = [one[0] for one in await changes(api, template["id"])]
    assert "nextcreationdate" in told


async def test_what_decides_a_schedule_is_shown_as_given_and_audited(api: Api) -> None:
    given = {"period": 3, "due_date_type": 1, "due_date_int": 14.0}
    line = {
        "unit_price": 1, "onetimecharge": "true", "onetimechargeinvoiceid": 0,
        "startdate": "2026-11-01T01:30:00+02:00", "enddate": "1899-12-30T00:00:00",
        "prorata_data": [{"quantity": 2.5}],
    }  # fmt: skip
    template = await api.post("/api/RecurringInvoice", {**given, "lines": [line]})

    shown = await api.get(f"/api/RecurringInvoice/{template['id']}")
    await api.post("/api/RecurringInvoice", {"id": template["id"], "period": None})
    changed = {"id": shown["lines"][0]["id"], "startdate": "2026-12-01", "prorata_data": []}
    await api.post("/api/RecurringInvoice/UpdateLines", changed)

    after = await api.get(f"/api/RecurringInvoice/{template['id']}")
    assert [shown[name] for name in given] == [3, 1, 14]
    assert ("period" in after, after["due_date_int"]) == (False, 14)
    first = shown["lines"][0]
    assert (first["onetimecharge"], first["onetimechargeinvoiceid"]) == (True, 0)
    assert (first["startdate"], "enddate" in first) == ("2026-10-31T23:30:00", False)
    assert first["prorata_data"] == [{"quantity": 2.5}]
    audited = {one[0]: one[1:3] for one in await changes(api, template["id"])}
    assert audited["period"] == ("3", None)
    assert audited["startdate"] == ("2026-10-31T23:30:00", "2026-12-01T00:00:00")
    assert audited["prorata_data"] == ("[{'quantity': 2.5}]", "[]")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("period", 2.5),
        ("due_date_type", "soon"),
        ("due_date_int", 2**31),
        ("lines[0].onetimecharge", "perhaps"),
        ("lines[0].onetimechargeinvoiceid", "none"),
        ("lines[0].startdate", "tomorrow"),
        ("lines[0].enddate", 20261231),
        ("lines[0].prorata_data", {"quantity": 1}),
    ],
)
async def test_a_wrong_value_of_what_decides_money_is_refused_by_name(
    api: Api, field: str, wrong: object
) -> None:
    name = field.removeprefix("lines[0].")
    body = {name: wrong} if name == field else {"lines": [{"unit_price": 1, name: wrong}]}

    answer = await api.send("POST", "/api/RecurringInvoice", json=[body])

    assert answer.status == 400
    assert answer.json["Message"].startswith(f"{field}: ")
    assert (await api.get("/api/RecurringInvoice"))["invoices"] == []


async def test_ten_who_process_one_template_at_once_make_one_invoice(api: Api) -> None:
    template = await api.post("/api/RecurringInvoice", {"lines": [{"unit_price": 1}]})

    made = await asyncio.gather(
        *(api.post("/api/RecurringInvoice/process", template["id"]) for _ in range(10))
    )

    assert len({one["id"] for one in made}) == 1
    assert (await api.get("/api/Invoice"))["record_count"] == 1


async def test_what_is_no_enabled_template_is_not_processed(api: Api) -> None:
    invoice = await api.invoice(1)
    disabled = await api.post("/api/RecurringInvoice", {"disabled": True})

    for body, status in (([invoice["id"]], 404), ([-4711], 404), ([disabled["id"]], 400),
                         ([], 400), (["x"], 400), ([None], 400)):  # fmt: skip
        answer = await api.send("POST", "/api/RecurringInvoice/process", json=body)
        assert answer.status == status
