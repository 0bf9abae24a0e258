"""The HaloPSA API on one page."""

from collections.abc import Sequence

from app.api.endpoints import AnyCase, routes
from app.api.tokens import authinfo, lookup, token
from app.api.writing import writer
from app.data.clients import CLIENTS, CURRENCIES
from app.data.invoice_lists import INVOICES
from app.data.invoice_payments import INVOICE_PAYMENTS
from app.data.taxes import TAX_RULES, TAXES
from app.ledger import exchange, invoicing, receiving, taxing

ROUTES: Sequence[AnyCase] = (
    *routes(INVOICES, invoicing.save),
    *routes(INVOICE_PAYMENTS, receiving.save),
    *routes(CLIENTS),
    *routes(CURRENCIES, writer(CURRENCIES, exchange.with_history), exchange.remove),
    *routes(TAXES, writer(TAXES, finish=taxing.link_rates)),
    *routes(TAX_RULES, writer(TAX_RULES, finish=taxing.keep_conditions)),
    AnyCase("/auth/token", token, "POST"),
    AnyCase("/api/authinfo", authinfo, "GET"),
    AnyCase("/api/lookup", lookup, "GET"),
)
