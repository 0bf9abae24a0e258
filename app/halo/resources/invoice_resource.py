"""Invoices and their templates as the API offers them: what is asked for, what is shown."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    union,
)

from app.halo.engine import filters, json_schema, parsing, serializing
from app.halo.engine.resource import (
    ALL_VERBS,
    Child,
    Params,
    Resource,
    contains,
    equals,
    one_of,
    searched,
    since,
    until,
    when_set,
)
from app.halo.resources import invoice_details, passthrough
from app.halo.resources.invoice_line_resource import INVOICE_LINES
from app.halo.resources.invoice_payment_resource import INVOICE_PAYMENTS
from app.rules.invoice import Approval, InvoiceKind
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.json_text import JsonText
from app.storage.tables.clients import CLIENT_SEARCH, Client, Currency, Site
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import (
    HAS_AMOUNT_DUE,
    INVOICE_SEARCH,
    SEARCHED_TEXTS,
    Invoice,
    InvoiceLine,
)

_CLIENT_NAME = select(Client.name).where(Client.id == Invoice.client_id).scalar_subquery()
_SITE_NAME = select(Site.name).where(Site.id == Invoice.sitenumber).scalar_subquery()
_SYMBOL = select(Currency.symbol).where(Currency.id == Invoice.currency_code).scalar_subquery()


def _search(said: ColumnElement[str]) -> list[ColumnElement[bool]]:
    named = select(Client.id).where(contains(Client.name, said))
    return [*(contains(column, said) for column in SEARCHED_TEXTS), Invoice.client_id.in_(named)]


def _search_by_index(name: str) -> ColumnElement[bool]:
    """The same by two indexes; of an OR of the two PostgreSQL would make a walk of the table."""
    own = select(Invoice.id).where(INVOICE_SEARCH.holds(name))
    named = select(Client.id).where(CLIENT_SEARCH.holds(name)).correlate(None)
    of_client = select(Invoice.id).where(Invoice.client_id.in_(named))
    return Invoice.id.in_(union(own.correlate(None), of_client.correlate(None)))


# HaloPSA writes this where an invoice came from no sales order.
NO_SALESORDER = -2

_DATES = {
    "invoice_date": Invoice.invoice_date,
    "duedate": Invoice.duedate,
    "last_modified": Invoice.last_modified,
    "dateposted": Invoice.dateposted,
    "datesent": Invoice.datesent,
    "datepaid": Invoice.datepaid,
    "date_created": Invoice.date_created,
    "billing_date": Invoice.invoice_date,
    "schedulestartdate": Invoice.startdate,
    "scheduleenddate": Invoice.enddate,
    "nextcreationdate": Invoice.nextcreationdate,
}

# The first two conditions are those of ix_invoice_autopay_due, so that the index is used.
_AUTOPAY_REQUIRED = and_(
    or_(Invoice.take_auto_payment, Invoice.include_in_autopay),
    HAS_AMOUNT_DUE,
    Invoice.payments_pending == 0,
    Invoice.voided.is_(False),
    exists().where(
        Client.id == Invoice.client_id,
        Client.stripe_payment_method_id.is_not(None),
    ),
)

_AWAITING = Invoice.approval_status == Approval.AWAITING
_OF_CONTRACT = func.coalesce(Invoice.contract_id, 0) > 0
_READY = and_(
    Invoice.posted.is_(False),
    Invoice.datesent.is_(None),
    Invoice.voided.is_(False),
    Invoice.disabled.is_(False),
    Invoice.reviewrequired.is_(False),
    Invoice.approval_status.in_([Approval.NOT_ASKED, Approval.APPROVED]),
)


def _is(kind: InvoiceKind) -> ColumnElement[bool]:
    return Invoice.invoicetype == kind.value


def _with_asset(asset_id: ColumnElement[int]) -> ColumnElement[bool]:
    return Invoice.id.in_(select(InvoiceLine.ihid).where(InvoiceLine.asset_id == asset_id))


def _of_salesorder(salesorder_id: ColumnElement[int]) -> ColumnElement[bool]:
    return func.coalesce(Invoice.salesorder_id, NO_SALESORDER) == salesorder_id


def _below_toplevel(toplevel_id: ColumnElement[int]) -> ColumnElement[bool]:
    return Invoice.client_id.in_(select(Client.id).where(Client.toplevel_id == toplevel_id))


# What `advanced_search` looks into: every text that an invoice shows.
_TEXTS: Mapping[str, ColumnElement[Any]] = {
    **{
        name: JsonText(table_of(Invoice).c.extra, name)
        for name, read in passthrough.INVOICE.items()
        if read is parsing.text
    },
    **{
        column.name: column
        for column in table_of(Invoice).c
        if isinstance(column.type, Text) and not column.info.get("hidden")
    },
    "client_name": _CLIENT_NAME,
    "currency": _SYMBOL,
}

# A credit note's own payments are none; what counts is where it was used.
_CREDIT_USED = case(
    (
        _is(InvoiceKind.CREDIT_NOTE),
        select(func.coalesce(func.sum(InvoicePayment.counted), 0))
        .where(InvoicePayment.credit_note_id == Invoice.id)
        .scalar_subquery(),
    )
)


def _credit(row: Record) -> dict[str, Any]:
    """What a credit note gave, what of it was used, and what is left."""
    if row.invoicetype != InvoiceKind.CREDIT_NOTE:
        return {}
    total, used = abs(row.total), row.credit_used
    return {
        "credit_total": serializing.number(total),
        "credit_outstanding": serializing.number(max(total - used, 0)),
    }


async def _stripe_of_client(tx: Tx, params: Params) -> Mapping[str, Any]:
    """The payment method of the one client a list is about."""
    named = FILTERS["client_id"]("client_id", params)
    if named is None:
        return {}
    columns = (
        Client.stripe_customer_id,
        Client.stripe_payment_method_id,
        Client.stripe_payment_method_name,
    )
    found = await tx.execute(select(*columns).where(Client.id == named.values["client_id"]))
    row = found.one_or_none()
    told = dict(row._mapping) if row else {}
    return {name: value for name, value in told.items() if value is not None}


FILTERS = {
    "id": one_of(Invoice.id),
    "ids": one_of(Invoice.id),
    "invoice_ids": one_of(Invoice.id),
    "client_id": equals(Invoice.client_id),
    "client_ids": one_of(Invoice.client_id),
    "toplevel_id": filters.refers_to(_below_toplevel, "Only those of clients below this one."),
    "site_id": filters.refers_to(Invoice.sitenumber),
    "user_id": filters.refers_to(Invoice.uid),
    "contract_id": filters.refers_to(Invoice.contract_id),
    "ticket_id": filters.refers_to(Invoice.ticket_id),
    "salesorder_id": filters.refers_to(
        _of_salesorder, "Only those of this sales order; -2: of none."
    ),
    "purchaseorder_id": filters.refers_to(Invoice.purchaseorder_id),
    "asset_id": filters.refers_to(_with_asset, "Only those with a line for this asset."),
    "recurringinvoice_id": filters.refers_to(Invoice.recurring_invoice_id),
    "third_party_id": equals(Invoice.thirdpartyinvoicenumber),
    "xero_id": equals(Invoice.xeroid),
    "quickbooks_id": filters.refers_to(Invoice.qboid),
    "invoicenumber": equals(Invoice.invoicenumber),
    "currency_code": equals(Invoice.currency_code),
    "billingcategory_ids": one_of(Invoice.billingcategory),
    "paymentstatuses": one_of(Invoice.paymentstatus),
    "quote_status": one_of(
        Invoice.approval_status, "Only those whose `approval_status` is one of these."
    ),
    "sent_status": filters.one_of_words(
        {"0": Invoice.datesent.is_(None), "1": Invoice.datesent.is_not(None)},
        "0: only those not sent yet; 1: only those sent.",
    ),
    "rinvoice_type": filters.one_of_words(
        {"contracts": _OF_CONTRACT, "invoices": ~_OF_CONTRACT, "both": None},
        "contracts: only those of a contract; invoices: only those of none; both: all.",
    ),
    "includeinvoices": filters.excluded_when_false(
        _is(InvoiceKind.INVOICE), "false: without plain invoices."
    ),
    "includecredits": filters.excluded_when_false(
        _is(InvoiceKind.CREDIT_NOTE), "false: without credit notes."
    ),
    "includepoinvoices": filters.excluded_when_false(
        _is(InvoiceKind.PURCHASE), "false: without invoices of purchase orders."
    ),
    "awaiting_approval": when_set(_AWAITING, "Only those that wait for somebody's approval."),
    "my_approvals": filters.of_caller(
        Invoice.approvalagentid, _AWAITING, "Only those that wait for the caller's own approval."
    ),
    "reviewrequired": when_set(
        Invoice.reviewrequired.is_(True), "Only those that somebody must review."
    ),
    "ready_for_invoicing": when_set(
        _READY, "Only those that may go out and have not: nothing holds them back."
    ),
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
    "billing_date": filters.on_day(Invoice.invoice_date, "Only those of this day."),
    "invoicedatestart": since({"invoice_date": Invoice.invoice_date}),
    "invoicedateend": until({"invoice_date": Invoice.invoice_date}),
    "search": searched(_search, _search_by_index),
    "advanced_search": filters.advanced(_TEXTS),
}

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
    "salesorder_id": NO_SALESORDER,
    "type": 1,
    "use": "invoice",
}

INVOICES = Resource(
    path="Invoice",
    table=Invoice,
    verbs=ALL_VERBS,
    envelope="invoices",
    saved_status=201,
    only=(Invoice.id > literal_column("0"),),  # templates have negative ids
    filters=FILTERS,
    derived={
        "client_name": _CLIENT_NAME,
        "site_name": _SITE_NAME,
        "currency": _SYMBOL,
        "amount_remaining": Invoice.amountdue,
        "customer_paid_total": Invoice.amountpaid,
        "invoice_display": Invoice.invoicenumber,
        "credit_used": _CREDIT_USED,
    },
    computed=_credit,
    further={
        **dict.fromkeys(
            ("credit_total", "credit_outstanding", "composite_tax_total", "conversion_rate"),
            json_schema.NUMBER,
        ),
        "currency_code_name": json_schema.TEXT,
        "invoice_totals": {"type": "object"},
    },
    details=invoice_details.add_details,
    beside=_stripe_of_client,
    brings={
        "stripe_customer_id": json_schema.TEXT,
        "stripe_payment_method_id": json_schema.TEXT,
        "stripe_payment_method_name": json_schema.TEXT,
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
    instructions={"last_change_seq": parsing.small, "ignore_change_seq": parsing.flag},
    wider=passthrough.INVOICE,
)
