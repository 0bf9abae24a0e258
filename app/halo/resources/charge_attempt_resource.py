"""GET /ChargeAttempt: our own attempts to charge invoices, one try of one invoice each."""

from collections.abc import Mapping
from typing import Any

from app.halo.engine import json_schema
from app.halo.engine.codec import number
from app.halo.engine.filters import Equals
from app.halo.engine.parsing import reference, short_text
from app.halo.engine.resource import (
    LIST,
    READ,
    Computed,
    Field,
    Listing,
    Output,
    Property,
    Resource,
)
from app.halo.resources.shared_fields import ID
from app.rules import money
from app.storage.engines import Record
from app.storage.tables.charge_attempts import ChargeAttempt


def _amount(row: Record) -> Mapping[str, Any]:
    return {"amount": number(money.from_minor(row.amount_minor, row.currency))}


CHARGE_ATTEMPTS = Resource(
    path="ChargeAttempt",
    table=ChargeAttempt,
    verbs=(LIST, READ),
    fields={
        "id": ID,
        "invoice_id": Field("`id` of the invoice that it charges.", reference),
        "number": Field("Which try of the invoice it is, from 1."),
        "state": Field(
            "`open`, `unknown` or `processing` while it has not ended; else `succeeded`, "
            "`declined` or `canceled`."
        ),
        "step": Field("The step it has reached: `claimed`, `prepared`, `confirming` or `ended`."),
        "business_day": Field("The client's business day on which it began."),
        "client_id": Field("`id` of the client that the invoice had as it began."),
        "amount_minor": Field(
            "The amount in the currency's minor unit, as Stripe is asked for it."
        ),
        "currency": Field("The currency's ISO code, in small letters."),
        "customer_id": Field("The Stripe customer that is charged, `cus_...`.", short_text),
        "payment_method_id": Field("The payment method that is charged, `pm_...`.", short_text),
        "intent_id": Field("Its PaymentIntent, `pi_...`, once Stripe has made it.", short_text),
        "charge_id": Field("The charge on it, `ch_...`.", short_text),
        "created_at": Field("When it began."),
        "finished_at": Field("When it ended."),
        "check_at": Field("When Stripe is asked about it next."),
        "checks": Field("How often Stripe was asked about it without an end."),
        "code": Field("Stripe's error code of a decline."),
        "decline_code": Field("The bank's code of a decline."),
        "reason": Field("Why it ended, or waits, in words."),
        "next_try_on": Field("The business day of the next try, after a decline."),
    },
    listing=Listing(
        filters={
            "invoice_id": Equals(ChargeAttempt.invoice_id),
            "state": Equals(ChargeAttempt.state, short_text),
            "intent_id": Equals(ChargeAttempt.intent_id, short_text),
        }
    ),
    output=Output(
        computed=Computed(
            {"amount": Property(json_schema.NUMBER, "The amount in the currency's major unit.")},
            _amount,
        )
    ),
)
