"""Pro rata rows of invoice lines: what a line will add for a part of a period."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Number, Ref, Row


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
    quantity: Mapped[Number | None]
    unitprice: Mapped[Number | None]
    unitcost: Mapped[Number | None]
    shortdescription: Mapped[str | None]
    longdescription: Mapped[str | None]
    prorata_next_invoice: Mapped[bool | None]
    # The invoice that billed it; it is not billed again.
    invoiceheaderid: Mapped[Ref | None] = mapped_column(index=True)
    extra: Mapped[Any | None] = mapped_column(Json)
