"""Bodies that are accepted as they stand, for OpenAPI."""

from collections.abc import Mapping
from typing import Any

from app.halo.engine.codec import codec_of
from app.halo.engine.json_schema import Schema
from app.halo.engine.resource import Resource

_OF: Mapping[str, Mapping[str, Any]] = {
    "Client": {"name": "Ada Ltd", "email": "accounts@ada.example", "timezone": "Europe/London"},
    "Currency": {"name": "Test Franc", "symbol": "T", "code": "XTS", "conversion_rate": 1.25},
    "Invoice": {
        "duedate": "2026-12-01T00:00:00",
        "reference": "December",
        "lines": [{"item_shortdescription": "Support", "qty_order": 2, "unit_price": 49.5}],
    },
    "RecurringInvoice": {
        "reference": "Monthly support",
        "lines": [{"item_shortdescription": "Support", "qty_order": 1, "unit_price": 99}],
    },
    "InvoiceChange": {
        "invoice_id": 1,
        "field_name": "reference",
        "old_value": "November",
        "new_value": "December",
    },
    "Site": {"name": "Head office", "client_id": 1},
    "Tax": {"name": "VAT", "code": "S", "value": 20},
    "TaxRule": {"name": "Everybody", "taxid": 1, "sequence": 1},
    "CostCentres": {"name": "Support", "chargeable": True},
    "AutopayRule": {"name": "Large projects", "action": "ask", "amount_from": 10000},
    "AutopayLimit": {"kind": "invoice", "currency": "usd", "amount": 10000},
    "AutopayPause": {"reason": "The card is being replaced", "until": "2099-01-01T00:00:00"},
    "BudgetType": {"name": "Projects", "defaultrate": 95},
    "Expense": {"description": "Train to Leeds", "amount": 48.2, "invoiceable": True},
    "InvoicePayment": {"invoice_id": 1, "amount": 49.5, "reference": "Transfer of 1 December"},
}


def example_of(resource: Resource) -> dict[str, Any]:
    """An object to be created: the one given above, else one with the required fields alone."""
    known = _OF.get(resource.path)
    return dict(known) if known else _least(resource)


def _least(resource: Resource) -> dict[str, Any]:
    codec = codec_of(resource)
    return {
        one.name: _value(codec.input_schema(one.name))
        for one in codec.columns
        if not (one.nullable or one.default or one.primary_key)
        and not resource.fields[one.name].read_only
    }


def _value(schema: Schema) -> Any:
    match schema:
        case {"type": "boolean"}:
            return True
        case {"type": "integer" | "number"}:
            return 1
        case {"format": "date-time-local"}:
            return "2026-12-01T00:00:00"
        case _:
            return "Example"
