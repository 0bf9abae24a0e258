"""GET /ChargeAttempt: our own attempts to charge invoices, one or several of a client at once."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import select

from app.halo.engine import json_schema
from app.halo.engine.codec import number
from app.halo.engine.filters import Equals, References
from app.halo.engine.parsing import reference, short_text
from app.halo.engine.resource import (
    LIST,
    READ,
    Attached,
    Computed,
    Field,
    Listing,
    Output,
    Property,
    Resource,
)
from app.halo.resources.shared_fields import ID
from app.rules import money
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.tables.charge_attempts import ChargeAttempt, ChargeAttemptShare, attempt_ids_of

ATTEMPTS = table_of(ChargeAttempt)
SHARES = table_of(ChargeAttemptShare)


def _amount(row: Record) -> Mapping[str, Any]:
    return {"amount": number(money.from_minor(row.amount_minor, row.currency))}


async def _load_shares(tx: Tx, ids: Collection[int]) -> dict[int, dict[str, Any]]:
    rows = await tx.execute(
        select(SHARES.c.attempt_id, SHARES.c.invoice_id, SHARES.c.amount_minor, ATTEMPTS.c.currency)
        .join_from(SHARES, ATTEMPTS, ATTEMPTS.c.id == SHARES.c.attempt_id)
        .where(SHARES.c.attempt_id.in_(ids))
        .order_by(SHARES.c.attempt_id, SHARES.c.invoice_id)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for attempt_id, invoice_id, amount_minor, currency in rows:
        amount = number(money.from_minor(amount_minor, currency))
        found.setdefault(attempt_id, []).append({"invoice_id": invoice_id, "amount": amount})
    return {attempt_id: {"shares": shares} for attempt_id, shares in found.items()}


_SHARES: json_schema.Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"invoice_id": json_schema.WHOLE, "amount": json_schema.NUMBER},
    },
}


CHARGE_ATTEMPTS = Resource(
    path="ChargeAttempt",
    table=ChargeAttempt,
    verbs=(LIST, READ),
    fields={
        "id": ID,
        "invoice_id": Field(
            "`id` of the invoice that it charges; of several, the first of its `shares`.", reference
        ),
        "is_consolidated": Field("Whether it charges several invoices at once."),
        "number": Field("Which try of the invoice it is, from 1."),
        "state": Field(
            "`open`, `unknown` or `processing` while it has not ended; else `succeeded`, "
            "`declined` or `canceled`.",
            short_text,
        ),
        "step": Field("The step it has reached: `claimed`, `prepared`, `confirming` or `ended`."),
        "business_day": Field("The client's business day on which it began."),
        "client_id": Field("`id` of the client that the invoice had as it began."),
        "amount_minor": Field(
            "The amount in the currency's minor unit, as Stripe is asked for it."
        ),
        "currency": Field("The currency's ISO code, in small letters.", short_text),
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
            "invoice_id": References(
                lambda invoice_id: ChargeAttempt.id.in_(attempt_ids_of(invoice_id)),
                "Only those that charge this invoice, alone or with others.",
            ),
            "state": Equals(ChargeAttempt.state, short_text),
            "intent_id": Equals(ChargeAttempt.intent_id, short_text),
        }
    ),
    output=Output(
        computed=Computed(
            {"amount": Property(json_schema.NUMBER, "The amount in the currency's major unit.")},
            _amount,
        ),
        attached=Attached(
            {"shares": Property(_SHARES, "The invoices that it charges at once, with amounts.")},
            ChargeAttempt.id,
            _load_shares,
        ),
    ),
)
