"""GET, POST and DELETE /InvoicePayment."""

from collections.abc import Collection, Mapping
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Text, column, exists, or_, select, table

from app.halo.engine import json_schema
from app.halo.engine.filters import Equals, OneOf, References, Search, contains
from app.halo.engine.parsing import reference, short_text, stripe_id
from app.halo.engine.resource import (
    ALL_VERBS,
    Attached,
    Derived,
    Field,
    Input,
    Listing,
    Output,
    Property,
    Resource,
)
from app.halo.resources import passthrough
from app.halo.resources.shared_fields import CLIENT_NAME, ID
from app.ledger.money_back import MoneyBack, load_money_back
from app.rules.notation import moment
from app.storage.column_types import BigId, table_of
from app.storage.engines import Record, Tx
from app.storage.prepared import any_of
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.stripe_events import StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_refund_requests import RefundRequest
from app.storage.tables.stripe_reversals import StripeReversal

# `invoices` imports this module to show payments inside invoices; two columns suffice here.
_INVOICES = table("invoice", column("id", BigId), column("invoicenumber", Text))
_CLIENT_NAME = select(Client.name).where(Client.id == InvoicePayment.client_id).scalar_subquery()
_INVOICENUMBER = (
    select(_INVOICES.c.invoicenumber)
    .where(_INVOICES.c.id == InvoicePayment.invoice_id)
    .scalar_subquery()
)


def _search(text: ColumnElement[str]) -> list[ColumnElement[bool]]:
    own = (InvoicePayment.intent_id, InvoicePayment.reference)
    charged = select(StripePayment.intent_id).where(contains(StripePayment.charge_id, text))
    named = select(Client.id).where(contains(Client.name, text))
    numbered = select(_INVOICES.c.id).where(contains(_INVOICES.c.invoicenumber, text))
    return [
        *(contains(one, text) for one in own),
        InvoicePayment.intent_id.in_(charged),
        InvoicePayment.client_id.in_(named),
        InvoicePayment.invoice_id.in_(numbered),
    ]


async def _intents(tx: Tx, ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """These PaymentIntents as Stripe reports them, with the raw body of the event that counted."""
    found = (await tx.execute(_INTENTS, {"ids": list(ids)})).all()
    back = await load_money_back(tx, [row.intent_id for row in found if row.went_back])
    return {row.intent_id: _shown(row) | _went_back(row, back) for row in found}


def _went_back(row: Record, back: Mapping[str, MoneyBack]) -> dict[str, Any]:
    """The lists that are not empty; a payment without them shows none."""
    if row.intent_id not in back:
        return {}
    shown = back[row.intent_id].as_dict(row.currency_iso, moment)
    return {name: listed for name, listed in shown.items() if listed}


_INTENTS = (
    select(
        StripePayment.intent_id,
        StripePayment.currency_iso,
        StripePayment.intent_date,
        StripePayment.intent_response,
        StripePayment.webhook_received_date,
        StripeEvent.payload,
        # Most have none of it, and then nothing more is asked.
        or_(
            exists().where(StripeReversal.intent_id == StripePayment.intent_id),
            exists().where(RefundRequest.intent_id == StripePayment.intent_id),
        ).label("went_back"),
    )
    .outerjoin(StripeEvent, StripeEvent.event_id == StripePayment.webhook_event_id)
    .where(any_of(table_of(StripePayment).c.intent_id, "ids"))
)


def _shown(row: Record) -> dict[str, Any]:
    """Without an answer of our own call, the object of the event is the intent's."""
    payload = row.payload.decode() if row.payload else None
    shown = {
        "intent_date": moment(row.intent_date) if row.intent_date else None,
        "intent_response": row.intent_response or (_object_of(payload) if payload else None),
        "webhook_received_date": (
            moment(row.webhook_received_date) if row.webhook_received_date else None
        ),
        "webhook_payload": payload,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _object_of(payload: str) -> str | None:
    """The event's object; None of a body that was dropped, or is nested deeper than JSON is.

    Its `webhook_payload` holds the same word for word.
    """
    try:
        return orjson.dumps(orjson.loads(payload)["data"]["object"]).decode()
    except (KeyError, orjson.JSONEncodeError):
        return None


def _list_of(about: str, **properties: str) -> Property:
    described = {
        name: {**json_schema.ANYTHING, "description": one} for name, one in properties.items()
    }
    item = {"type": "object", "properties": described}
    return Property({"type": "array", "items": item}, about)


_MONEY_BACK = {
    "refunds": _list_of(
        "The refunds of the whole PaymentIntent, and requests that have made none.",
        id="The refund at Stripe, `re_...`; null for a request that has made none.",
        request_id="The refund request, where Paydue made it.",
        invoice_id="The invoice that it is for, where it names one.",
        amount="The amount, such as `20.00`.",
        status="`pending`, `requires_action`, `succeeded`, `failed` or `canceled`, as Stripe says; "
        "of a request without a refund `open`, `unknown`, `failed` or `refused`.",
        reason="Why it was made.",
        failure="Why it failed.",
    ),
    "disputes": _list_of(
        "The disputes of the whole PaymentIntent.",
        id="The dispute at Stripe, `du_...`.",
        amount="The disputed amount, such as `120.00`.",
        status="Stripe's own word, such as `needs_response`.",
        reason="Stripe's own word, such as `fraudulent`.",
        is_inquiry="Whether the bank only asks, and has taken no money.",
        evidence_due="Until when Stripe takes evidence.",
        funds_withdrawn="Whether the money left our balance.",
        funds_reinstated="Whether it came back.",
    ),
    "fraud_warnings": _list_of(
        "Early fraud warnings: a dispute of this payment is expected.",
        id="The warning at Stripe, `issfr_...`.",
        status="`actionable` until the payment is refunded or disputed, then `closed`.",
        reason="The kind of fraud, in Stripe's word.",
    ),
}

INVOICE_PAYMENTS = Resource(
    path="InvoicePayment",
    table=InvoicePayment,
    verbs=ALL_VERBS,
    fields={
        "id": ID,
        "invoice_id": Field(
            "The invoice's `id`; a payment without one waits to be assigned to its invoice.",
            reference,
        ),
        "client_id": Field("The client's `id`.", read_only=True),
        "date": Field("When it was paid."),
        "amount": Field("The money paid, in the invoice's currency; never rounded."),
        "method": Field("1 Stripe, 0 entered by hand."),
        "status": Field(
            "0 created, 1 requires action, 2 processing, 3 failed, 4 canceled, 5 succeeded, "
            "6 part refunded, 7 refunded, 8 disputed, 9 dispute lost.",
            read_only=True,
        ),
        "type": Field("HaloPSA's number for a kind of payment; Paydue writes 0."),
        "module_id": Field("1 Stripe, 0 entered by hand."),
        "reference": Field("Free text to find it by."),
        "thirdpartyid": Field("Its `id` in another system."),
        "credit_note_id": Field("`id` of the credit note that paid.", reference),
        "payment_method": Field("The payment method's number in HaloPSA; it is not looked up."),
        "payment_method_name": Field("The payment method in words."),
        "posted": Field("Whether it was handed to accounting."),
        "dateposted": Field("When it was handed to accounting."),
        "evidence": Field(
            "Why the money is this invoice's: attempt, metadata, key, person, customer or amount.",
            read_only=True,
        ),
        "intent_id": Field("The PaymentIntent at Stripe, `pi_...`.", stripe_id),
    },
    listing=Listing(
        filters={
            "intent_id": Equals(InvoicePayment.intent_id, short_text),
            "invoice_id": References(InvoicePayment.invoice_id),
            "invoice_ids": OneOf(InvoicePayment.invoice_id, reference),
            "client_id": Equals(InvoicePayment.client_id),
            "search": Search(_search),
        }
    ),
    output=Output(
        derived={
            "client_name": Derived(CLIENT_NAME, _CLIENT_NAME),
            "invoice_invoicenumber": Derived("The invoice's number.", _INVOICENUMBER),
        },
        attached=Attached(
            {
                "intent_date": Property(json_schema.MOMENT, "When the PaymentIntent was made."),
                "intent_response": Property(
                    json_schema.TEXT,
                    "The PaymentIntent as Stripe answered or reported it. Only for the scopes "
                    "`all` and `admin`.",
                ),
                "webhook_received_date": Property(
                    json_schema.MOMENT, "When the event came that `webhook_payload` holds."
                ),
                "webhook_payload": Property(
                    json_schema.TEXT,
                    "The newest event that counted, word for word. Only for the scopes `all` and "
                    "`admin`.",
                ),
                **_MONEY_BACK,
            },
            InvoicePayment.intent_id,
            _intents,
        ),
    ),
    input=Input(passthrough=passthrough.INVOICE_PAYMENT),
)
