"""GET, POST and DELETE /Invoice: invoices as the API offers them."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import bindparam, literal_column, select

from app.halo.engine import json_schema, parsing
from app.halo.engine.codec import number
from app.halo.engine.filters import Params, parameter_value
from app.halo.engine.resource import (
    ALL_VERBS,
    Child,
    Computed,
    Constant,
    Details,
    Field,
    Input,
    InputList,
    Listing,
    Output,
    Property,
    Resource,
    WrapperFields,
)
from app.halo.resources import invoice_details, passthrough
from app.halo.resources.invoice_fields import DERIVED, FIELDS, NO_SALESORDER
from app.halo.resources.invoice_filters import FILTERS
from app.halo.resources.invoice_line_resource import INVOICE_LINES
from app.halo.resources.invoice_payment_resource import INVOICE_PAYMENTS
from app.halo.resources.schedule_object import SCHEDULE, shown_schedule
from app.ledger.invoice_input import LINES_MAX
from app.rules.invoice import InvoiceKind
from app.storage.engines import Record, Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice, InvoiceLine


def _computed(row: Record) -> dict[str, Any]:
    found = {**_credit(row), **shown_schedule(row)}
    warnings = list(_warnings(row))
    return {**found, "_warning": "; ".join(warnings)} if warnings else found


def _warnings(row: Record) -> Iterator[str]:
    """Whatever lets an invoice be made that nobody will ever pay."""
    if row.client_id is None:
        yield "client_id: it has no client"
    if row.invoicetype not in set(InvoiceKind):
        yield f"invoicetype: {row.invoicetype} is no kind of invoice known here, so nobody owes it"
    is_charged = row.take_auto_payment or row.include_in_autopay
    if is_charged and row.duedate is None and not row.is_recurring_invoice:
        yield "duedate: without one it is not charged automatically"


def _credit(row: Record) -> dict[str, Any]:
    """The credit that a credit note gave, and how much of it is left."""
    if row.invoicetype != InvoiceKind.CREDIT_NOTE:
        return {}
    total, used = abs(row.total), row.credit_used
    return {"credit_total": number(total), "credit_outstanding": number(max(total - used, 0))}


_STRIPE_OF_CLIENT = select(
    Client.stripe_customer_id,
    Client.stripe_payment_method_id,
    Client.stripe_payment_method_name,
).where(Client.id == bindparam("client_id"))


async def _stripe_of_client(tx: Tx, params: Params) -> Mapping[str, Any]:
    """The Stripe customer and payment method of the one client a list is about."""
    client_id = parsing.reference("client_id", parameter_value(params, "client_id"))
    if client_id is None:
        return {}
    row = (await tx.execute(_STRIPE_OF_CLIENT, {"client_id": client_id})).one_or_none()
    values = dict(row._mapping) if row else {}
    return {name: value for name, value in values.items() if value is not None}


_NO_DATE = "1899-12-30T00:00:00"
_NO_ADDRESS = {"id": 0, "line1": "", "line2": "", "line3": "", "line4": "", "postcode": ""}
# A published client's decoder fails when one of these is missing from a single invoice.
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
}

_CREDIT = {
    "credit_total": Property(json_schema.NUMBER, "Of a credit note: the credit that it gave."),
    "credit_outstanding": Property(
        json_schema.NUMBER, "Of a credit note: the credit that no payment has used."
    ),
}
_SCHEDULE = {"schedule": Property({"type": "object"}, SCHEDULE.about)}
_WARNING = {
    "_warning": Property(json_schema.TEXT, "Anything about the invoice that somebody should mend.")
}
_DETAILS = {
    "composite_tax_total": Property(
        json_schema.NUMBER, "The part of its tax that is of composite rates. With `includedetails`."
    ),
    "conversion_rate": Property(
        json_schema.NUMBER, "Units of the home currency for one of its own."
    ),
    "currency_code_name": Property(
        json_schema.TEXT, "The name of its Currency. With `includedetails`."
    ),
    "invoice_totals": Property(
        {"type": "object"},
        "The invoice's sums by kind, each in its currency and converted. With `includedetails`.",
    ),
}
_WRAPPER = {
    "stripe_customer_id": Property(json_schema.TEXT, "The client's customer at Stripe."),
    "stripe_payment_method_id": Property(json_schema.TEXT, "The payment method that is charged."),
    "stripe_payment_method_name": Property(json_schema.TEXT, "That method as people know it."),
}

INVOICES = Resource(
    path="Invoice",
    table=Invoice,
    verbs=ALL_VERBS,
    fields=FIELDS,
    saved_status=201,
    only=(Invoice.id > literal_column("0"),),  # templates have negative ids
    listing=Listing(
        envelope="invoices",
        filters=FILTERS,
        wrapper=WrapperFields(_WRAPPER, _stripe_of_client),
    ),
    output=Output(
        derived=DERIVED,
        computed=Computed({**_CREDIT, **_SCHEDULE, **_WARNING}, _computed),
        details=Details(_DETAILS, invoice_details.add_details),
        children={
            "lines": Child(
                "All its lines.",
                INVOICE_LINES,
                InvoiceLine.ihid,
                order=(InvoiceLine.sequenceid, InvoiceLine.id),
                in_list="includelines",
            ),
            "payments": Child(
                "Its payments.",
                INVOICE_PAYMENTS,
                InvoicePayment.invoice_id,
                order=(InvoicePayment.id,),
                in_list="includepayments",
                in_one="includedetails",
            ),
        },
        sentinels=_SENTINELS,
        constants={
            "type": Constant("Always 1, HaloPSA's number for an invoice.", 1),
            "use": Constant("Always `invoice`.", "invoice"),
        },
    ),
    input=Input(
        lists={
            "lines": InputList(
                "Given, they replace those that are there; a line with `id` is kept.",
                INVOICE_LINES,
                most=LINES_MAX,
            ),
            "add_lines": InputList(
                "Lines that are added to those there are.", INVOICE_LINES, most=LINES_MAX
            ),
        },
        instructions={
            "schedule": SCHEDULE,
            "last_change_seq": Field(
                "The `change_seq` that you have seen; when it is not the newest any more, 409.",
                parsing.small,
            ),
            "ignore_change_seq": Field(
                "Whether it is written even when somebody else was quicker.", parsing.flag
            ),
        },
        passthrough={**passthrough.INVOICE, **passthrough.TEMPLATE_INCREASE},
    ),
)
