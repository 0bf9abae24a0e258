"""Pro rata rows of invoice lines: what a line will add for a part of a period."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from app.data.clients import Client
from app.data.columns import HIDDEN, Id, Json, Ref, Row
from app.data.resource import LIST, Resource
from app.data.wider import known


class InvoiceProRata(Row):
    __tablename__ = "invoice_prorata"

    id: Mapped[Id]
    invoicedetailid: Mapped[Ref] = mapped_column(
        ForeignKey("invoice_line.id", ondelete="CASCADE"), index=True
    )
    invoice_id: Mapped[Ref]
    recurring_invoice_id: Mapped[Ref | None]
    client_id: Mapped[Ref | None]
    site_id: Mapped[Ref | None]
    date: Mapped[datetime | None]
    quantity: Mapped[Decimal | None]
    unitprice: Mapped[Decimal | None]
    unitcost: Mapped[Decimal | None]
    shortdescription: Mapped[str | None]
    longdescription: Mapped[str | None]
    prorata_next_invoice: Mapped[bool | None]
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


INVOICE_PRORATAS = Resource(
    path="InvoiceDetailProRata",
    table=InvoiceProRata,
    verbs=(LIST,),
    derived={
        "client_name": select(Client.name)
        .where(Client.id == InvoiceProRata.client_id)
        .scalar_subquery()
    },
    wider=known(
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
