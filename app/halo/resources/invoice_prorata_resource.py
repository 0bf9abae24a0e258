"""GET /InvoiceDetailProRata."""

from sqlalchemy import select

from app.halo.engine.resource import LIST, Resource
from app.halo.resources.passthrough import passthrough
from app.storage.tables.clients import Client
from app.storage.tables.invoice_proratas import InvoiceProRata

INVOICE_PRORATAS = Resource(
    path="InvoiceDetailProRata",
    table=InvoiceProRata,
    verbs=(LIST,),
    derived={
        "client_name": select(Client.name)
        .where(Client.id == InvoiceProRata.client_id)
        .scalar_subquery()
    },
    wider=passthrough(
        flags="""
            dont_auto_calculate include_in_roi inv_manual_pr_immediately isfuturepr isinvoiced
            istempprorata
        """,
        numbers="""
            change_id client_to_invoice_id device_id invoiceheaderid quantity_id user_id
        """,
        texts="_warning",
    ),
)
