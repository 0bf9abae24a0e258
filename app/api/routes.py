"""The HaloPSA API on one page."""

from collections.abc import Sequence

from app.api.endpoints import AnyCase, routes
from app.api.tokens import authinfo, lookup, token
from app.api.writing import writer
from app.data.clients import CLIENTS, CURRENCIES
from app.data.invoice_lists import INVOICES
from app.data.invoice_payments import INVOICE_PAYMENTS
from app.ledger import exchange, invoicing, receiving

ROUTES: Sequence[AnyCase] = (
    *routes(INVOICES, invoicing.save),
    *routes(INVOICE_PAYMENTS, receiving.save),
    *routes(CLIENTS, writer(CLIENTS)),
    *routes(CURRENCIES, writer(CURRENCIES, exchange.with_history)),
    AnyCase("/auth/token", token, "POST"),
    AnyCase("/api/authinfo", authinfo, "GET"),
    AnyCase("/api/lookup", lookup, "GET"),
)
