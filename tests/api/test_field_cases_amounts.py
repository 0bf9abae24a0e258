"""B3, B11 to B14, B16 and B17 of the cases from the field: rates, days and amounts."""

from decimal import Decimal
from typing import Any

import pytest

from tests.api.client import Api

pytestmark = pytest.mark.anyio


async def test_lines_posted_back_keep_the_rate_they_were_made_with(api: Api) -> None:
    """B3: nobody owes again because a rate has changed since."""
    tax = (await api.post("/api/Tax", {"name": "VAT", "value": 19}))["id"]
    line = {"unit_price": 100, "tax_code": str(tax)}
    made = await api.post("/api/Invoice", {"lines": [line, line], "invoice_date": "2026-01-05"})
    await api.post("/api/InvoicePayment", {"invoice_id": made["id"], "amount": 238})
    await api.post("/api/Tax", {"id": tax, "value": 25})

    back = await api.get(f"/api/Invoice/{made['id']}")
    same = await api.post("/api/Invoice", {"id": made["id"], "lines": back["lines"]})
    text = [{**back["lines"][0], "item_shortdescription": "x"}, back["lines"][1]]
    renamed = await api.post("/api/Invoice", {"id": made["id"], "lines": text})
    more = [{**back["lines"][0], "qty_order": 2}, back["lines"][1]]
    changed = await api.post("/api/Invoice", {"id": made["id"], "lines": more})

    assert [one["tax_rate"] for one in same["lines"]] == [19, 19]
    assert (same["total"], same["amountdue"], renamed["total"]) == (238, 0, 238)
    # An amount that really changes is taxed as of now, and no other line with it.
    assert [one["tax_rate"] for one in changed["lines"]] == [25, 19]
    moved = await api.post(
        "/api/Invoice", {"id": made["id"], "invoice_date": "2026-07-01", "lines": changed["lines"]}
    )
    assert [one["tax_rate"] for one in moved["lines"]] == [25, 25]
    other = await api.post("/api/Tax", {"name": "reduced", "value": 7})
    recoded = {"lines": [{"unit_price": 1, "tax_code": str(other["id"])}], "reference": "new"}
    assert (await api.post("/api/Invoice", recoded))["lines"][0]["tax_rate"] == 7


async def test_the_more_specific_of_two_rules_wins_and_says_why(api: Api) -> None:
    """B14."""
    general, special = [
        (await api.post("/api/Tax", {"name": name, "value": value}))["id"]
        for name, value in (("standard", 20), ("books", 5))
    ]
    book = {"value_type": 3, "value": "book"}
    rule = {"sequence": 1, "name": "x"}
    await api.post("/api/TaxRule", {**rule, "taxid": general})
    await api.post("/api/TaxRule", {**rule, "taxid": special, "tax_conditions": [book]})

    lines = [{"unit_price": 1, "item_code": "book"}, {"unit_price": 1}]
    made = await api.post("/api/Invoice", {"lines": lines})

    assert [one["tax_rate"] for one in made["lines"]] == [5, 20]
    (why,) = made["lines"][0]["taxRuleResult"]
    assert (why["taxid"], why["taxcode"]) == (special, str(special))
    assert why["_warning"] == "rule 2, sequence 1: item_code book"


async def test_an_invoice_is_paid_on_the_day_of_its_payment(api: Api) -> None:
    """B11: not on the day on which somebody types it in."""
    made = await api.invoice(100)
    for amount, day in ((60, "2026-11-10"), (40, "2026-11-03")):
        paid = {"invoice_id": made["id"], "amount": amount, "date": f"{day}T00:00:00"}
        last = await api.post("/api/InvoicePayment", paid)

    shown = await api.get(f"/api/Invoice/{made['id']}")
    await api.send("DELETE", f"/api/InvoicePayment/{last['id']}")
    reopened = await api.get(f"/api/Invoice/{made['id']}")

    assert (shown["paymentstatus"], shown["datepaid"]) == (2, "2026-11-10T00:00:00")
    assert reopened["datepaid"][:4] == "1899"


async def test_an_invoice_keeps_the_conversion_rate_of_its_day(api: Api) -> None:
    """B12."""
    found = await api.get("/api/Currency")
    pound = next(one["id"] for one in found if one["code"].lower() == "gbp")
    await api.post("/api/Currency", {"id": pound, "conversion_rate": "1.25"})
    client = await api.client(currency_code=pound)
    template = await api.post("/api/RecurringInvoice", {"client_id": client, "period": 2})

    made = await api.invoice(100, client_id=client)
    said = await api.invoice(100, client_id=client, currency_conversion_rate="1.5")
    await api.post("/api/Currency", {"id": pound, "conversion_rate": "1.3"})
    of_template = await api.post("/api/RecurringInvoice/process", template["id"])
    await api.post("/api/Invoice", {"id": made["id"], "reference": "x"})

    shown = await api.get(f"/api/Invoice/{made['id']}", includedetails="true")
    assert shown["currency_conversion_rate"] == Decimal("1.25")
    assert shown["invoice_totals"]["totalConverted"] == 125
    assert said["currency_conversion_rate"] == Decimal("1.5")
    assert of_template["currency_conversion_rate"] == Decimal("1.3")
    assert (await api.invoice(1))["currency_conversion_rate"] == 1


@pytest.mark.parametrize(
    ("terms", "due"),
    [
        ({"due_date_type": 0, "due_date_int": 30}, "2026-02-14"),
        ({"due_date_type": 1, "due_date_int": 10}, "2026-02-10"),
        ({"due_date_type": 2, "due_date_int": 15}, "2026-02-15"),
        ({"due_date_type": 3}, "2026-01-01"),
        ({"paymentterms": 14}, "2026-01-29"),
        ({"due_date_int": 30, "duedate": "2026-01-20"}, "2026-01-20"),
        # HaloPSA writes zeros where nobody has given terms.
        ({"due_date_type": 0, "due_date_int": 0, "paymentterms": 0}, None),
        ({}, None),
    ],
)
async def test_a_plain_invoice_falls_due_by_its_terms(
    api: Api, terms: dict[str, Any], due: str | None
) -> None:
    """B13: the 15th of January in Berlin is still the 14th in UTC."""
    client = await api.client(timezone="Europe/Berlin")
    given = {"client_id": client, "invoice_date": "2026-01-14T23:00:00", "take_auto_payment": True}

    made = await api.invoice(10, **given, **terms)

    assert made.get("duedate", "")[:10] == (due or "")
    assert ("duedate: " in made.get("_warning", "")) == (due is None)
    if due is not None and "duedate" not in terms:
        later = await api.post("/api/Invoice", {"id": made["id"], "reference": "x", **terms})
        assert later["duedate"][:10] == due
        changed = {"id": made["id"], "due_date_type": 0, "due_date_int": 7}
        assert (await api.post("/api/Invoice", changed))["duedate"][:10] == "2026-01-22"


async def test_nothing_written_for_a_number_is_nothing(api: Api) -> None:
    """B16: HaloPSA's forms send "" for a price that nobody typed."""
    line = {"qty_order": "", "unit_price": "", "discount_perc": "undefined", "tax_rate": " "}

    made = await api.post("/api/Invoice", {"client_id": "", "lines": [line, {"unit_price": 5}]})

    first = made["lines"][0]
    assert [first[name] for name in line] == [1, 0, 0, 0]
    assert made["total"] == 5
    assert (
        await api.send("POST", "/api/Invoice", json=[{"lines": [{"unit_price": "x"}]}])
    ).status == 400


@pytest.mark.parametrize("prices", [[0], [10, -10], [5, -20]])
async def test_what_comes_to_nothing_or_less_is_settled_by_itself(
    api: Api, prices: list[int]
) -> None:
    """B17."""
    made = await api.invoice(*prices)
    unpaid = await api.get("/api/Invoice", paymentstatuses="0,-1")

    assert (made["paymentstatus"], made["amountdue"], made["amountpaid"]) == (2, 0, 0)
    assert made["datepaid"] == "2026-11-22T09:30:00"
    assert unpaid["invoices"] == []
    added = {"id": made["id"], "add_lines": [{"unit_price": 100}]}
    owing = await api.post("/api/Invoice", added)
    assert (owing["paymentstatus"], owing["amountdue"]) == (0, 100 + sum(prices))
    empty = await api.invoice()
    assert empty["paymentstatus"] == -1
