"""The HaloPSA API on one page."""

from collections.abc import Sequence

from app.halo import (
    actions,
    approval_actions,
    attempt_actions,
    mail_actions,
    refund_actions,
    stripe_actions,
)
from app.halo.access.internal_pages import internal
from app.halo.access.tokens import AUTHINFO, TOKEN, authinfo, token
from app.halo.autopay_forecast_action import forecast_charge
from app.halo.charge_calendar_action import show_calendar
from app.halo.engine.resource_routes import CaseInsensitiveRoute, resource_routes
from app.halo.openapi import invoice_actions as say, stripe_operations as stripe_says
from app.halo.openapi.attempt_operations import ENDED
from app.halo.openapi.autopay_operations import (
    APPROVED,
    CALENDAR,
    FORECAST,
    PREVIEWED,
    REJECTED,
)
from app.halo.openapi.docs_page import OPENAPI_JSON, PAGE, openapi_json, page, page_file
from app.halo.openapi.mail_operations import RETRIED_MAIL
from app.halo.openapi.pay_link_operations import LINK_MADE
from app.halo.openapi.payment_operations import SUGGESTED
from app.halo.openapi.refund_operations import REFUNDED
from app.halo.openapi.report_operations import REPORT_OPERATIONS
from app.halo.pay_link_actions import make_pay_link
from app.halo.payment_claims import ask_for_intents, list_suggestions
from app.halo.report_action import PATHS, report_of
from app.halo.resource_writers import WRITERS
from app.halo.resources.autopay_approval_resource import AUTOPAY_APPROVALS
from app.halo.resources.autopay_limit_resource import AUTOPAY_LIMITS
from app.halo.resources.autopay_pause_resource import AUTOPAY_PAUSES
from app.halo.resources.autopay_rule_resource import AUTOPAY_RULES
from app.halo.resources.balance_transaction_resource import BALANCE_TRANSACTIONS
from app.halo.resources.budget_type_resource import BUDGET_TYPES
from app.halo.resources.charge_attempt_resource import CHARGE_ATTEMPTS
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
from app.halo.resources.mail_resource import MAIL
from app.halo.resources.pay_link_resource import PAY_LINKS
from app.halo.resources.payout_resource import PAYOUTS
from app.halo.resources.recurring_invoice_resource import RECURRING_INVOICES
from app.halo.resources.site_resource import SITES
from app.halo.resources.tax_resource import TAXES
from app.halo.resources.tax_rule_resource import TAX_RULES
from app.halo.rule_changes import preview_rules
from app.ledger import (
    audit,
    autopay_pauses,
    autopay_policy,
    currency_history,
    invoicing,
    manual_payments,
    pay_links,
    void_and_delete,
)

ROUTES: Sequence[CaseInsensitiveRoute] = (
    CaseInsensitiveRoute("/api/Invoice/lines", actions.list_with_lines, "GET", say.LINES_LISTED),
    CaseInsensitiveRoute(
        "/api/Invoice/updatelines", actions.update_invoice_lines, "POST", say.LINES_UPDATED
    ),
    CaseInsensitiveRoute("/api/Invoice/View", actions.view_invoices, "POST", say.VIEWED),
    CaseInsensitiveRoute("/api/Invoice/PDF/{id}", actions.print_invoice, "POST", say.PRINTED),
    CaseInsensitiveRoute("/api/Invoice/{id}/void", actions.void_invoice, "POST", say.VOIDED),
    CaseInsensitiveRoute("/api/Invoice/{id}/credit", actions.credit_invoice, "POST", say.CREDITED),
    CaseInsensitiveRoute("/api/Invoice/{id}/retry", actions.retry_payment, "POST", say.RETRIED),
    CaseInsensitiveRoute("/api/Invoice/{id}/autopay", forecast_charge, "GET", FORECAST),
    *resource_routes(INVOICES, invoicing.save, void_and_delete.delete_invoice),
    CaseInsensitiveRoute(
        "/api/InvoicePayment/{id}/refund", refund_actions.refund_payment, "POST", REFUNDED
    ),
    CaseInsensitiveRoute(
        "/api/InvoicePayment/{id}/suggestions", list_suggestions, "GET", SUGGESTED
    ),
    *resource_routes(
        INVOICE_PAYMENTS, manual_payments.save, void_and_delete.delete_payment, ask_for_intents
    ),
    CaseInsensitiveRoute("/api/ChargeAttempt/{id}/end", attempt_actions.end_attempt, "POST", ENDED),
    *resource_routes(CHARGE_ATTEMPTS),
    CaseInsensitiveRoute("/api/AutopayRule/preview", preview_rules, "POST", PREVIEWED),
    *resource_routes(AUTOPAY_RULES, WRITERS[AUTOPAY_RULES], autopay_policy.delete_rule),
    *resource_routes(AUTOPAY_LIMITS, WRITERS[AUTOPAY_LIMITS], autopay_policy.delete_limit),
    *resource_routes(AUTOPAY_PAUSES, autopay_pauses.save, autopay_pauses.remove),
    CaseInsensitiveRoute(
        "/api/AutopayApproval/approve", approval_actions.approve, "POST", APPROVED
    ),
    CaseInsensitiveRoute("/api/AutopayApproval/reject", approval_actions.reject, "POST", REJECTED),
    *resource_routes(AUTOPAY_APPROVALS),
    CaseInsensitiveRoute("/api/AutopayCalendar", show_calendar, "GET", CALENDAR),
    *(
        CaseInsensitiveRoute(f"/api/Report/{PATHS[one]}", report_of(one), "GET", operation)
        for one, operation in REPORT_OPERATIONS.items()
    ),
    CaseInsensitiveRoute("/api/Mail/{id}/retry", mail_actions.retry_mail, "POST", RETRIED_MAIL),
    *resource_routes(MAIL),
    CaseInsensitiveRoute("/api/PayLink", make_pay_link, "POST", LINK_MADE),
    *resource_routes(PAY_LINKS, remove=pay_links.remove),
    *resource_routes(PAYOUTS),
    *resource_routes(BALANCE_TRANSACTIONS),
    *resource_routes(INVOICE_CHANGES, audit.save),
    *resource_routes(INVOICE_PRORATAS),
    CaseInsensitiveRoute(
        "/api/RecurringInvoice/updatelines",
        actions.update_template_lines,
        "POST",
        say.TEMPLATE_LINES_UPDATED,
    ),
    CaseInsensitiveRoute(
        "/api/RecurringInvoice/updatelines",
        actions.update_template_line_by_query,
        "GET",
        say.TEMPLATE_LINE_BY_QUERY,
    ),
    CaseInsensitiveRoute(
        "/api/RecurringInvoice/process", actions.process_templates, "POST", say.PROCESSED
    ),
    CaseInsensitiveRoute(
        "/api/RecurringInvoice/Lines", actions.add_template_lines, "POST", say.TEMPLATE_LINES_ADDED
    ),
    *resource_routes(RECURRING_INVOICES, invoicing.save_templates, void_and_delete.delete_template),
    CaseInsensitiveRoute(
        "/api/IntegrationData/Get/Stripe",
        stripe_actions.show_integration,
        "GET",
        stripe_says.INTEGRATION,
    ),
    *(
        CaseInsensitiveRoute(f"/api/IntegrationData/Post/Stripe/{name}", action, "POST", operation)
        for name, action, operation in (
            ("create-webhook", stripe_actions.create_webhook, stripe_says.WEBHOOK_MADE),
            ("create-setup-intent", stripe_actions.create_setup_intent, stripe_says.SETUP_MADE),
            (
                "create-payment-intent",
                stripe_actions.create_payment_intent,
                stripe_says.INTENT_MADE,
            ),
            (
                "update-invoice-payment",
                stripe_actions.update_invoice_payment,
                stripe_says.PAYMENT_UPDATED,
            ),
            (
                "create-portal-session",
                stripe_actions.create_portal_session,
                stripe_says.PORTAL_OPENED,
            ),
        )
    ),
    CaseInsensitiveRoute(
        "/api/Client/PaymentMethodUpdate",
        stripe_actions.update_payment_method,
        "POST",
        stripe_says.METHOD_UPDATED,
    ),
    *resource_routes(CLIENTS, WRITERS[CLIENTS]),
    *resource_routes(SITES),
    *resource_routes(CURRENCIES, WRITERS[CURRENCIES], currency_history.delete_currency),
    *resource_routes(TAXES, WRITERS[TAXES]),
    *resource_routes(TAX_RULES, WRITERS[TAX_RULES]),
    *resource_routes(COST_CENTRES),
    *resource_routes(BUDGET_TYPES),
    *resource_routes(CHARGE_RATES),
    *resource_routes(EXPENSES, WRITERS[EXPENSES]),
    *resource_routes(LOOKUPS),
    CaseInsensitiveRoute("/auth/token", token, "POST", TOKEN),
    CaseInsensitiveRoute("/api/authinfo", authinfo, "GET", AUTHINFO),
    CaseInsensitiveRoute("/api/openapi.json", internal(openapi_json), "GET", OPENAPI_JSON),
    CaseInsensitiveRoute("/api/docs", internal(page), "GET", PAGE),
    CaseInsensitiveRoute("/api/docs/{file}", internal(page_file), "GET"),
)
