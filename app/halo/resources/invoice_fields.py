"""The fields of invoices and templates: each column that the API offers, and derived ones."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, func, select

from app.errors import InvalidField
from app.halo.engine import json_schema
from app.halo.engine.parsing import reference, short_text, small
from app.halo.engine.resource import Derived, Field
from app.halo.resources import shared_fields
from app.rules.invoice import InvoiceKind
from app.storage.tables.clients import Client, Currency, Site
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice

# HaloPSA writes this where an invoice came from no sales order.
NO_SALESORDER = -2
# Ten years. Nobody gives longer to pay, and the calendar has an end.
DUE_DAYS_MAX = 3660


def _due_days(name: str, value: Any) -> int | None:
    found: int | None = small(name, value)
    if found is not None and abs(found) > DUE_DAYS_MAX:
        raise InvalidField(name, f"{found} is not from {-DUE_DAYS_MAX} to {DUE_DAYS_MAX}")
    return found


FIELDS: Mapping[str, Field] = {
    "id": shared_fields.ID,
    "client_id": shared_fields.CLIENT_ID,
    "invoicenumber": Field(
        "The number on the invoice; its `id` when nobody gave it one.", short_text
    ),
    "thirdpartyinvoicenumber": Field("Its number in another system.", short_text),
    "reference": Field("Free text to find it by."),
    "order_number": Field("The order's number."),
    "cust_order_number": Field("The customer's own order number."),
    "notes_1": Field("A note on the invoice."),
    "notes_2": Field("A note on the invoice."),
    "notes_3": Field("A note on the invoice."),
    "internal_note": Field("A note that no customer sees."),
    "contract_id": Field("The contract's number; 0 and -1 mean none."),
    "ticket_id": Field("The ticket's number; 0 and -1 mean none."),
    "salesorder_id": Field("The sales order's number; -2 means none."),
    "purchaseorder_id": Field("The purchase order's number; 0 and -1 mean none."),
    "sitenumber": Field("The site's `id`; 0 and -1 mean none."),
    "uid": Field("The user's number; 0 and -1 mean none."),
    "billingcategory": Field("The billing category's number."),
    "invoicetype": Field(
        "0 invoice, 1 credit note, 2 invoice of a purchase order. Only a plain invoice is owed."
    ),
    "approval_status": Field("0 not asked, 1 awaiting, 2 approved, 3 rejected."),
    "approvalagentid": Field(
        "The number of the credential that approves it; `my_approvals` compares it."
    ),
    "reviewrequired": Field("Whether somebody must review it; it is not ready to go out then."),
    "xeroid": Field("Its `id` in Xero.", short_text),
    "qboid": Field("Its number in QuickBooks Online."),
    "disabled": Field("Whether a template is disabled: it makes no invoices then."),
    "is_recurring_invoice": Field("Whether it is a template that makes invoices.", read_only=True),
    "recurring_invoice_id": Field(
        "`id` of the template that made it; negative, as templates' are."
    ),
    "startdate": Field("The start of a template's schedule; `datesearch` finds by it."),
    "enddate": Field("The end of a template's schedule; `datesearch` finds by it."),
    "lastcreated": Field("When a template made its last invoice."),
    "nextcreationdate": Field("When a template makes its next invoice."),
    "period": Field(
        "How often a template makes an invoice: 0 once, 1 a week, 2 a month, 3 a year, 4 three "
        "months, 5 six months, 6 five years, 7 three years, 8 two years, 9 four years."
    ),
    "due_date_type": Field(
        "When a template's invoice is due: 0 `due_date_int` days after its date, 1 that many days "
        "after the end of its month, 2 on that day of the next month, 3 on that day of its month."
    ),
    "due_date_int": Field(
        f"The number that `due_date_type` counts with: {-DUE_DAYS_MAX} to {DUE_DAYS_MAX}.",
        _due_days,
        schema={**json_schema.SMALL, "minimum": -DUE_DAYS_MAX, "maximum": DUE_DAYS_MAX},
    ),
    "posted": Field("Whether it was handed to accounting."),
    "voided": Field(
        "Whether it was voided. It owes nothing then, and stays to be seen.", read_only=True
    ),
    "tax_point_date": Field(
        "The day that decides which tax applies, where it is another than that of `invoice_date`."
    ),
    "rounded_by_line": Field(
        "Whether the net and the tax of each line are rounded, rather than its sums.",
        read_only=True,
    ),
    "invoice_date": Field("The date on the invoice; now when it is created without one."),
    "duedate": Field("The day it is due, in the client's time zone."),
    "dateposted": Field("When it was handed to accounting; now, once it is `posted` without it."),
    "datesent": Field("When it was sent."),
    "datepaid": Field("When it was paid in full.", read_only=True),
    "date_created": shared_fields.DATE_CREATED,
    "last_modified": shared_fields.LAST_MODIFIED,
    "currency_code": Field("`id` of its Currency; without it the client's counts.", reference),
    "currency_conversion_rate": Field("Units of the home currency for one of its own."),
    "total": Field("The sum of its lines, with tax.", read_only=True),
    "tax_total": Field("The tax of its lines.", read_only=True),
    "revenue": Field("The sum of its lines, without tax.", read_only=True),
    "amountpaid": Field("The sum of the payments that count.", read_only=True),
    "amountdue": Field("The amount that is left to pay.", read_only=True),
    "paymentstatus": Field("-1 new, 0 unpaid, 1 part paid, 2 paid.", read_only=True),
    "payments_pending": Field("The number of its payments that are under way.", read_only=True),
    "take_auto_payment": Field("Whether it is charged by itself on its due day."),
    "include_in_autopay": Field("Whether it is charged by itself on its due day."),
    "change_seq": Field("Counts its changes; send it back as `last_change_seq`.", read_only=True),
}

CLIENT_NAME = select(Client.name).where(Client.id == Invoice.client_id).scalar_subquery()
CURRENCY_SYMBOL = (
    select(Currency.symbol).where(Currency.id == Invoice.currency_code).scalar_subquery()
)
_SITE_NAME = select(Site.name).where(Site.id == Invoice.sitenumber).scalar_subquery()
# A credit note's own payments are none; it is used by the payments of other invoices.
_CREDIT_USED = case(
    (
        Invoice.invoicetype == InvoiceKind.CREDIT_NOTE.value,
        select(func.coalesce(func.sum(InvoicePayment.counted), 0))
        .where(InvoicePayment.credit_note_id == Invoice.id)
        .scalar_subquery(),
    )
)

DERIVED: Mapping[str, Derived] = {
    "client_name": Derived(shared_fields.CLIENT_NAME, CLIENT_NAME),
    "site_name": Derived("The site's name.", _SITE_NAME),
    "currency": Derived("The currency's symbol.", CURRENCY_SYMBOL),
    "amount_remaining": Derived("The amount that is left to pay.", Invoice.amountdue),
    "customer_paid_total": Derived("The sum of the payments that count.", Invoice.amountpaid),
    "invoice_display": Derived("The number on the invoice, for a list.", Invoice.invoicenumber),
    "credit_used": Derived(
        "Of a credit note: the sum of the payments that used it and count.", _CREDIT_USED
    ),
}
