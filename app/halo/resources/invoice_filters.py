"""The query parameters of the lists of invoices and templates."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, exists, func, or_, select, union

from app.halo.engine import parsing
from app.halo.engine.filters import (
    AdvancedSearch,
    Equals,
    ExcludedWhenFalse,
    Filter,
    OfCaller,
    OnDay,
    OneOf,
    OneOfWords,
    References,
    Search,
    Since,
    Until,
    WhenSet,
    contains,
)
from app.halo.engine.parsing import reference, short_text
from app.halo.resources import passthrough
from app.halo.resources.invoice_fields import (
    CLIENT_NAME,
    CURRENCY_SYMBOL,
    FIELDS,
    NO_SALESORDER,
)
from app.rules.invoice import Approval, InvoiceKind
from app.storage.column_types import table_of
from app.storage.json_text import JsonText
from app.storage.tables.clients import CLIENT_SEARCH, Client
from app.storage.tables.invoices import (
    HAS_AMOUNT_DUE,
    INVOICE_SEARCH,
    SEARCHED_TEXTS,
    Invoice,
    InvoiceLine,
)


def _search(text: ColumnElement[str]) -> list[ColumnElement[bool]]:
    named = select(Client.id).where(contains(Client.name, text))
    return [*(contains(column, text) for column in SEARCHED_TEXTS), Invoice.client_id.in_(named)]


def _search_by_index(name: str) -> ColumnElement[bool]:
    """The same by two indexes; of an OR of the two PostgreSQL would scan the table."""
    own = select(Invoice.id).where(INVOICE_SEARCH.holds(name))
    named = select(Client.id).where(CLIENT_SEARCH.holds(name)).correlate(None)
    of_client = select(Invoice.id).where(Invoice.client_id.in_(named))
    return Invoice.id.in_(union(own.correlate(None), of_client.correlate(None)))


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
        or_(
            Client.stripe_payment_method_id.is_not(None),
            Client.stripe_saved_method_id.is_not(None),
        ),
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


# `advanced_search` looks into every text that an invoice shows.
_TEXTS: Mapping[str, ColumnElement[Any]] = {
    **{
        name: JsonText(table_of(Invoice).c.extra, name)
        for name, field in passthrough.INVOICE.items()
        if field.parse is parsing.text
    },
    **{
        column.name: column
        for column in table_of(Invoice).c
        if isinstance(column.type, Text) and column.name in FIELDS
    },
    "client_name": CLIENT_NAME,
    "currency": CURRENCY_SYMBOL,
}

FILTERS: Mapping[str, Filter] = {
    "id": OneOf(Invoice.id),
    "ids": OneOf(Invoice.id),
    "invoice_ids": OneOf(Invoice.id),
    "client_id": References(Invoice.client_id),
    "client_ids": OneOf(Invoice.client_id, reference),
    "toplevel_id": References(_below_toplevel, "Only those of clients below this one."),
    "site_id": References(Invoice.sitenumber),
    "user_id": References(Invoice.uid),
    "contract_id": References(Invoice.contract_id),
    "ticket_id": References(Invoice.ticket_id),
    "salesorder_id": References(_of_salesorder, "Only those of this sales order; -2: of none."),
    "purchaseorder_id": References(Invoice.purchaseorder_id),
    "asset_id": References(_with_asset, "Only those with a line for this asset."),
    "recurringinvoice_id": References(Invoice.recurring_invoice_id),
    "third_party_id": Equals(Invoice.thirdpartyinvoicenumber, short_text),
    "xero_id": Equals(Invoice.xeroid, short_text),
    "quickbooks_id": References(Invoice.qboid),
    "invoicenumber": Equals(Invoice.invoicenumber, short_text),
    "currency_code": References(Invoice.currency_code),
    "billingcategory_ids": OneOf(Invoice.billingcategory),
    "paymentstatuses": OneOf(Invoice.paymentstatus),
    "quote_status": OneOf(
        Invoice.approval_status, about="Only those whose `approval_status` is one of these."
    ),
    "sent_status": OneOfWords(
        {"0": Invoice.datesent.is_(None), "1": Invoice.datesent.is_not(None)},
        "0: only those not sent yet; 1: only those sent.",
    ),
    "rinvoice_type": OneOfWords(
        {"contracts": _OF_CONTRACT, "invoices": ~_OF_CONTRACT, "both": None},
        "contracts: only those of a contract; invoices: only those of none; both: all.",
    ),
    "includeinvoices": ExcludedWhenFalse(
        _is(InvoiceKind.INVOICE), "false: without plain invoices."
    ),
    "includecredits": ExcludedWhenFalse(
        _is(InvoiceKind.CREDIT_NOTE), "false: without credit notes."
    ),
    "includepoinvoices": ExcludedWhenFalse(
        _is(InvoiceKind.PURCHASE), "false: without invoices of purchase orders."
    ),
    "awaiting_approval": WhenSet(_AWAITING, "Only those that wait for somebody's approval."),
    "my_approvals": OfCaller(
        Invoice.approvalagentid, _AWAITING, "Only those that wait for the caller's own approval."
    ),
    "reviewrequired": WhenSet(
        Invoice.reviewrequired.is_(True), "Only those that somebody must review."
    ),
    "ready_for_invoicing": WhenSet(
        _READY, "Only those that may go out and have not: nothing holds them back."
    ),
    "postedonly": WhenSet(Invoice.posted.is_(True), "Only posted ones."),
    "notpostedonly": WhenSet(Invoice.posted.is_(False), "Only those not posted yet."),
    "exclude_voided": WhenSet(Invoice.voided.is_(False), "Without those that were voided."),
    "stripeautopaymentrequired": WhenSet(
        _AUTOPAY_REQUIRED, "Only those that automatic payment would charge once they are due."
    ),
    "start_date": Since(_DATES),
    "startdate": Since(_DATES),
    "end_date": Until(_DATES),
    "enddate": Until(_DATES),
    "billing_date": OnDay(Invoice.invoice_date, "Only those of this day."),
    "invoicedatestart": Since({"invoice_date": Invoice.invoice_date}),
    "invoicedateend": Until({"invoice_date": Invoice.invoice_date}),
    "search": Search(_search, _search_by_index),
    "advanced_search": AdvancedSearch(_TEXTS),
}
