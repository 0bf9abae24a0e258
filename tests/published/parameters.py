"""Which check shows which published parameter of which endpoint."""

from tests.published import invoice_parameters as invoices, other_parameters as others
from tests.published.contract import Parameter
from tests.published.scene import Check

DETAILS: dict[str, Check] = {
    "/api/BudgetType": others.alone,
    "/api/ChargeRate": others.charge_rate_details,
    "/api/CostCentres": others.alone,
    "/api/Currency": others.details("history", conversion_rate=2),
    "/api/Invoice": others.details("payments"),
    "/api/InvoicePayment": others.payment_details,
    "/api/RecurringInvoice": others.invoices_of_a_template,
    "/api/Tax": others.tax_details,
}

_OF_LISTS = {
    "/api/BudgetType": others.BUDGET_CHECKS,
    "/api/ChargeRate": others.CHARGE_RATE_CHECKS,
    "/api/Invoice": invoices.INVOICE_CHECKS,
    "/api/InvoiceChange": others.CHANGE_CHECKS,
    "/api/InvoicePayment": others.PAYMENT_CHECKS,
    "/api/RecurringInvoice": invoices.RECURRING_CHECKS,
    "/api/Tax": others.TAX_CHECKS,
}

_RESOURCES = """
    BudgetType ChargeRate CostCentres Currency Invoice InvoicePayment RecurringInvoice Tax TaxRule
""".split()
_READ = {f"/api/{one}" for one in _RESOURCES}
_DELETED = _READ - {"/api/ChargeRate"}

CHECKS: dict[Parameter, Check] = {
    **{
        Parameter(f"GET {path}", name): check
        for path, checks in _OF_LISTS.items()
        for name, check in checks.items()
    },
    **{Parameter(f"GET {path}/{{id}}", "id"): others.read_by_id for path in _READ},
    **{Parameter(f"GET {path}/{{id}}", "includedetails"): check for path, check in DETAILS.items()},
    **{Parameter(f"DELETE {path}/{{id}}", "id"): others.deleted_by_id for path in _DELETED},
    **{
        Parameter(f"DELETE {path}/{{id}}", "bypass_accounts_sync"): others.deleted_without_accounts
        for path in ("/api/Invoice", "/api/RecurringInvoice")
    },
    Parameter("GET /api/Tax/{id}", "includeqbotaxrates"): others.quickbooks_rates,
    Parameter("POST /api/Invoice/{id}/void", "id"): others.voided_by_id,
    Parameter("POST /api/Invoice/PDF/{id}", "id"): others.printed_by_id,
}
