"""The HaloPSA API on one page."""

from collections.abc import Sequence

from app.halo import actions
from app.halo.access.tokens import AUTHINFO, TOKEN, authinfo, token
from app.halo.engine.resource_routes import AnyCase, routes
from app.halo.openapi import invoice_actions as say
from app.halo.openapi.docs_page import OPENAPI_JSON, PAGE, openapi_json, page, page_file
from app.halo.resource_writers import WRITERS
from app.halo.resources.budget_type_resource import BUDGET_TYPES
from app.halo.resources.charge_rate_resource import CHARGE_RATES
from app.halo.resources.client_resource import CLIENTS
from app.halo.resources.cost_centre_resource import COST_CENTRES
from app.halo.resources.currency_resource import CURRENCIES
from app.halo.resources.expense_resource import EXPENSES
from app.halo.resources.invoice_change_resource import INVOICE_CHANGES
from app.halo.resources.invoice_payment_resource import INVOICE_PAYMENTS
from app.halo.resources.invoice_prorata_resource import INVOICE_PRORATAS
from app.halo.resources.invoice_resource import INVOICES
from app.halo.resources.lookup_resource import LOOKUPS
from app.halo.resources.recurring_invoice_resource import RECURRING_INVOICES
from app.halo.resources.site_resource import SITES
from app.halo.resources.tax_resource import TAXES
from app.halo.resources.tax_rule_resource import TAX_RULES
from app.ledger import audit, currency_history, invoicing, manual_payments, void_and_delete

ROUTES: Sequence[AnyCase] = (
    AnyCase("/api/Invoice/lines", actions.list_with_lines, "GET", say.LINES_LISTED),
    AnyCase("/api/Invoice/updatelines", actions.update_invoice_lines, "POST", say.LINES_UPDATED),
    AnyCase("/api/Invoice/View", actions.view_invoices, "POST", say.VIEWED),
    AnyCase("/api/Invoice/PDF/{id}", actions.print_invoice, "POST", say.PRINTED),
    AnyCase("/api/Invoice/{id}/void", actions.void_invoice, "POST", say.VOIDED),
    *routes(INVOICES, invoicing.save, void_and_delete.delete_invoice),
    *routes(INVOICE_PAYMENTS, manual_payments.save, void_and_delete.delete_payment),
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
    *routes(RECURRING_INVOICES, invoicing.save_templates, void_and_delete.delete_template),
    *routes(CLIENTS),
    *routes(SITES),
    *routes(CURRENCIES, WRITERS[CURRENCIES], currency_history.remove),
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
