"""Invoices, their lines, and who changed what."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.data.columns import HIDDEN, READ_ONLY, Id, Json, Ref, Row


class Invoice(Row):
    __tablename__ = "invoice"

    id: Mapped[Id]
    client_id: Mapped[Ref | None] = mapped_column(ForeignKey("client.id"))
    invoicenumber: Mapped[str | None]
    thirdpartyinvoicenumber: Mapped[str | None]
    reference: Mapped[str | None]
    order_number: Mapped[str | None]
    cust_order_number: Mapped[str | None]
    notes_1: Mapped[str | None]
    notes_2: Mapped[str | None]
    notes_3: Mapped[str | None]
    internal_note: Mapped[str | None]
    is_recurring_invoice: Mapped[bool] = mapped_column(default=False)
    recurring_invoice_id: Mapped[Ref | None]
    posted: Mapped[bool] = mapped_column(default=False)
    voided: Mapped[bool] = mapped_column(default=False)
    invoice_date: Mapped[datetime | None]
    duedate: Mapped[date | None]
    dateposted: Mapped[datetime | None]
    datesent: Mapped[datetime | None]
    datepaid: Mapped[datetime | None] = mapped_column(info=READ_ONLY)
    date_created: Mapped[datetime | None] = mapped_column(info=READ_ONLY)
    last_modified: Mapped[datetime | None] = mapped_column(info=READ_ONLY)
    currency_code: Mapped[Ref | None] = mapped_column(ForeignKey("currency.id"))
    currency_iso: Mapped[str] = mapped_column(default="usd", info=HIDDEN)
    currency_conversion_rate: Mapped[Decimal] = mapped_column(default=Decimal(1))
    total: Mapped[Decimal] = mapped_column(default=Decimal(0), info=READ_ONLY)
    tax_total: Mapped[Decimal] = mapped_column(default=Decimal(0), info=READ_ONLY)
    revenue: Mapped[Decimal] = mapped_column(default=Decimal(0), info=READ_ONLY)
    amountpaid: Mapped[Decimal] = mapped_column(default=Decimal(0), info=READ_ONLY)
    amountdue: Mapped[Decimal] = mapped_column(default=Decimal(0), info=READ_ONLY)
    paymentstatus: Mapped[int] = mapped_column(default=-1, info=READ_ONLY)
    payments_pending: Mapped[int] = mapped_column(default=0, info=READ_ONLY)
    payments_reversed: Mapped[int] = mapped_column(default=0, info=HIDDEN)
    take_auto_payment: Mapped[bool] = mapped_column(default=False)
    include_in_autopay: Mapped[bool] = mapped_column(default=False)
    change_seq: Mapped[int] = mapped_column(default=1, info=READ_ONLY)
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)

    __table_args__ = (
        Index("ix_invoice_client_id", "client_id", "id"),
        Index("ix_invoice_invoicenumber", "invoicenumber"),
        # What autopay walks: flagged invoices with something left, by day and id.
        Index(
            "ix_invoice_autopay_due",
            "duedate",
            "id",
            sqlite_where=text("(take_auto_payment OR include_in_autopay) AND amountdue > 0"),
            postgresql_where=text("(take_auto_payment OR include_in_autopay) AND amountdue > 0"),
        ),
        Index("ix_invoice_duedate", "duedate", "id"),
        Index("ix_invoice_invoice_date", "invoice_date", "id"),
        Index("ix_invoice_paymentstatus", "paymentstatus", "id"),
        {"sqlite_autoincrement": True},  # an id is never used twice: keys at Stripe carry it
    )


class InvoiceLine(Row):
    __tablename__ = "invoice_line"

    id: Mapped[Id]
    ihid: Mapped[Ref] = mapped_column(ForeignKey("invoice.id", ondelete="CASCADE"), index=True)
    sequenceid: Mapped[int] = mapped_column(default=0)
    item_code: Mapped[str | None]
    item_shortdescription: Mapped[str | None]
    item_longdescription: Mapped[str | None]
    nominal_code: Mapped[str | None]
    tax_code: Mapped[str | None]
    qty_order: Mapped[Decimal] = mapped_column(default=Decimal(0))
    unit_price: Mapped[Decimal] = mapped_column(default=Decimal(0))
    unit_cost: Mapped[Decimal] = mapped_column(default=Decimal(0))
    discount_perc: Mapped[Decimal] = mapped_column(default=Decimal(0))
    tax_rate: Mapped[Decimal] = mapped_column(default=Decimal(0))
    isinactive: Mapped[bool] = mapped_column(default=False)
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


class InvoiceChange(Row):
    __tablename__ = "invoice_change"

    id: Mapped[Id]
    invoice_id: Mapped[Ref | None]
    invoice_line_id: Mapped[Ref | None]
    type_id: Mapped[int] = mapped_column(default=0)
    field_id: Mapped[int] = mapped_column(default=0)
    field_name: Mapped[str | None]
    old_value: Mapped[str | None]
    new_value: Mapped[str | None]
    who: Mapped[str | None]
    datetime: Mapped[datetime | None]

    __table_args__ = (Index("ix_invoice_change_invoice_id", "invoice_id", "id"),)
