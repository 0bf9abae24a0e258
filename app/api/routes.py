"""The HaloPSA API on one page."""

from collections.abc import Sequence

from app.api.endpoints import AnyCase, routes
from app.api.tokens import authinfo, token
from app.api.writers import WRITERS
from app.data.catalogue import BUDGET_TYPES, CHARGE_RATES, COST_CENTRES
from app.data.clients import CLIENTS, CURRENCIES, SITES
from app.data.expenses import EXPENSES
from app.data.invoice_changes import INVOICE_CHANGES
from app.data.invoice_lists import INVOICES
from app.data.invoice_payments import INVOICE_PAYMENTS
from app.data.lookups import LOOKUPS
from app.data.taxes import TAX_RULES, TAXES
from app.ledger import audit, exchange, invoicing, receiving

ROUTES: Sequence[AnyCase] = (
    *routes(INVOICES, invoicing.save),
    *routes(INVOICE_PAYMENTS, receiving.save),
    *routes(INVOICE_CHANGES, audit.save),
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
    AnyCase("/auth/token", token, "POST"),
    AnyCase("/api/authinfo", authinfo, "GET"),
)
