"""Lines of invoices as the API shows and accepts them, inside /Invoice and /RecurringInvoice."""

from decimal import Decimal
from typing import Any

from app.errors import InvalidField
from app.halo.engine import json_schema, parsing, serializing
from app.halo.engine.codec import codec_of
from app.halo.engine.resource import Resource
from app.halo.resources import passthrough
from app.halo.resources.invoice_prorata_resource import INVOICE_PRORATAS
from app.ledger.prorata import ProrataData, ProrataEntry
from app.storage import rows
from app.storage.engines import Record
from app.storage.rows import InputRecord
from app.storage.tables.invoices import InvoiceLine, line_of


def _percent(name: str, value: Any) -> Decimal | None:
    found = parsing.exact(name, value)
    if found is not None and not 0 <= found <= 100:
        raise InvalidField(name, f"{found} is not a percentage from 0 to 100")
    return found


def _prorata_data(name: str, value: Any) -> ProrataData:
    """The list as its caller wrote it, and each entry as the columns of its own row."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InvalidField(name, "is not an array of objects")
    records = codec_of(INVOICE_PRORATAS).load_list(name, value)
    return ProrataData(parsing.nested(name, value), [_prorata_entry(one) for one in records])


def _prorata_entry(record: InputRecord) -> ProrataEntry:
    columns = (record.get(name) for name in ProrataEntry._fields)
    return ProrataEntry._make(columns)._replace(
        extra=rows.merge_extra(None, record.get("extra") or {})
    )


def _amounts(row: Record) -> dict[str, Any]:
    """HaloPSA's words: `total_price` is net, `net_total` is gross."""
    line = line_of(row)
    net, tax = serializing.number(line.net), serializing.number(line.tax)
    return {
        "net_amount": net,
        "total_price": net,
        "tax_amount": tax,
        "total_tax": tax,
        "net_total": serializing.number(line.net + line.tax),
    }


INVOICE_LINES = Resource(
    path="InvoiceDetail",
    table=InvoiceLine,
    computed=_amounts,
    further={
        **dict.fromkeys(
            """
            net_amount total_price tax_amount total_tax net_total total_costprice total_discount
            total_net_total conversion_rate_internal unit_price_converted unitprice_converted
            cost_converted net_amount_converted tax_converted total_tax_converted
            total_price_converted total_cost_converted discount_converted total_discount_converted
            """.split(),
            json_schema.NUMBER,
        ),
        "line_totals": {"type": "object"},
    },
    readers={"discount_perc": _percent, "tax_rate": _percent, "prorata_data": _prorata_data},
    instructions={
        "ihid": parsing.whole,
        "last_change_seq": parsing.small,
        "ignore_change_seq": parsing.flag,
    },
    wider=passthrough.INVOICE_LINE,
    # In lists; a single invoice shows all of its lines.
    on_request={"linked_item": "include_linked_item_details"},
)
