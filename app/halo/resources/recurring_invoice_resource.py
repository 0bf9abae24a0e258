"""GET, POST and DELETE /RecurringInvoice: templates, which are invoices with negative ids."""

from dataclasses import replace

from sqlalchemy import literal_column

from app.halo.engine.filters import OnDay, References
from app.halo.engine.resource import Child
from app.halo.resources.invoice_filters import FILTERS
from app.halo.resources.invoice_resource import INVOICES
from app.storage.tables.invoices import Invoice

RECURRING_INVOICES = replace(
    INVOICES,
    path="RecurringInvoice",
    only=(Invoice.id < literal_column("0"),),
    listing=replace(
        INVOICES.listing,
        filters={
            **FILTERS,
            # A template's own id: lists of either kind then understand the same words.
            "recurringinvoice_id": References(Invoice.id),
            "billing_date": OnDay(
                Invoice.nextcreationdate, "Only those that make their next invoice on this day."
            ),
        },
    ),
    # Clients take `invoices` of a single record for the record itself, so only a request for
    # details has them.
    output=replace(
        INVOICES.output,
        children={
            **INVOICES.output.children,
            "invoices": Child(
                "The invoices that were made from it.",
                INVOICES,
                Invoice.recurring_invoice_id,
                order=(Invoice.id,),
                in_list="includedetails",
                in_one="includedetails",
            ),
        },
    ),
)
