"""A posted invoice is corrected by a credit note made from it, and never edited."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from app.documents.invoice_document import load_invoice_document
from tests.api.client import Api

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


async def credit(api: Api, invoice: int, **body: Any) -> Any:
    return await api.send("POST", f"/api/Invoice/{invoice}/credit", json={**REASON, **body})


async def test_the_amounts_of_a_posted_invoice_stay(api: Api) -> None:
    made = await a_posted_invoice(api)

    more = {"id": made["id"], "add_lines": [{"unit_price": 1}]}
    answer = await api.send("POST", "/api/Invoice", json=[more])

    assert answer.status == 400
    assert "it was posted; correct it with a credit note" in answer.json["Message"]
    noted = await api.post("/api/Invoice", {"id": made["id"], "reference": "PO 7"})
    assert (noted["reference"], noted["total"]) == ("PO 7", made["total"])


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
