"""The breakdown of an invoice and of its lines, when its details are asked for."""

from decimal import Decimal

import pytest

from tests.api.client import Api

pytestmark = pytest.mark.anyio

LINES = [
    {"qty_order": 2, "unit_price": 50, "discount_perc": 10, "unit_cost": 20, "tax_rate": 20},
    {"qty_order": 1, "unit_price": 10, "isinactive": True},
    {"qty_order": 1, "unit_price": "10", "onetimecharge": True},
]


async def test_the_breakdown_follows_from_the_lines(api: Api) -> None:
    made = await api.post("/api/Invoice", {"lines": LINES, "currency_conversion_rate": "0.5"})
    await api.post("/api/InvoicePayment", {"invoice_id": made["id"], "amount": 8})

    shown = await api.get(f"/api/Invoice/{made['id']}", includedetails="true")

    told = shown["invoice_totals"]
    assert len(told) == 134
    wanted = {
        "subTotal": 100, "taxTotal": 18, "total": 118, "amountPaid": 8, "amountDue": 110,
        "cost": 40, "profit": 60, "discount": 10, "totalConverted": 59, "conversionRate":
        Decimal("0.5"), "recurringTotal": 0, "nonRecurringTotal": 118, "optionalTotal": 0,
    }  # fmt: skip
    assert {name: told[name] for name in wanted} == wanted
    line = shown["lines"][0]
    assert line["line_totals"] == {
        "netTotal": 108, "price": 90, "costPrice": 40, "profit": 50, "tax": 18, "discount": 10,
        "netTotalConverted": 54, "priceConverted": 45, "costPriceConverted": 20,
        "profitConverted": 25, "taxConverted": 9, "discountConverted": 5,
    }  # fmt: skip
    assert (line["total_discount"], line["net_amount_converted"]) == (10, 45)
    assert (shown["currency_code_name"], shown["conversion_rate"]) == ("US Dollar", Decimal("0.5"))
    assert "invoice_totals" not in await api.get(f"/api/Invoice/{made['id']}")


async def test_a_templates_breakdown_tells_what_comes_back_each_period(api: Api) -> None:
    made = await api.post("/api/RecurringInvoice", {"lines": LINES, "period": 2})

    shown = await api.get(f"/api/RecurringInvoice/{made['id']}", includedetails="true")

    told = shown["invoice_totals"]
    assert (told["recurringMonthlyTotal"], told["recurringTotal"]) == (108, 108)
    assert (told["nonRecurringTotal"], told["recurringAnnualTotal"]) == (10, 0)


async def test_the_tax_of_composite_rates_is_told(api: Api) -> None:
    part = (await api.post("/api/Tax", {"name": "a", "value": 5}))["id"]
    both = (await api.post("/api/Tax", {"name": "b", "is_composite": True,
            "linked_rates": [{"id": part}]}))["id"]  # fmt: skip
    lines = [{"unit_price": 100, "tax_code": str(both)}, {"unit_price": 100, "tax_code": str(part)}]
    made = await api.post("/api/Invoice", {"lines": lines})

    shown = await api.get(f"/api/Invoice/{made['id']}", includedetails="true")

    assert (shown["composite_tax_total"], shown["tax_total"]) == (5, 10)
