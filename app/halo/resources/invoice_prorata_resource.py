"""GET /InvoiceDetailProRata."""

from sqlalchemy import select

from app.halo.engine.parsing import reference
from app.halo.engine.resource import LIST, Derived, Field, Input, Output, Resource
from app.halo.resources.passthrough import passthrough
from app.halo.resources.shared_fields import CLIENT_NAME, ID
from app.storage.tables.clients import Client
from app.storage.tables.invoice_proratas import InvoiceProRata

INVOICE_PRORATAS = Resource(
    path="InvoiceDetailProRata",
    table=InvoiceProRata,
    verbs=(LIST,),
    fields={
        "id": ID,
        "invoicedetailid": Field("`id` of the line that has the entry.", reference),
        "invoice_id": Field("The invoice's `id`."),
        "recurring_invoice_id": Field("The template's `id`, where the line is a template's."),
        "client_id": Field("The client's `id`."),
        "site_id": Field("The site's `id`."),
        "date": Field("The first day that is billed, where the client is."),
        "quantity": Field("The quantity that comes, or that goes when it is negative."),
        "unitprice": Field("The price of one for a whole period; the line's when there is none."),
        "unitcost": Field("The cost of one for a whole period."),
        "shortdescription": Field("The entry in a few words."),
        "longdescription": Field("The entry at length."),
        "invoiceheaderid": Field(
            "`id` of the invoice that billed it, by a line of its own.", read_only=True
        ),
        "prorata_next_invoice": Field("Whether the client wants it on the next invoice."),
    },
    output=Output(
        derived={
            "client_name": Derived(
                CLIENT_NAME,
                select(Client.name).where(Client.id == InvoiceProRata.client_id).scalar_subquery(),
            )
        }
    ),
    input=Input(
        passthrough=passthrough(
            flags="""
                dont_auto_calculate include_in_roi inv_manual_pr_immediately isfuturepr isinvoiced
                istempprorata
            """,
            numbers="""
                change_id client_to_invoice_id device_id quantity_id user_id
            """,
            texts="_warning",
        )
    ),
)
