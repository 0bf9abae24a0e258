"""The operation of the action on payments, for OpenAPI."""

from app.halo.engine import json_schema
from app.halo.engine.json_schema import Schema
from app.halo.openapi.operations import Operation
from app.halo.refund_actions import EVERYTHING
from app.halo.resources.invoice_payment_resource import INVOICE_PAYMENTS

_REQUEST: Schema = {
    "type": "object",
    "properties": {
        "id": {**json_schema.WHOLE, "description": "The refund request."},
        "state": {
            **json_schema.TEXT,
            "description": (
                "`succeeded`, `pending` (the bank has not answered), `failed` (the money is ours "
                "again) or `unknown` (Stripe gave no answer; the worker asks until it does)."
            ),
        },
        "intent_id": {**json_schema.TEXT, "description": "The PaymentIntent."},
        "invoice_id": {
            "type": ["integer", "null"],
            "description": "The invoice whose share is reduced.",
        },
        "amount": {**json_schema.TEXT, "description": "The amount given back, such as `20.00`."},
        "currency": {**json_schema.TEXT, "description": "Its ISO code, in small letters."},
        "reason": {**json_schema.TEXT, "description": "Why; it is audited."},
        "refund_id": {"type": ["string", "null"], "description": "The refund at Stripe."},
        "said": {"type": ["string", "null"], "description": "Why it has not succeeded."},
    },
}
REFUNDED = Operation(
    summary="Refund a payment",
    about=(
        "Gives back the money that an invoice has of a payment, or a part of it; of a payment "
        "without an invoice, the client's credit. Without `amount` it is all that is left. "
        "Refused where it is more than that, and with Stripe's words where Stripe refuses. Send "
        "an Idempotency-Key: the same request again makes no second refund."
    ),
    tag=INVOICE_PAYMENTS.path,
    right=EVERYTHING,
    takes={
        "type": "object",
        "required": ["reason"],
        "properties": {
            "amount": {
                **json_schema.NUMBER,
                "description": "How much; all that is left if not given.",
            },
            "reason": {**json_schema.TEXT, "description": "Why; it is audited."},
        },
    },
    gives=_REQUEST,
    example={"amount": 20, "reason": "One seat was not used"},
    answer_example={"id": 1, "state": "succeeded", "amount": "20.00", "refund_id": "re_1"},
    refusals=(400, 404, 503),
    resources=(INVOICE_PAYMENTS,),
)
