"""Expenses: what an agent spent for a client."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Ref, Row


class Expense(Row):
    __tablename__ = "expense"

    id: Mapped[Id]
    agent_id: Mapped[int | None]
    fault_id: Mapped[int | None]
    actionnumber: Mapped[int | None]
    description: Mapped[str | None]
    amount: Mapped[Decimal] = mapped_column(default=Decimal(0))
    # What kind it is: a Lookup of list 35.
    lookup_id: Mapped[Ref | None]
    date_added: Mapped[datetime | None]
    date_reimbursed: Mapped[datetime | None]
    date_invoiced: Mapped[datetime | None]
    invoiceable: Mapped[bool] = mapped_column(default=False)
    ihid: Mapped[Ref | None] = mapped_column(ForeignKey("invoice.id"), index=True)
    client_id: Mapped[Ref | None] = mapped_column(ForeignKey("client.id"), index=True)
    client_to_invoice_to_id: Mapped[Ref | None] = mapped_column(ForeignKey("client.id"), index=True)
    site_id: Mapped[Ref | None] = mapped_column(ForeignKey("site.id"), index=True)
    reviewed: Mapped[bool] = mapped_column(default=False)
    reviewed_agent_id: Mapped[int | None]
    extra: Mapped[Any | None] = mapped_column(Json)
