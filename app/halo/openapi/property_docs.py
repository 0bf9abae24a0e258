"""What the properties mean, one line each, for OpenAPI. HaloPSA's names mean the same everywhere,
so a name is told once; where one resource differs, it stands under `Resource.name`.
"""

from app.halo.engine.resource import Resource

_KEPT = "Kept and given back; Paydue computes nothing from it."


def property_text(resource: Resource, name: str) -> str:
    """The line for a property. What is kept for the client only needs none of its own."""
    told = _TOLD.get(f"{resource.path}.{name}") or _TOLD.get(name)
    return told or _KEPT


def _lines(text: str) -> dict[str, str]:
    """`name: line`, one each line."""
    pairs = (line.strip().split(": ", 1) for line in text.splitlines() if line.strip())
    return {name: told for name, told in pairs}


_TOLD = _lines("""
    id: The record's number. Without it, or with 0, a POST creates.
    name: What it is called.
    client_id: The client's `id`.
    client_name: The client's name.
    site_id: The site's `id`.
    site_name: The site's name.
    Client.email: Where the client is written to.
    Client.timezone: IANA time zone of the client's business day; `PAYDUE_TIMEZONE` without one.
    Client.currency_code: `id` of the Currency of the client's invoices.
    inactive: Not used any more.
    stripe_customer_id: The client's customer at Stripe, `cus_...`.
    stripe_payment_method_id: The payment method that is charged, `pm_...`.
    stripe_payment_method_name: That payment method as people know it.
    date_created: When it was created.
    last_modified: When it was changed last.
    Currency.code: ISO 4217 code.
    symbol: How amounts of it are marked.
    conversion_rate: Units of it for one of the home currency.
    last_updated: When its rate was changed last.
    Currency.history: Earlier rates, each with its `enddate`.

    invoicenumber: What the invoice is called; its `id` when nobody gave it a number.
    thirdpartyinvoicenumber: Its number in another system.
    reference: Free text to find it by.
    order_number: The order's number.
    cust_order_number: The customer's own order number.
    notes_1: A note on the invoice.
    notes_2: A note on the invoice.
    notes_3: A note on the invoice.
    internal_note: A note that no customer sees.
    is_recurring_invoice: Whether it is a template that makes invoices.
    recurring_invoice_id: `id` of the template that made it; negative, as templates' are.
    posted: Whether it was handed to accounting.
    dateposted: When it was handed to accounting.
    voided: Whether it was voided. It owes nothing then, and stays to be seen.
    invoice_date: The date on the invoice; now when it is created without one.
    duedate: The day it is due, in the client's time zone.
    datesent: When it was sent.
    datepaid: When it was paid in full.
    currency_code: `id` of its Currency; without it the client's counts.
    currency: The currency's symbol.
    currency_conversion_rate: Units of its currency for one of the home currency.
    total: What it comes to, with tax. Computed from its lines.
    tax_total: Its tax. Computed from its lines.
    revenue: What it comes to, without tax. Computed from its lines.
    amountpaid: What payments that count have paid.
    amountdue: What is left to pay.
    amount_remaining: What is left to pay.
    customer_paid_total: What payments that count have paid.
    paymentstatus: -1 new, 0 unpaid, 1 part paid, 2 paid.
    payments_pending: How many of its payments are under way.
    take_auto_payment: Whether it is charged by itself on its due day.
    include_in_autopay: Whether it is charged by itself on its due day.
    change_seq: Counts its changes; send it back as `last_change_seq`.
    last_change_seq: The `change_seq` you have seen; when it is not the newest any more, 409.
    ignore_change_seq: Writes even when somebody else was quicker.
    Invoice.lines: All its lines. Given, they replace what is there; a line with `id` is kept.
    RecurringInvoice.lines: All its lines. Given, they replace what is there; a line with `id` is kept.
    add_lines: Lines that are added to those there are.
    Invoice.payments: Its payments.
    invoice_display: What the invoice is called in a list.

    ihid: `id` of the line's invoice.
    sequenceid: The line's place.
    item_code: The item's code.
    item_shortdescription: What is sold.
    item_longdescription: What is sold, at length.
    nominal_code: The account it is booked to.
    tax_code: `id` of its Tax, as text.
    qty_order: How many.
    unit_price: Price of one, without tax.
    unit_cost: What one costs you.
    discount_perc: Percent taken off the price, 0 to 100.
    tax_rate: Percent of tax, 0 to 100.
    isinactive: An inactive line does not count.
    net_amount: Quantity times price, less the discount, without tax.
    total_price: Quantity times price, less the discount, without tax.
    tax_amount: The line's tax.
    total_tax: The line's tax.
    net_total: The line's price with tax.
    total_costprice: What the line costs you.
    total_discount: What the discount takes off.
    total_net_total: The line's price with tax.
    conversion_rate_internal: The invoice's conversion rate.
    line_totals: The line's sums, each in its currency and converted. With `includedetails`.
    invoice_totals: The invoice's sums by kind, each in its currency and converted. With `includedetails`.

    invoice_id: The invoice's `id`.
    invoice_invoicenumber: The invoice's number.
    InvoicePayment.date: When it was paid.
    InvoicePayment.amount: What was paid, in the invoice's currency; never rounded.
    InvoicePayment.method: 1 Stripe, 0 entered by hand.
    InvoicePayment.module_id: 1 Stripe, 0 entered by hand.
    InvoicePayment.status: 0 created, 1 requires action, 2 processing, 3 failed, 4 canceled, 5 succeeded, 6 part refunded, 7 refunded, 8 disputed, 9 dispute lost.
    thirdpartyid: Its `id` in another system.
    credit_note_id: `id` of the credit note that paid.
    payment_method_name: How it was paid.
    intent_id: The PaymentIntent at Stripe, `pi_...`.
    intent_date: When the PaymentIntent was made.
    intent_response: The PaymentIntent as Stripe told it. Only for the scopes `all` and `admin`.
    webhook_payload: The event whose news stands, word for word. Only for the scopes `all` and `admin`.
    webhook_received_date: When that event came.

    field_name: The field that was changed.
    old_value: What it was.
    new_value: What it became.
    who: The credential that changed it.
    datetime: When it was changed.
    invoice_line_id: `id` of the line that was changed.
    type_id: What was changed: an invoice, a line, a payment.
""")  # noqa: E501  a line of the glossary is one line
