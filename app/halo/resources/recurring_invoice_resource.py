"""GET, POST and DELETE /RecurringInvoice: templates, which are invoices with negative ids."""

from dataclasses import replace

from sqlalchemy import (
    literal_column,
)

from app.halo.engine import filters
from app.halo.engine.resource import Child
from app.halo.resources.invoice_resource import FILTERS, INVOICES
from app.storage.tables.invoices import Invoice

RECURRING_INVOICES = replace(
    INVOICES,
    path="RecurringInvoice",
    only=(Invoice.id < literal_column("0"),),
    # Clients take `invoices` of a single record for the record itself, so only who asks has them.
    children={
        **INVOICES.children,
        "invoices": Child(
            INVOICES,
            Invoice.recurring_invoice_id,
            order=(Invoice.id,),
            in_list="includedetails",
            in_one="includedetails",
        ),
    },
    filters={
        **FILTERS,
        # A template's own id: lists of either kind then understand the same words.
        "recurringinvoice_id": filters.refers_to(Invoice.id),
        "billing_date": filters.on_day(
            Invoice.nextcreationdate, "Only those that make their next invoice on this day."
        ),
    },
)
