"""The operation that makes a pay link, for OpenAPI."""

from app.halo.engine import json_schema
from app.halo.openapi.operations import Operation
from app.halo.pay_link_actions import EDIT_INVOICES
from app.halo.resources.pay_link_resource import PAY_LINKS
from app.ledger.pay_links import DAYS, DAYS_MAX

LINK_MADE = Operation(
    summary="Make a pay link",
    about=(
        "Makes a lasting link without login, for an invoice or for all that a client owes. Its "
        "page shows what is due and leads to a Checkout Session of Stripe's, which is made when "
        "the visitor wants to pay. The answer has its address, which is not told again: only a "
        "hash of it is kept. The link of an invoice also stands in the invoice's "
        "`generic_online_invoice_payment_url`. DELETE revokes a link."
    ),
    tag=PAY_LINKS.path,
    right=EDIT_INVOICES,
    takes={
        "type": "object",
        "properties": {
            "invoice_id": {**json_schema.WHOLE, "description": "The invoice, or"},
            "client_id": {**json_schema.WHOLE, "description": "the client: one of the two."},
            "days": {
                **json_schema.SMALL,
                "minimum": 1,
                "maximum": DAYS_MAX,
                "default": DAYS,
                "description": "How long it is good for.",
            },
            "allows_portal": {
                **json_schema.FLAG,
                "description": (
                    "Whether its page also leads to Stripe's page where the client's payment "
                    "methods are changed: only for a link that goes to the client alone."
                ),
            },
        },
    },
    gives={
        "type": "object",
        "properties": {
            "id": json_schema.WHOLE,
            "url": {**json_schema.TEXT, "description": "The address to send."},
            "expires_at": {**json_schema.TEXT, "description": "From then on it opens nothing."},
            "invoice_id": {"type": ["integer", "null"]},
            "client_id": {"type": ["integer", "null"]},
        },
    },
    status=201,
    example={"invoice_id": 1, "days": 30},
    answer_example={"id": 1, "url": "https://pay.example.com/pay/TOKEN", "invoice_id": 1},
    refusals=(400, 404, 409),
    resources=(PAY_LINKS,),
)
