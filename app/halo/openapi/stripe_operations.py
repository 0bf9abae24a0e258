"""The operations of HaloPSA's own Stripe endpoints, for OpenAPI."""

from collections.abc import Mapping
from typing import Any

from app.halo.engine import json_schema
from app.halo.engine.filters import Parameter
from app.halo.engine.json_schema import Schema
from app.halo.openapi.operations import Operation
from app.halo.refund_actions import EVERYTHING
from app.halo.stripe_actions import EDIT_CUSTOMERS, EDIT_INVOICES, READ_CUSTOMERS

_TAG = "IntegrationData"
_CLIENT: Mapping[str, Schema] = {
    "client_id": {**json_schema.WHOLE, "description": "The client."},
    "customerid": {
        **json_schema.TEXT,
        "description": "The client's Stripe customer, or its number: instead of `client_id`.",
    },
}
_SECRET: Schema = {
    "type": "object",
    "properties": {
        "id": {**json_schema.TEXT, "description": "The intent at Stripe."},
        "client_secret": {**json_schema.TEXT, "description": "For Stripe's own form."},
        "status": {"type": ["string", "null"], "description": "Its state at Stripe."},
        "amount": {"type": ["integer", "null"], "description": "In minor units."},
        "currency": {"type": ["string", "null"], "description": "In small letters."},
    },
}
_SECRET_EXAMPLE = {"id": "pi_1", "client_secret": "pi_1_secret_x", "status": "requires_action"}
_URL: Schema = {
    "type": "object",
    "properties": {"url": {**json_schema.TEXT, "description": "Stripe's page."}},
}


def _asks(
    summary: str,
    about: str,
    right: str,
    takes: Mapping[str, Schema],
    example: Mapping[str, Any],
    gives: tuple[Schema, Mapping[str, Any]],
) -> Operation:
    schema, answer = gives
    return Operation(
        summary=summary,
        about=about,
        tag=_TAG,
        right=right,
        takes={"type": "object", "properties": dict(takes)},
        gives=schema,
        example=example,
        answer_example=answer,
        refusals=(400, 404, 409, 503),
    )


INTEGRATION = Operation(
    summary="Show the Stripe integration",
    about="The mode and the webhook's address; with `client_id` the client's own payment method.",
    tag=_TAG,
    right=READ_CUSTOMERS,
    parameters={"client_id": Parameter(json_schema.WHOLE, "The client whose method is shown.")},
    gives={
        "type": "object",
        "properties": {
            "livemode": {**json_schema.FLAG, "description": "Whether the key is a live one."},
            "webhook_url": {**json_schema.TEXT, "description": "Where Stripe sends its events."},
            "stripe_customer_id": {**json_schema.TEXT, "description": "Of the client."},
            "payment_methods": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {name: json_schema.TEXT for name in ("id", "name", "hint")},
                },
                "description": "The client's own payment method, if one is set.",
            },
        },
    },
    answer_example={"livemode": False, "payment_methods": []},
    refusals=(400, 404),
)
WEBHOOK_MADE = _asks(
    "Make or mend the webhook endpoint",
    "The endpoint at Stripe, with exactly the events and the API version in use.",
    EVERYTHING,
    {"url": {**json_schema.TEXT, "description": "Its address; else from PAYDUE_PUBLIC_URL."}},
    {"url": "https://pay.example.com/stripe/webhook"},
    (
        {
            "type": "object",
            "properties": {
                "id": {**json_schema.TEXT, "description": "The endpoint at Stripe."},
                "secret": {
                    **json_schema.TEXT,
                    "description": "The signing secret; only of a new endpoint.",
                },
                "status": {**json_schema.TEXT, "description": "`enabled` or `disabled`."},
                "url": {**json_schema.TEXT, "description": "Its address."},
            },
        },
        {"id": "we_1", "status": "enabled", "url": "https://pay.example.com/stripe/webhook"},
    ),
)
SETUP_MADE = _asks(
    "Make a SetupIntent",
    "By it a screen saves a client's payment method for automatic charges.",
    EDIT_CUSTOMERS,
    _CLIENT,
    {"client_id": 1},
    (_SECRET, _SECRET_EXAMPLE),
)
INTENT_MADE = _asks(
    "Make a PaymentIntent for invoices",
    "Unconfirmed, for all that the invoices owe. Every other way to pay them is closed before it "
    "is answered; 409 where money for one of them is on its way. A charge or a pay link that comes "
    "later cancels it.",
    EDIT_INVOICES,
    {
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"id": json_schema.WHOLE}},
            "description": "Invoices of one client and currency, 100 at most.",
        },
        "cardid": {**json_schema.TEXT, "description": "A payment method of the customer's."},
    },
    {"items": [{"id": 1}]},
    (_SECRET, _SECRET_EXAMPLE),
)
PAYMENT_UPDATED = _asks(
    "Book a PaymentIntent now",
    "Stripe is asked at once, and what it says is booked.",
    EDIT_INVOICES,
    {
        "payment_intent": {**json_schema.TEXT, "description": "The intent."},
        "payment_intent_client_secret": {**json_schema.TEXT, "description": "Its secret."},
    },
    {"payment_intent": "pi_1"},
    (
        {
            "type": "object",
            "properties": {"payment_intent": {**json_schema.TEXT, "description": "The intent."}},
        },
        {"payment_intent": "pi_1"},
    ),
)
PORTAL_OPENED = _asks(
    "Open the billing portal",
    "Stripe's page where the client's payment methods are changed.",
    EDIT_CUSTOMERS,
    {
        **_CLIENT,
        "returnurl": {**json_schema.TEXT, "description": "Where Stripe's page leads back to."},
    },
    {"client_id": 1, "returnurl": "https://psa.example.com/"},
    (_URL, {"url": "https://billing.stripe.com/p/session/x"}),
)
METHOD_UPDATED = _asks(
    "Set a client's payment method",
    "Refused where the method is another customer's at Stripe.",
    EDIT_CUSTOMERS,
    {
        **_CLIENT,
        "stripe_payment_method_id": {
            **json_schema.TEXT,
            "description": "The method; `cardid` and `payment_method` say the same.",
        },
    },
    {"client_id": 1, "stripe_payment_method_id": "pm_1"},
    (
        {
            "type": "object",
            "properties": {
                "id": {**json_schema.WHOLE, "description": "The client."},
                "stripe_payment_method_id": {**json_schema.TEXT, "description": "The method."},
                "stripe_payment_method_name": {
                    "type": ["string", "null"],
                    "description": "The method as people know it.",
                },
            },
        },
        {"id": 1, "stripe_payment_method_id": "pm_1", "stripe_payment_method_name": "visa 4242"},
    ),
)
