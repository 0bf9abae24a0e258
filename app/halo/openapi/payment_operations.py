"""The operation that suggests invoices for a payment, for OpenAPI."""

from app.halo.engine import json_schema
from app.halo.openapi.operations import Operation
from app.halo.resources.invoice_payment_resource import INVOICE_PAYMENTS

SUGGESTED = Operation(
    summary="Suggest invoices for a payment",
    about=(
        "The invoices that money without an invoice may be for, the best first: the one it names "
        "without proof, one whose number stands in its description or reference, one of the same "
        "amount, or some whose amounts add up to it. POST /InvoicePayment with `id` and "
        "`invoice_id` confirms one; with `invoice_id` null it says that the payment is for none."
    ),
    tag=INVOICE_PAYMENTS.path,
    right="read:invoices",
    gives={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "invoice_ids": {"type": "array", "items": json_schema.WHOLE},
                "reason": json_schema.TEXT,
            },
        },
    },
    answer_example=[{"invoice_ids": [1], "reason": "the same amount"}],
    refusals=(404,),
    resources=(),
)
