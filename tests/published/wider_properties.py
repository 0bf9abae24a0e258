"""Properties of the wider schema: Paydue computes nothing from them, and gives them back."""

from typing import Any

from tests.published.contract import wider
from tests.published.samples import kept_wider
from tests.published.scene import Scene
from tests.service import Service

# Words by which a client asks for something to be done once; there is nothing to give back.
COMMANDS = {
    "InvoiceHeader": """
        add_lines apply_credit apply_credit_amount apply_credit_description apply_credit_id
        apply_credit_long_description apply_credit_tax_type approval_start create_recurring_invoice
        force_creation ignore_change_seq last_change_seq mark_credit_as_used markaspaid
        markaspaidmoduleid new_external_link sendinvoicereminder update_invoice_conversion_rate
    """,
    "InvoiceDetail": "force_new merge_lines_if_matched",
}

# What follows from other properties: a copy that a client keeps must not contradict them.
FOLLOWS = {
    "Expense": "client_name type_name",
    "InvoiceDetail": """
        baseprice_converted conversion_rate_internal cost_converted decimalplacesforinvoices
        discount_converted line_totals net_amount_converted tax_converted tax_converted_override
        total_cost_converted total_costprice total_discount total_discount_converted
        total_net_total total_price_annual total_price_annual_converted total_price_converted
        total_price_monthly total_price_monthly_converted total_price_yearone
        total_price_yearone_converted total_purchase_cost total_tax_converted
        total_tax_converted_override unit_price_converted unitprice_converted
    """,
    "InvoiceHeader": """
        apply_credit_credit_outstanding change_seq composite_tax_total conversion_rate
        credit_outstanding_for_customer currency_code_name customer_paid_total date_created
        invoice_display last_change_agent payments_pending type use
    """,
    "InvoicePayment_List": "invoice_invoicenumber",
}


def others(schema: str) -> set[str]:
    """What is not given back as it came; every name with `_` in front is a command."""
    named = COMMANDS.get(schema, "") + FOLLOWS.get(schema, "")
    told = {name for name in wider(schema) if name.startswith("_")}
    return {*named.split(), *told}


async def of_invoices(service: Service) -> int:
    return await _kept(service, "/api/Invoice", "InvoiceHeader")


async def of_templates(service: Service) -> int:
    return await _kept(service, "/api/RecurringInvoice", "InvoiceHeader")


async def of_lines(service: Service) -> int:
    values = kept_wider("InvoiceDetail", others("InvoiceDetail"), **_LINE)
    scene = Scene(service, "/api/Invoice")
    made = await scene.make(lines=[values])
    [line] = (await scene.api.get(scene.path_of(made)))["lines"]
    _assert_same(line, values)
    return len(values)


# Rows of a table of their own: tests/api/test_recurring_invoices.py.
_LINE = {"prorata_data": [], "meter_tiers": [{"minquantity": 1, "price": 2}]}


async def of_payments(service: Service) -> int:
    return await _kept(service, "/api/InvoicePayment", "InvoicePayment_List")


async def of_taxes(service: Service) -> int:
    return await _kept(service, "/api/Tax", "Tax", {}, includeqbotaxrates="true")


async def of_cost_centres(service: Service) -> int:
    return await _kept(service, "/api/CostCentres", "Costcentres")


async def of_budget_types(service: Service) -> int:
    return await _kept(service, "/api/BudgetType", "BudgetType")


async def of_expenses(service: Service) -> int:
    kinds = await service.api.get("/api/lookup", lookupid="35")
    named = {"lookup_id": kinds[0]["id"], "client_to_invoice_to_id": await service.api.client()}
    return await _kept(service, "/api/Expense", "Expense", named)


async def of_changes(service: Service) -> int:
    return await _kept(service, "/api/InvoiceChange", "InvoiceChange")


async def _kept(
    service: Service, path: str, schema: str, given: dict[str, Any] | None = None, **params: str
) -> int:
    values = kept_wider(schema, others(schema) | {"id"}, **given or {})
    scene = Scene(service, path)
    await scene.make(**values)
    [shown] = await scene.records(**params)
    _assert_same(shown, values)
    return len(values)


def _assert_same(shown: dict[str, Any], values: dict[str, Any]) -> None:
    wrong = {name: shown.get(name) for name, one in values.items() if shown.get(name) != one}
    assert wrong == {}
