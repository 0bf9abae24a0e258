"""Invoices, their lines, and who changed what."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    and_,
    exists,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.data import values, wider
from app.data.clients import Client, Currency
from app.data.columns import HIDDEN, READ_ONLY, Id, Json, Ref, Row
from app.data.database import Record
from app.data.invoice_payments import INVOICE_PAYMENTS, InvoicePayment
from app.data.resource import (
    Child,
    Resource,
    contains,
    equals,
    one_of,
    searched,
    since,
    until,
    when_set,
)
from app.errors import InvalidField
from app.rules.invoice import Line


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
    is_recurring_invoice: Mapped[bool] = mapped_column(default=False, info=READ_ONLY)
    recurring_invoice_id: Mapped[Ref | None]
    posted: Mapped[bool] = mapped_column(default=False)
    voided: Mapped[bool] = mapped_column(default=False, info=READ_ONLY)
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
            sqlite_where=text(
                "(take_auto_payment = 1 OR include_in_autopay = 1) AND paymentstatus <> 2"
            ),
            postgresql_where=text(
                "(take_auto_payment OR include_in_autopay) AND paymentstatus <> 2"
            ),
        ),
        Index("ix_invoice_duedate", "duedate", "id"),
        Index("ix_invoice_invoice_date", "invoice_date", "id"),
        Index("ix_invoice_paymentstatus", "paymentstatus", "id"),
        Index("ix_invoice_total", "total"),
        Index("ix_invoice_datepaid", "datepaid"),
        {"sqlite_autoincrement": True},  # an id is never used twice: keys at Stripe carry it
    )


class InvoiceLine(Row):
    __tablename__ = "invoice_line"

    id: Mapped[Id]
    ihid: Mapped[Ref] = mapped_column(
        ForeignKey("invoice.id", ondelete="CASCADE"), index=True, info=READ_ONLY
    )
    sequenceid: Mapped[int] = mapped_column(default=0)
    item_code: Mapped[str | None]
    item_shortdescription: Mapped[str | None]
    item_longdescription: Mapped[str | None]
    nominal_code: Mapped[str | None]
    tax_code: Mapped[str | None]
    qty_order: Mapped[Decimal] = mapped_column(default=Decimal(1))
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


def _percent(name: str, value: Any) -> Decimal | None:
    found = values.exact(name, value)
    if found is not None and not 0 <= found <= 100:
        raise InvalidField(name, f"{found} is not a percentage from 0 to 100")
    return found


def line_of(row: Any) -> Line:
    """The line as the rules see it."""
    return Line(
        quantity=row.qty_order,
        unit_price=row.unit_price,
        discount_percent=row.discount_perc,
        tax_percent=row.tax_rate,
        counts=not row.isinactive,
    )


def _amounts(row: Record) -> dict[str, Any]:
    """HaloPSA's words: `total_price` is net, `net_total` is gross."""
    line = line_of(row)
    net, tax = values.number(line.net), values.number(line.tax)
    return {
        "net_amount": net,
        "total_price": net,
        "tax_amount": tax,
        "total_tax": tax,
        "net_total": values.number(line.net + line.tax),
    }


INVOICE_LINES = Resource(
    path="InvoiceDetail",
    table=InvoiceLine,
    computed=_amounts,
    readers={"discount_perc": _percent, "tax_rate": _percent},
    wider=wider.INVOICE_LINE,
)

_CLIENT_NAME = select(Client.name).where(Client.id == Invoice.client_id).scalar_subquery()
_SYMBOL = select(Currency.symbol).where(Currency.id == Invoice.currency_code).scalar_subquery()
_SEARCHED = (
    Invoice.invoicenumber,
    Invoice.thirdpartyinvoicenumber,
    Invoice.reference,
    Invoice.order_number,
    Invoice.cust_order_number,
)


def _search(said: ColumnElement[str]) -> list[ColumnElement[bool]]:
    named = select(Client.id).where(contains(Client.name, said))
    return [*(contains(column, said) for column in _SEARCHED), Invoice.client_id.in_(named)]


_DATES = {
    "invoice_date": Invoice.invoice_date,
    "duedate": Invoice.duedate,
    "last_modified": Invoice.last_modified,
    "dateposted": Invoice.dateposted,
    "datesent": Invoice.datesent,
    "datepaid": Invoice.datepaid,
    "date_created": Invoice.date_created,
}

# Voided invoices owe nothing either, whatever was paid. The status is written out, not bound, for
# the partial index ix_invoice_autopay_due is chosen only for a literal; and it is the index's
# condition rather than the amount, so that a part payment rewrites no index on PostgreSQL.
SOMETHING_LEFT = and_(Invoice.paymentstatus != literal_column("2"), Invoice.amountdue > 0)

# The first two conditions are those of ix_invoice_autopay_due, so that the index is used.
_AUTOPAY_REQUIRED = and_(
    or_(Invoice.take_auto_payment, Invoice.include_in_autopay),
    SOMETHING_LEFT,
    Invoice.payments_pending == 0,
    Invoice.voided.is_(False),
    exists().where(
        Client.id == Invoice.client_id,
        Client.stripe_payment_method_id.is_not(None),
    ),
)

_NO_DATE = "1899-12-30T00:00:00"
_NO_ADDRESS = {"id": 0, "line1": "", "line2": "", "line3": "", "line4": "", "postcode": ""}
# A client's decoder fails when one of these is missing from a single invoice.
_SENTINELS: dict[str, Any] = {
    **dict.fromkeys(
        """
        sitenumber uid contract_id paymentterms ticket_id invoicetype emailstatus pdftemplate_id
        recurring_invoice_id add_contract_assets add_labour add_project add_travel add_mileage
        add_itemsissued add_prepay add_salesorder qboid billingcategory due_date_int due_date_type
        kashflow_tenant_id original_client_id creditlinkedtoinvoiceid take_payment_on_duedate
        credit_total recognised_from_invoice organisation_id client_id
        """.split(),
        0,
    ),
    **dict.fromkeys(
        """
        invoicenumber name contract_ref currency xeroid xero_tenant_id xero_branding_theme_id
        xero_branding_theme_name createdbyagentname internal_note kashflow_pdf original_client_name
        xero_status snelstart_id qbo_company_id dbc_id dbc_company_id invoice_display
        creditlinkedtoinvoiceid_thirdpartynumber
        """.split(),
        "",
    ),
    **dict.fromkeys(
        "invoice_date schedule_date last_modified datesent datepaid date_created".split(), _NO_DATE
    ),
    **dict.fromkeys("address shipaddress originaddress".split(), _NO_ADDRESS),
    **dict.fromkeys("hideinvoice requires_approval".split(), False),
    "assigned_agent_name": "Unassigned",
    "customfields": [],
    "datetype": 1,
    "merge_data": [],
    "percent": 100,
    "percentold": 100,
    "salesorder_id": -2,  # an invoice that came from no sales order
    "type": 1,
    "use": "invoice",
}

INVOICES = Resource(
    path="Invoice",
    table=Invoice,
    envelope="invoices",
    saved_status=201,
    only=(Invoice.id > literal_column("0"),),  # templates have negative ids
    filters={
        "id": one_of(Invoice.id),
        "ids": one_of(Invoice.id),
        "invoice_ids": one_of(Invoice.id),
        "client_id": equals(Invoice.client_id),
        "client_ids": one_of(Invoice.client_id),
        "recurringinvoice_id": equals(Invoice.recurring_invoice_id),
        "third_party_id": equals(Invoice.thirdpartyinvoicenumber),
        "invoicenumber": equals(Invoice.invoicenumber),
        "paymentstatuses": one_of(Invoice.paymentstatus),
        "postedonly": when_set(Invoice.posted.is_(True), "Only posted ones."),
        "notpostedonly": when_set(Invoice.posted.is_(False), "Only those not posted yet."),
        "exclude_voided": when_set(Invoice.voided.is_(False), "Without those that were voided."),
        "stripeautopaymentrequired": when_set(
            _AUTOPAY_REQUIRED, "Only those that automatic payment would charge once they are due."
        ),
        "start_date": since(_DATES),
        "startdate": since(_DATES),
        "end_date": until(_DATES),
        "enddate": until(_DATES),
        "invoicedatestart": since({"invoice_date": Invoice.invoice_date}),
        "invoicedateend": until({"invoice_date": Invoice.invoice_date}),
        "search": searched(_search),
    },
    derived={
        "client_name": _CLIENT_NAME,
        "currency": _SYMBOL,
        "amount_remaining": Invoice.amountdue,
        "customer_paid_total": Invoice.amountpaid,
        "invoice_display": Invoice.invoicenumber,
    },
    sentinels=_SENTINELS,
    children={
        "lines": Child(
            INVOICE_LINES,
            InvoiceLine.ihid,
            order=(InvoiceLine.sequenceid, InvoiceLine.id),
            in_list="includelines",
        ),
        "payments": Child(
            INVOICE_PAYMENTS,
            InvoicePayment.invoice_id,
            order=(InvoicePayment.id,),
            in_list="includepayments",
            in_one="includedetails",
        ),
    },
    nested={"lines": INVOICE_LINES, "add_lines": INVOICE_LINES},
    instructions={"last_change_seq": values.small, "ignore_change_seq": values.flag},
    wider=wider.INVOICE,
)
