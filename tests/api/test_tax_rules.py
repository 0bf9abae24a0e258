"""Prices with tax, taxes by the buyer and the day, reasons that stay, and the two roundings."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.documents.invoice_document import load_invoice_document
from app.ledger import invoicing
from app.rules.home import Home
from app.rules.invoice import TaxRounding
from app.storage.engines import Database
from tests.api.client import Api

pytestmark = pytest.mark.anyio


async def a_tax(api: Api, value: Any, **fields: Any) -> str:
    made = await api.post("/api/Tax", {"name": f"{value}%", "value": value, **fields})
    return str(made["id"])


def plain(line: dict[str, Any]) -> dict[str, Any]:
    """The line as a client posts it back: its numbers are JSON's."""
    return {name: float(one) if isinstance(one, Decimal) else one for name, one in line.items()}


async def test_a_price_with_tax_is_the_total(api: Api) -> None:
    vat = await a_tax(api, 20)
    line = {"unit_price": "9.99", "tax_code": vat, "price_includes_tax": True}

    made = await api.post("/api/Invoice", {"lines": [line] * 3})

    assert (made["revenue"], made["tax_total"], made["total"]) == (
        Decimal("24.97"), 5, Decimal("29.97"),
    )  # fmt: skip
    one = made["lines"][0]
    assert one["net_total"] == Decimal("9.99")
    assert one["net_amount"] == Decimal("8.325")
    assert one["tax_amount"] == Decimal("1.665")
    shown = await api.get(f"/api/Invoice/{made['id']}?includedetails=true")
    assert shown["invoice_totals"]["total"] == Decimal("29.97")
    # Posted back as it was, with another rate beside it, nothing moves.
    await api.post("/api/Tax", {"id": int(vat), "value": 25})
    again = await api.post(
        "/api/Invoice", {"id": made["id"], "lines": [plain(one) for one in made["lines"]]}
    )
    assert (again["total"], again["lines"][0]["tax_rate"]) == (Decimal("29.97"), 20)
    without = {**plain(made["lines"][0]), "price_includes_tax": False}
    changed = await api.post("/api/Invoice", {"id": made["id"], "lines": [without]})
    assert (changed["total"], changed["tax_total"]) == (Decimal("12.49"), Decimal("2.5"))


async def test_a_template_bills_prices_with_tax_and_shares_of_them(api: Api) -> None:
    vat = await a_tax(api, 20)
    line = {"unit_price": 31, "tax_code": vat, "price_includes_tax": True,
            "prorata_data": [{"quantity": 1, "date": "2026-03-31"}]}  # fmt: skip
    template = {"period": 2, "nextcreationdate": "2026-03-01", "lines": [line]}
    made = await api.post("/api/RecurringInvoice", template)
    assert made["total"] == 31

    billed = await api.post("/api/RecurringInvoice/process", made["id"])

    assert billed["total"] == 32
    assert [one["price_includes_tax"] for one in billed["lines"]] == [True, True]


async def test_a_rounding_stays_with_the_invoice_it_was_made_with(database: Database) -> None:
    lines = [{"unit_price": Decimal("1.13"), "tax_rate": Decimal(20)}] * 3
    now = datetime(2026, 11, 22, tzinfo=UTC)
    by_line = Home("usd", "UTC", tax_rounding=TaxRounding.LINE)

    async with database.transaction() as tx:
        (made,) = await invoicing.save(tx, [{"lines": lines}], now=now, who="test", home=by_line)
        document = await load_invoice_document(tx, made, "UTC")
        assert (document.net, document.tax) == (Decimal("3.39"), Decimal("0.69"))
        assert [one.tax for one in document.taxes] == [Decimal("0.69")]
        assert [one.net for one in document.lines] == [Decimal("1.13")] * 3
        more = {"id": made, "add_lines": lines[:1]}
        await invoicing.save(tx, [more], now=now, who="test", home=Home("usd", "UTC"))
        document = await load_invoice_document(tx, made, "UTC")
        (other,) = await invoicing.save(
            tx, [{"lines": lines}], now=now, who="test", home=Home("usd", "UTC")
        )
        assert (await load_invoice_document(tx, other, "UTC")).tax == Decimal("0.68")

    assert document.tax == Decimal("0.92")


async def test_the_buyer_and_the_tax_point_choose_the_tax(api: Api) -> None:
    reason = "Article 196 Directive 2006/112/EC"
    home = await a_tax(api, 19)
    was = await a_tax(api, 16)
    reverse = await a_tax(api, 0, category_code="AE", exemption_reason=reason)
    buyer = [
        {"value_type": 6, "value_lookup": [{"id": "FR"}, {"id": "AT"}]},
        {"value_type": 7, "value": "yes"},
    ]
    interval = [{"value_type": 8, "value": "2020-07-01/2020-12-31"}]
    await api.post("/api/TaxRule", {"name": "all", "taxid": home, "sequence": 9})
    await api.post("/api/TaxRule", {"name": "2020", "taxid": was, "tax_conditions": interval})
    await api.post("/api/TaxRule", {"name": "union", "taxid": reverse, "tax_conditions": buyer})
    french = await api.post(
        "/api/Client", {"name": "Ada", "country": "FR", "vat_number": "FR83404833048"}
    )
    person = await api.post("/api/Client", {"name": "Bob", "country": "FR"})

    async def taxed(**fields: Any) -> Any:
        return await api.post("/api/Invoice", {"lines": [{"unit_price": 100}], **fields})

    owed = await taxed(client_id=french["id"])
    line = owed["lines"][0]
    assert (line["tax_rate"], line["tax_category"], line["tax_exemption_reason"]) == (
        0, "AE", reason,
    )  # fmt: skip
    assert line["taxRuleResult"][0]["_warning"] == (
        "rule 3, sequence 0: country fr, vat_number yes"
    )
    assert (await taxed(client_id=person["id"]))["tax_total"] == 19
    assert (await taxed(invoice_date="2020-12-31"))["tax_total"] == 16
    late = await taxed(invoice_date="2021-01-15", tax_point_date="2020-12-31")
    assert late["tax_total"] == 16
    # Only a line that names its tax is looked at again, and it keeps its Tax.
    moved = {
        "id": late["id"],
        "tax_point_date": "2021-01-01",
        "lines": [plain(one) for one in late["lines"]],
    }
    assert (await api.post("/api/Invoice", moved))["tax_total"] == 16
    # The reason was fixed with the line: a Tax that says another one later changes no document.
    await api.post("/api/Tax", {"id": int(reverse), "category_code": "E", "exemption_reason": "x"})
    async with api.database.snapshot() as tx:
        document = await load_invoice_document(tx, owed["id"], "UTC")
        shifted = await load_invoice_document(tx, late["id"], "UTC")
    assert [(one.category, one.reason) for one in document.taxes] == [("AE", reason)]
    assert (document.tax_point, shifted.tax_point) == (None, date(2021, 1, 1))


async def test_days_that_are_none_make_no_rule(api: Api) -> None:
    tax = await a_tax(api, 5)

    for wrong in ("2027", "2027-02-30/", "/", None):
        rule = {"name": "x", "taxid": tax, "tax_conditions": [{"value_type": 8, "value": wrong}]}
        answer = await api.send("POST", "/api/TaxRule", json=[rule])
        assert (answer.status, "tax_conditions.value" in answer.json["Message"]) == (400, True)
