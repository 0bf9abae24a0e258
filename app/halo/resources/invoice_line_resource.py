"""Lines of invoices as the API shows and accepts them, inside /Invoice and /RecurringInvoice."""

from typing import Any

from sqlalchemy import Text, and_, case, cast, exists, literal

from app.errors import InvalidField
from app.halo.engine import json_schema, parsing
from app.halo.engine.codec import codec_of, number
from app.halo.engine.parsing import percentage, short_text
from app.halo.engine.resource import Computed, Derived, Field, Input, Output, Property, Resource
from app.halo.resources import passthrough
from app.halo.resources.invoice_prorata_resource import INVOICE_PRORATAS
from app.halo.resources.shared_fields import ID
from app.ledger.prorata import ProrataData, ProrataEntry
from app.storage import rows
from app.storage.engines import Record
from app.storage.rows import InputRecord
from app.storage.tables.invoices import InvoiceLine, line_of
from app.storage.tables.taxes import Tax


def _prorata_data(name: str, value: Any) -> ProrataData:
    """The list as its caller wrote it, with each entry as the columns of its own row."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InvalidField(name, "is not an array of objects")
    records = codec_of(INVOICE_PRORATAS).parse_list(name, value)
    return ProrataData(parsing.nested(name, value), [_prorata_entry(one) for one in records])


def _prorata_entry(record: InputRecord) -> ProrataEntry:
    columns = (record.get(name) for name in ProrataEntry._fields)
    return ProrataEntry._make(columns)._replace(
        extra=rows.merge_extra(None, record.get("extra") or {})
    )


def _amounts(row: Record) -> dict[str, Any]:
    """HaloPSA's words: `total_price` is net, `net_total` is gross."""
    line = line_of(row)
    net, tax = number(line.net), number(line.tax)
    return {
        "net_amount": net,
        "total_price": net,
        "tax_amount": tax,
        "total_tax": tax,
        "net_total": number(line.net + line.tax),
    }


def _amount(about: str) -> Property:
    return Property(json_schema.NUMBER, about)


def _converted(about: str) -> Property:
    return _amount(f"{about}, in the home currency. With `includedetails`.")


_AMOUNTS = {
    "net_amount": _amount("Quantity times price, less the discount, without tax."),
    "total_price": _amount("Quantity times price, less the discount, without tax."),
    "tax_amount": _amount("The line's tax."),
    "total_tax": _amount("The line's tax."),
    "net_total": _amount("The line's price with tax."),
}
_DETAILS = {
    "total_costprice": _amount("The cost of the whole line. With `includedetails`."),
    "total_discount": _amount("The amount that the discount takes off. With `includedetails`."),
    "total_net_total": _amount("The line's price with tax. With `includedetails`."),
    "conversion_rate_internal": _amount("The invoice's conversion rate. With `includedetails`."),
    "unit_price_converted": _converted("The price of one, without tax"),
    "unitprice_converted": _converted("The price of one, without tax"),
    "cost_converted": _converted("The cost of one"),
    "net_amount_converted": _converted("The line's price without tax"),
    "tax_converted": _converted("The line's tax"),
    "total_tax_converted": _converted("The line's tax"),
    "total_price_converted": _converted("The line's price without tax"),
    "total_cost_converted": _converted("The cost of the whole line"),
    "discount_converted": _converted("The amount that the discount takes off"),
    "total_discount_converted": _converted("The amount that the discount takes off"),
    "line_totals": Property(
        {"type": "object"},
        "The line's sums, each in its currency and converted. With `includedetails`.",
    ),
}

# HaloPSA writes these for a line that names no tax.
_NO_TAX_CODES = ("", "0", "-1")
_NAMES_A_TAX = exists().where(cast(Tax.id, Text) == InvoiceLine.tax_code)
_WARNING = case(
    (
        and_(InvoiceLine.tax_code.not_in(_NO_TAX_CODES), ~_NAMES_A_TAX),
        literal("tax_code: there is no Tax of this id, so only tax_rate counts"),
    )
)

INVOICE_LINES = Resource(
    path="InvoiceDetail",
    table=InvoiceLine,
    fields={
        "id": ID,
        "ihid": Field("`id` of the line's invoice.", parsing.whole),
        "sequenceid": Field("The line's place in its invoice."),
        "item_code": Field("The item's code."),
        "item_shortdescription": Field("The goods or the service, in a few words."),
        "item_longdescription": Field("The goods or the service, at length."),
        "nominal_code": Field("The account that the line is booked to."),
        "tax_code": Field("`id` of its Tax, as text.", short_text),
        "qty_order": Field("The quantity."),
        "unit_price": Field("The price of one, without tax unless `price_includes_tax`."),
        "unit_cost": Field("The cost of one."),
        "discount_perc": Field("Percent taken off the price, 0 to 100.", percentage),
        "tax_rate": Field("Percent of tax, 0 to 100.", percentage),
        "price_includes_tax": Field(
            "Whether `unit_price` has the tax in it; `net_amount` has not."
        ),
        "tax_category": Field(
            "The category of its Tax when the rate was taken: a code of UNTDID 5305.",
            read_only=True,
        ),
        "tax_exemption_reason": Field(
            "The reason of its Tax why nothing is taxed, when the rate was taken.", read_only=True
        ),
        "isinactive": Field("Whether the line is inactive: it does not count then."),
        "asset_id": Field("The asset's number; the list's parameter `asset_id` finds it."),
        "onetimecharge": Field("Of a template's line: whether it is charged only once."),
        "onetimechargeinvoiceid": Field(
            "Of a template's line that is charged once: `id` of the invoice it was charged on."
        ),
        "startdate": Field("Of a template's line: no invoice of an earlier day has it."),
        "enddate": Field("Of a template's line: no invoice of a later day has it."),
        "prorata_data": Field(
            "An array of objects, as it was given; `GET /InvoiceDetailProRata` lists its entries.",
            _prorata_data,
        ),
    },
    output=Output(
        derived={
            "_warning": Derived("Anything about the line that somebody should mend.", _WARNING)
        },
        computed=Computed(_AMOUNTS, _amounts),
        from_parent=_DETAILS,
        # In lists; a single invoice shows all of its lines.
        on_request={"linked_item": "include_linked_item_details"},
    ),
    input=Input(
        instructions={
            "last_change_seq": Field(
                "The `change_seq` that you have seen; when it is not the newest any more, 409.",
                parsing.small,
            ),
            "ignore_change_seq": Field(
                "Whether it is written even when somebody else was quicker.", parsing.flag
            ),
        },
        passthrough={
            **passthrough.INVOICE_LINE,
            **passthrough.TEMPLATE_LINE,
            **passthrough.LINE_SOURCE,
        },
    ),
)
