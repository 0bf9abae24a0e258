"""A posted invoice is corrected by a credit note made from it, and never edited."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from app.documents.invoice_document import load_invoice_document
from tests.api.client import Answer, Api

pytestmark = pytest.mark.anyio

REASON = {"reason": "Two hours too many"}


async def a_posted_invoice(api: Api, **fields: Any) -> Any:
    tax = await api.post("/api/Tax", {"name": "VAT", "value": 20, "category_code": "S"})
    client = await api.post("/api/Client", {"name": "Ada"})
    line = {"unit_price": "9.99", "tax_code": str(tax["id"]), "price_includes_tax": True}
    lines = [{**line, "qty_order": 3}, {"unit_price": 50, "tax_code": str(tax["id"])}]
    made = await api.post(
        "/api/Invoice", {"client_id": client["id"], "lines": lines, "posted": True, **fields}
    )
    await api.post("/api/Tax", {"id": tax["id"], "value": 25})
    return made


def as_doubles(answer: Answer) -> Any:
    """A record as most clients read it, and post it back: its numbers are doubles."""
    return json.loads(answer.text)


async def credit(api: Api, invoice: int, **body: Any) -> Any:
    return await api.send("POST", f"/api/Invoice/{invoice}/credit", json={**REASON, **body})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", 2), ("currency_code", 2), ("invoicetype", 1), ("invoicenumber", "X-1"),
        ("invoice_date", "2026-11-01"), ("duedate", "2027-01-31"), ("due_date_int", 60),
        ("tax_point_date", "2026-10-31"), ("currency_conversion_rate", 2), ("posted", False),
        ("period_start_date", "2026-10-01T00:00:00"), ("duedate", None),
        ("lines", []), ("lines", [{"unit_price": 1}]),
    ],
)  # fmt: skip
async def test_a_field_of_a_posted_invoice_stays(api: Api, name: str, value: Any) -> None:
    made = await a_posted_invoice(api, duedate="2026-12-31")
    await api.post("/api/Client", {"name": "Grace"})
    before = await api.get(f"/api/Invoice/{made['id']}")

    answer = await api.send("POST", "/api/Invoice", json=[{"id": made["id"], name: value}])

    assert answer.status == 400
    assert answer.json["Message"].startswith(f"{name}: th")
    assert answer.json["Message"].endswith("it was posted; correct it with a credit note")
    assert await api.get(f"/api/Invoice/{made['id']}") == before


@pytest.mark.parametrize(
    "change",
    [
        {"qty_order": 4}, {"unit_price": 5}, {"item_shortdescription": "Other"}, {"tax_code": "0"},
        {"discount_perc": 1}, {"isinactive": True}, {"startdate": "2026-01-01"}, {"tax_rate": 3},
    ],
)  # fmt: skip
async def test_a_line_of_a_posted_invoice_stays(api: Api, change: dict[str, Any]) -> None:
    made = await a_posted_invoice(api)
    changed = {"id": made["lines"][1]["id"], **change}
    (name,) = change

    by_line = await api.send("POST", "/api/Invoice/updatelines", json=[changed])
    shown = as_doubles(await api.send("GET", f"/api/Invoice/{made['id']}"))["lines"]
    lines = [shown[0], {**shown[1], **change}]
    by_list = await api.send("POST", "/api/Invoice", json=[{"id": made["id"], "lines": lines}])
    more = {"id": made["id"], "add_lines": [{"unit_price": 0}]}
    by_more = await api.send("POST", "/api/Invoice", json=[more])

    for answer in (by_line, by_list):
        assert (answer.status, answer.json["Message"].split(":")[0]) == (400, f"lines[1].{name}")
    assert (by_more.status, by_more.json["Message"].split(":")[0]) == (400, "lines")
    assert (await api.get(f"/api/Invoice/{made['id']}"))["lines"] == made["lines"]


async def test_words_and_flags_of_a_posted_invoice_may_change(api: Api) -> None:
    made = await a_posted_invoice(api)
    free = {"reference": "PO 7", "internal_note": "asked twice", "take_auto_payment": True}
    rearranged = [{"id": one["id"]} for one in reversed(made["lines"])]

    shown = as_doubles(await api.send("GET", f"/api/Invoice/{made['id']}"))
    back = await api.post("/api/Invoice", shown)
    noted = await api.post("/api/Invoice", {"id": made["id"], **free, "lines": rearranged})

    assert (back["total"], back["lines"]) == (made["total"], made["lines"])
    assert (noted["reference"], noted["total"]) == ("PO 7", made["total"])
    assert [one["id"] for one in noted["lines"]] == [one["id"] for one in rearranged]


async def test_a_draft_is_changed_and_posted_in_one_request(api: Api) -> None:
    made = await a_posted_invoice(api, posted=False)
    change = {"posted": True, "dateposted": "2026-11-22", "lines": [{"unit_price": 7}]}

    posted = await api.post("/api/Invoice", {"id": made["id"], **change})

    assert (posted["posted"], posted["total"]) == (True, 7)


async def test_a_credit_note_has_the_lines_and_the_taxes_of_its_invoice(api: Api) -> None:
    made = await a_posted_invoice(api)

    answer = await credit(api, made["id"])

    note = answer.json
    assert (answer.status, note["invoicetype"], note["notes_1"]) == (201, 1, REASON["reason"])
    assert (note["total"], note["tax_total"]) == (made["total"], made["tax_total"])
    assert [one["tax_rate"] for one in note["lines"]] == [20, 20]
    assert note["creditlinkedtoinvoiceid"] == made["id"]
    settled = await api.get(f"/api/Invoice/{made['id']}")
    assert (settled["amountdue"], settled["paymentstatus"], settled["total"]) == (
        0, 2, made["total"],
    )  # fmt: skip
    assert (await api.get(f"/api/Invoice/{note['id']}"))["credit_outstanding"] == 0
    async with api.database.snapshot() as tx:
        document = await load_invoice_document(tx, note["id"], "UTC")
    assert (document.corrects, document.total) == (made["invoicenumber"], made["total"])
    again = await credit(api, made["id"])
    assert (again.status, "0.00 of invoice" in again.json["Message"]) == (400, True)


async def test_a_part_is_credited_and_what_was_paid_becomes_credit(api: Api) -> None:
    made = await a_posted_invoice(api)
    await api.post("/api/InvoicePayment", {"invoice_id": made["id"], "amount": 80})
    line = made["lines"][0]["id"]

    answer = await credit(api, made["id"], lines=[{"id": line, "qty_order": 1}])

    note = answer.json
    assert (note["total"], note["tax_total"]) == (Decimal("9.99"), Decimal("1.67"))
    after = await api.get(f"/api/Invoice/{made['id']}")
    assert (after["amountpaid"], after["amountdue"]) == (Decimal("89.97"), 0)
    shown = await api.get(f"/api/Invoice/{note['id']}")
    assert shown["credit_outstanding"] == Decimal("0.02")
    for wrong in (
        [{"id": line, "qty_order": 4}], [{"id": line, "qty_order": 0}],
        [{"id": 99, "qty_order": 1}], [{"id": line, "qty_order": -1}], [{"id": line}], [], "x",
        [{"id": line, "qty_order": 1}] * 2, [{"id": line, "qty_order": 3}, made["lines"][1]["id"]],
    ):  # fmt: skip
        assert (await credit(api, made["id"], lines=wrong)).status == 400
    rest = await credit(api, made["id"], lines=[{"id": line, "qty_order": 2}])
    assert rest.status == 201
    other = {"id": made["lines"][1]["id"], "qty_order": 1}
    beyond = await credit(api, made["id"], lines=[{"id": line, "qty_order": 1}, other])
    assert "60.00 of invoice" in beyond.json["Message"]


async def test_ten_who_credit_one_invoice_at_once_make_one_note(api: Api) -> None:
    made = await a_posted_invoice(api)

    answers = await asyncio.gather(*(credit(api, made["id"]) for _ in range(10)))

    assert sorted(one.status for one in answers) == [201] + [400] * 9


async def test_what_is_owed_by_nobody_has_no_credit_note(api: Api) -> None:
    made = await a_posted_invoice(api)
    note = (await credit(api, made["id"])).json["id"]
    voided = await api.invoice(10)
    await api.send("POST", f"/api/Invoice/{voided['id']}/void")

    for wrong, status in ((note, 400), (voided["id"], 400), (999, 404), (-2, 404)):
        assert (await credit(api, wrong)).status == status
    assert (await credit(api, made["id"], reason=" ")).status == 400
