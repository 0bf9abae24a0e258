"""Invoices and their templates, their lines, and the audit of their changes."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ForeignKey, Index, and_, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from app.rules.invoice import Line
from app.storage.column_types import Id, Json, Number, Ref, Row
from app.storage.engines import Record
from app.storage.fulltext import SearchIndex


def _unless_null(name: str, *columns: str, unique: bool = False) -> Index:
    """An index that costs nothing for the many rows that have no such value."""
    there = text(f"{columns[0]} IS NOT NULL")
    return Index(name, *columns, unique=unique, sqlite_where=there, postgresql_where=there)


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
    # Lists are filtered by these; 0 and -1 are stored as clients write them and mean none.
    contract_id: Mapped[Ref | None]
    ticket_id: Mapped[Ref | None]
    salesorder_id: Mapped[Ref | None]
    purchaseorder_id: Mapped[Ref | None]
    sitenumber: Mapped[Ref | None]
    uid: Mapped[Ref | None]
    billingcategory: Mapped[int | None]
    invoicetype: Mapped[int] = mapped_column(default=0)
    approval_status: Mapped[int] = mapped_column(default=0)
    approvalagentid: Mapped[Ref | None]
    reviewrequired: Mapped[bool] = mapped_column(default=False)
    xeroid: Mapped[str | None]
    qboid: Mapped[Ref | None]
    disabled: Mapped[bool] = mapped_column(default=False)
    is_recurring_invoice: Mapped[bool] = mapped_column(default=False)
    recurring_invoice_id: Mapped[Ref | None]
    # The day of the template's schedule that this invoice was made for; one invoice a day.
    made_for: Mapped[date | None]
    startdate: Mapped[datetime | None]
    enddate: Mapped[datetime | None]
    lastcreated: Mapped[datetime | None]
    nextcreationdate: Mapped[datetime | None]
    # The next date as somebody last wrote it: a schedule of the 31st comes back to the 31st.
    anchored_at: Mapped[datetime | None]
    # HaloPSA's codes; rules/schedule.py says what follows from them.
    period: Mapped[int | None]
    due_date_type: Mapped[int | None]
    due_date_int: Mapped[int | None]
    posted: Mapped[bool] = mapped_column(default=False)
    voided: Mapped[bool] = mapped_column(default=False)
    invoice_date: Mapped[datetime | None]
    duedate: Mapped[date | None]
    dateposted: Mapped[datetime | None]
    datesent: Mapped[datetime | None]
    datepaid: Mapped[datetime | None]
    date_created: Mapped[datetime | None]
    last_modified: Mapped[datetime | None]
    currency_code: Mapped[Ref | None] = mapped_column(ForeignKey("currency.id"))
    currency_iso: Mapped[str] = mapped_column(default="usd")
    currency_conversion_rate: Mapped[Number] = mapped_column(default=Decimal(1))
    total: Mapped[Decimal] = mapped_column(default=Decimal(0))
    tax_total: Mapped[Decimal] = mapped_column(default=Decimal(0))
    revenue: Mapped[Decimal] = mapped_column(default=Decimal(0))
    amountpaid: Mapped[Decimal] = mapped_column(default=Decimal(0))
    amountdue: Mapped[Decimal] = mapped_column(default=Decimal(0))
    paymentstatus: Mapped[int] = mapped_column(default=-1)
    payments_pending: Mapped[int] = mapped_column(default=0)
    payments_reversed: Mapped[int] = mapped_column(default=0)
    take_auto_payment: Mapped[bool] = mapped_column(default=False)
    include_in_autopay: Mapped[bool] = mapped_column(default=False)
    change_seq: Mapped[int] = mapped_column(default=1)
    # As PAYDUE_TAX_ROUNDING was when it was made, so that its sums stay.
    rounded_by_line: Mapped[bool] = mapped_column(default=False)
    # The day that decides which tax applies, where it is another than that of the invoice.
    tax_point_date: Mapped[date | None]
    extra: Mapped[Any | None] = mapped_column(Json)

    __table_args__ = (
        Index("ix_invoice_client_id", "client_id", "id"),
        Index("ix_invoice_invoicenumber", "invoicenumber"),
        # Autopay reads flagged invoices with an amount due in this order.
        Index(
            "ix_invoice_autopay_due",
            "duedate",
            "id",
            sqlite_where=text(
                "(take_auto_payment = 1 OR include_in_autopay = 1) AND paymentstatus <> 2"
            ),
            postgresql_where=text(
                "(take_auto_payment OR include_in_autopay) AND paymentstatus <> 2"
            ),
        ),
        # A rule may take invoices without a flag too.
        Index(
            "ix_invoice_unflagged_due",
            "duedate",
            "id",
            sqlite_where=text(
                "take_auto_payment = 0 AND include_in_autopay = 0 AND paymentstatus <> 2"
            ),
            postgresql_where=text(
                "NOT take_auto_payment AND NOT include_in_autopay AND paymentstatus <> 2"
            ),
        ),
        Index("ix_invoice_duedate", "duedate", "id"),
        Index("ix_invoice_invoice_date", "invoice_date", "id"),
        Index("ix_invoice_paymentstatus", "paymentstatus", "invoice_date", "id"),
        Index("ix_invoice_total", "total"),
        Index("ix_invoice_datepaid", "datepaid"),
        # An invoice found by the number another system gave it.
        _unless_null("ix_invoice_thirdpartyinvoicenumber", "thirdpartyinvoicenumber"),
        _unless_null("ix_invoice_xeroid", "xeroid"),
        _unless_null("ix_invoice_qboid", "qboid"),
        # NULLs differ from each other: what was not made for a day may be made again.
        _unless_null("uq_invoice_made_for", "recurring_invoice_id", "made_for", unique=True),
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
    qty_order: Mapped[Number] = mapped_column(default=Decimal(1))
    unit_price: Mapped[Number] = mapped_column(default=Decimal(0))
    unit_cost: Mapped[Number] = mapped_column(default=Decimal(0))
    discount_perc: Mapped[Number] = mapped_column(default=Decimal(0))
    tax_rate: Mapped[Number] = mapped_column(default=Decimal(0))
    price_includes_tax: Mapped[bool] = mapped_column(default=False)
    # Of its Tax when the rate was taken from it: the code of UNTDID 5305, and why nothing is taxed.
    tax_category: Mapped[str | None]
    tax_exemption_reason: Mapped[str | None]
    isinactive: Mapped[bool] = mapped_column(default=False)
    asset_id: Mapped[Ref | None]
    onetimecharge: Mapped[bool | None]
    # Of a template's line that is charged once: the invoice it was charged on.
    onetimechargeinvoiceid: Mapped[Ref | None]
    startdate: Mapped[datetime | None]
    enddate: Mapped[datetime | None]
    # As the caller wrote it; its rows stand in invoice_prorata.
    prorata_data: Mapped[Any | None] = mapped_column(Json)
    extra: Mapped[Any | None] = mapped_column(Json)

    __table_args__ = (
        _unless_null("ix_invoice_line_asset_id", "asset_id"),
        _unless_null("ix_invoice_line_tax_code", "tax_code"),  # whether a tax rate is in use
    )


class RecurringNumber(Row):
    """The numbers of templates. A template's id is below -1 and is never used twice."""

    __tablename__ = "recurring_number"

    id: Mapped[Id]
    given_at: Mapped[datetime]

    __table_args__ = ({"sqlite_autoincrement": True},)


class InvoiceNumber(Row):
    """A number that an invoice has, or had. It is never given to another one."""

    __tablename__ = "invoice_number"

    number: Mapped[str] = mapped_column(primary_key=True)
    invoice_id: Mapped[Ref] = mapped_column(index=True)
    # It is one of a series without gaps: its invoice is voided rather than deleted.
    is_serial: Mapped[bool] = mapped_column(default=False)


class InvoiceSeries(Row):
    """The last number of a series of invoice numbers; its row is locked by who takes the next."""

    __tablename__ = "invoice_series"

    name: Mapped[str] = mapped_column(primary_key=True)
    last_number: Mapped[Ref]


class InvoiceChange(Row):
    __tablename__ = "invoice_change"

    id: Mapped[Id]
    invoice_id: Mapped[Ref | None]
    invoice_line_id: Mapped[Ref | None]
    invoice_detail_quantity_id: Mapped[Ref | None]
    invoice_detail_prorata_id: Mapped[Ref | None]
    type_id: Mapped[int] = mapped_column(default=0)
    field_id: Mapped[int] = mapped_column(default=0)
    field_name: Mapped[str | None]
    old_value: Mapped[str | None]
    new_value: Mapped[str | None]
    who: Mapped[str | None]
    # Who really wrote it, and when: a caller may say another `who` and `datetime`.
    access_id: Mapped[Ref | None]
    written_at: Mapped[datetime | None]
    datetime: Mapped[datetime | None]
    extra: Mapped[Any | None] = mapped_column(Json)

    __table_args__ = (
        Index("ix_invoice_change_invoice_id", "invoice_id", "id"),
        Index(
            "ix_invoice_change_invoice_line_id",
            "invoice_line_id",
            sqlite_where=text("invoice_line_id IS NOT NULL"),
            postgresql_where=text("invoice_line_id IS NOT NULL"),
        ),
    )


class FullInvoiceRow(NamedTuple):
    """A whole row of `invoice`: every column, in the table's order."""

    id: int
    client_id: int | None
    invoicenumber: str | None
    thirdpartyinvoicenumber: str | None
    reference: str | None
    order_number: str | None
    cust_order_number: str | None
    notes_1: str | None
    notes_2: str | None
    notes_3: str | None
    internal_note: str | None
    contract_id: int | None
    ticket_id: int | None
    salesorder_id: int | None
    purchaseorder_id: int | None
    sitenumber: int | None
    uid: int | None
    billingcategory: int | None
    invoicetype: int
    approval_status: int
    approvalagentid: int | None
    reviewrequired: bool
    xeroid: str | None
    qboid: int | None
    disabled: bool
    is_recurring_invoice: bool
    recurring_invoice_id: int | None
    made_for: date | None
    startdate: datetime | None
    enddate: datetime | None
    lastcreated: datetime | None
    nextcreationdate: datetime | None
    anchored_at: datetime | None
    period: int | None
    due_date_type: int | None
    due_date_int: int | None
    posted: bool
    voided: bool
    invoice_date: datetime | None
    duedate: date | None
    dateposted: datetime | None
    datesent: datetime | None
    datepaid: datetime | None
    date_created: datetime | None
    last_modified: datetime | None
    currency_code: int | None
    currency_iso: str
    currency_conversion_rate: Decimal
    total: Decimal
    tax_total: Decimal
    revenue: Decimal
    amountpaid: Decimal
    amountdue: Decimal
    paymentstatus: int
    payments_pending: int
    payments_reversed: int
    take_auto_payment: bool
    include_in_autopay: bool
    change_seq: int
    rounded_by_line: bool
    tax_point_date: date | None
    extra: Mapping[str, object] | None


class FullLineRow(NamedTuple):
    """A whole row of `invoice_line`: every column, in the table's order."""

    id: int
    ihid: int
    sequenceid: int
    item_code: str | None
    item_shortdescription: str | None
    item_longdescription: str | None
    nominal_code: str | None
    tax_code: str | None
    qty_order: Decimal
    unit_price: Decimal
    unit_cost: Decimal
    discount_perc: Decimal
    tax_rate: Decimal
    price_includes_tax: bool
    tax_category: str | None
    tax_exemption_reason: str | None
    isinactive: bool
    asset_id: int | None
    onetimecharge: bool | None
    onetimechargeinvoiceid: int | None
    startdate: datetime | None
    enddate: datetime | None
    prorata_data: object
    extra: Mapping[str, object] | None


def line_of(row: FullLineRow | Record) -> Line:
    """The line as the rules see it, of any row that has its amounts."""
    return Line(
        quantity=row.qty_order,
        unit_price=row.unit_price,
        discount_percent=row.discount_perc,
        tax_percent=row.tax_rate,
        counts=not row.isinactive,
        price_includes_tax=row.price_includes_tax,
    )


# The texts by which people look for an invoice.
SEARCHED_TEXTS = (
    Invoice.invoicenumber,
    Invoice.thirdpartyinvoicenumber,
    Invoice.reference,
    Invoice.order_number,
    Invoice.cust_order_number,
)
INVOICE_SEARCH = SearchIndex("invoice", [column.key for column in SEARCHED_TEXTS])

# Voided invoices owe nothing either, whatever was paid. The status is written out, not bound, for
# the partial index ix_invoice_autopay_due is chosen only for a literal; and it is the index's
# condition rather than the amount, so that a part payment rewrites no index on PostgreSQL.
HAS_AMOUNT_DUE = and_(Invoice.paymentstatus != literal_column("2"), Invoice.amountdue > 0)
