"""Taxes on lines: named, chosen by a rule, or given as a rate; and the totals they come to."""

import io
from decimal import Decimal
from typing import Any

import pytest
from pypdf import PdfReader

from tests.api.client import Api

pytestmark = pytest.mark.anyio


async def a_tax(api: Api, value: Any, **fields: Any) -> int:
    return (await api.post("/api/Tax", {"name": f"{value}%", "value": value, **fields}))["id"]


async def test_a_line_is_taxed_at_the_rate_of_the_tax_it_names(api: Api) -> None:
    vat = await a_tax(api, "17.5")
    line = {"unit_price": "100", "tax_code": str(vat), "tax_rate": 3}

    made = await api.post("/api/Invoice", {"lines": [line], "total": 1, "tax_total": 2})

    assert (made["lines"][0]["tax_code"], made["lines"][0]["tax_rate"]) == (
        str(vat),
        Decimal("17.5"),
    )
    assert (made["revenue"], made["tax_total"], made["total"]) == (
        100,
        Decimal("17.5"),
        Decimal("117.5"),
    )


async def test_a_composite_rate_is_exactly_what_its_parts_add_up_to(api: Api) -> None:
    gst, qst = await a_tax(api, 5), await a_tax(api, "9.975")
    both = await a_tax(api, 0, is_composite=True, linked_rates=[{"id": gst}, {"id": qst}])

    made = await api.post(
        "/api/Invoice", {"lines": [{"unit_price": 1000, "tax_code": str(both)}] * 2}
    )

    assert made["lines"][0]["tax_rate"] == Decimal("14.975")
    assert made["lines"][0]["tax_amount"] == Decimal("149.75")
    assert made["tax_total"] == Decimal("299.5")


async def test_a_code_that_is_no_tax_of_ours_is_kept_and_taxes_nothing_by_itself(api: Api) -> None:
    lines = [
        {"unit_price": 10, "tax_code": "GST on income"},
        {"unit_price": 10, "tax_code": "4711", "tax_rate": 20},
    ]

    made = await api.post("/api/Invoice", {"lines": lines})

    assert [line["tax_code"] for line in made["lines"]] == ["GST on income", "4711"]
    assert [line["tax_rate"] for line in made["lines"]] == [0, 20]
    assert made["total"] == 22


async def test_a_rule_chooses_the_tax_of_a_line_that_names_none(api: Api) -> None:
    usual, books = await a_tax(api, 20), await a_tax(api, 5)
    ada = await api.client()
    await api.post("/api/TaxRule", {"name": "all", "taxid": usual, "sequence": 9})
    conditions = [{"value_type": 3, "value": "Book"}, {"value_type": 1, "value_lookup": [
        {"id": str(ada), "name": "Ada"}]}]  # fmt: skip
    await api.post(
        "/api/TaxRule",
        {"name": "books", "taxid": books, "sequence": 1, "tax_conditions": conditions},
    )
    lines = [
        {"unit_price": 100, "item_code": "book"},
        {"unit_price": 100, "item_code": "pen"},
        {"unit_price": 100, "tax_rate": 0},
    ]

    of_ada = await api.post("/api/Invoice", {"client_id": ada, "lines": lines})
    of_nobody = await api.post("/api/Invoice", {"lines": lines})
    kept = {"id": of_ada["lines"][0]["id"], "unit_price": 200}
    changed = await api.post("/api/Invoice/updatelines", kept)

    assert [line["tax_rate"] for line in of_ada["lines"]] == [5, 20, 0]
    assert of_ada["lines"][0]["tax_code"] == str(books)
    assert [line["tax_rate"] for line in of_nobody["lines"]] == [20, 20, 0]
    assert changed["tax_rate"] == 5


async def test_a_rate_that_changed_is_taken_when_a_lines_amount_changes(api: Api) -> None:
    vat = await a_tax(api, 20)
    made = await api.post("/api/Invoice", {"lines": [{"unit_price": 100, "tax_code": str(vat)}]})
    await api.post("/api/Tax", {"id": vat, "value": 25})

    untouched = await api.post("/api/Invoice", {"id": made["id"], "reference": "x"})
    line = {**untouched["lines"][0], "unit_price": 200}
    saved = await api.post("/api/Invoice", {"id": made["id"], "lines": [line]})

    assert (untouched["total"], saved["total"]) == (120, 250)


async def test_an_invoice_is_printed(api: Api) -> None:
    client = await api.client(name="Zażółć & Sons")
    line = {"qty_order": "2.5", "unit_price": "19.99", "tax_rate": 20, "item_shortdescription": "W"}
    made = await api.post("/api/Invoice", {"client_id": client, "lines": [line]})

    async with api.session.post(f"/api/invoice/pdf/{made['id']}", headers=api.headers) as answer:
        content = await answer.read()

    assert (answer.status, answer.content_type) == (200, "application/pdf")
    [page] = PdfReader(io.BytesIO(content)).pages
    text = page.extract_text()
    text = " ".join(text.split())
    for said in ("Number 1", "Zażółć & Sons", "19.99", "49.98", "Total USD 59.98", "due USD 59.98"):
        assert said in text
    assert (await api.send("POST", "/api/Invoice/PDF/4711")).status == 404
