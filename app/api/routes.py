"""The HaloPSA API on one page."""

from collections.abc import Sequence

from app.api import actions, invoice_operations as say
from app.api.documentation import OPENAPI_JSON, PAGE, openapi_json, page, page_file
from app.api.endpoints import AnyCase, routes
from app.api.tokens import AUTHINFO, TOKEN, authinfo, token
from app.api.writers import WRITERS
from app.data.budget_type_resource import BUDGET_TYPES
from app.data.charge_rate_resource import CHARGE_RATES
from app.data.client_resource import CLIENTS
from app.data.cost_centre_resource import COST_CENTRES
from app.data.currency_resource import CURRENCIES
from app.data.expense_resource import EXPENSES
from app.data.invoice_change_resource import INVOICE_CHANGES
from app.data.invoice_payment_resource import INVOICE_PAYMENTS
from app.data.invoice_prorata_resource import INVOICE_PRORATAS
from app.data.invoice_resource import INVOICES
from app.data.lookup_resource import LOOKUPS
from app.data.recurring_invoice_resource import RECURRING_INVOICES
from app.data.site_resource import SITES
from app.data.tax_resource import TAXES
from app.data.tax_rule_resource import TAX_RULES
from app.ledger import audit, exchange, invoicing, receiving, removal

ROUTES: Sequence[AnyCase] = (
    AnyCase("/api/Invoice/lines", actions.list_with_lines, "GET", say.LINES_LISTED),
    AnyCase("/api/Invoice/updatelines", actions.update_invoice_lines, "POST", say.LINES_UPDATED),
    AnyCase("/api/Invoice/View", actions.view_invoices, "POST", say.VIEWED),
    AnyCase("/api/Invoice/PDF/{id}", actions.print_invoice, "POST", say.PRINTED),
    AnyCase("/api/Invoice/{id}/void", actions.void_invoice, "POST", say.VOIDED),
    *routes(INVOICES, invoicing.save, removal.delete_invoice),
    *routes(INVOICE_PAYMENTS, receiving.save, removal.delete_payment),
    *routes(INVOICE_CHANGES, audit.save),
    *routes(INVOICE_PRORATAS),
    AnyCase(
        "/api/RecurringInvoice/updatelines",
        actions.update_template_lines,
        "POST",
        say.TEMPLATE_LINES_UPDATED,
    ),
    AnyCase(
        "/api/RecurringInvoice/updatelines",
        actions.update_template_line_by_query,
        "GET",
        say.TEMPLATE_LINE_BY_QUERY,
    ),
    AnyCase("/api/RecurringInvoice/process", actions.process_templates, "POST", say.PROCESSED),
    AnyCase(
        "/api/RecurringInvoice/Lines", actions.add_template_lines, "POST", say.TEMPLATE_LINES_ADDED
    ),
    *routes(RECURRING_INVOICES, invoicing.save_templates, removal.delete_template),
    *routes(CLIENTS),
    *routes(SITES),
    *routes(CURRENCIES, WRITERS[CURRENCIES], exchange.remove),
    *routes(TAXES, WRITERS[TAXES]),
    *routes(TAX_RULES, WRITERS[TAX_RULES]),
    *routes(COST_CENTRES),
    *routes(BUDGET_TYPES),
    *routes(CHARGE_RATES),
    *routes(EXPENSES, WRITERS[EXPENSES]),
    *routes(LOOKUPS),
    AnyCase("/auth/token", token, "POST", TOKEN),
    AnyCase("/api/authinfo", authinfo, "GET", AUTHINFO),
    AnyCase("/api/openapi.json", openapi_json, "GET", OPENAPI_JSON),
    AnyCase("/api/docs", page, "GET", PAGE),
    AnyCase("/api/docs/{file}", page_file, "GET"),
)
