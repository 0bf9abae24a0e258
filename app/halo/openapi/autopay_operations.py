"""The operations of the actions on autopay, for OpenAPI."""

from app.halo.approval_actions import EDIT_AUTOPAY
from app.halo.autopay_forecast_action import READ_INVOICES
from app.halo.charge_calendar_action import DAYS_MAX
from app.halo.engine import json_schema
from app.halo.engine.filters import Parameter
from app.halo.engine.json_schema import Schema
from app.halo.openapi.operations import Operation, many, one_or_many, the
from app.halo.resources.autopay_approval_resource import AUTOPAY_APPROVALS
from app.halo.resources.autopay_rule_resource import AUTOPAY_RULES
from app.halo.resources.invoice_resource import INVOICES
from app.halo.rule_changes import READ_RULES

_MOVE: Schema = {
    **json_schema.TEXT,
    "enum": ["in", "out", "ask", "day"],
    "description": "Charged from then on, no longer, after an approval, or on another day.",
}
_PREVIEW: Schema = {
    "type": "object",
    "properties": {
        "looked_at": {**json_schema.WHOLE, "description": "Open invoices that were looked at."},
        "moves": {
            "type": "array",
            "description": "All that the change moves, counted and summed by currency.",
            "items": {
                "type": "object",
                "properties": {
                    "move": _MOVE,
                    "currency": json_schema.TEXT,
                    "count": json_schema.WHOLE,
                    "amount": json_schema.NUMBER,
                },
            },
        },
        "invoices": {
            "type": "array",
            "description": "The first 200 of them.",
            "items": {
                "type": "object",
                "properties": {
                    "invoice_id": json_schema.WHOLE,
                    "move": _MOVE,
                    "amount": json_schema.NUMBER,
                    "currency": json_schema.TEXT,
                    "rule": {"type": ["string", "null"]},
                    "charge_on": {"type": ["string", "null"], "format": "date"},
                },
            },
        },
    },
}
PREVIEWED = Operation(
    summary="Preview autopay rules",
    about=(
        "Takes rules as a POST of them does, and changes nothing: the answer says which open "
        "invoices they would move into automatic charging, out of it, to a person, or to "
        "another day."
    ),
    tag=AUTOPAY_RULES.path,
    right=READ_RULES,
    takes=many(the(AUTOPAY_RULES.path)),
    gives=_PREVIEW,
    example=[{"name": "Large projects", "action": "ask", "amount_from": 10000}],
    answer_example={
        "looked_at": 120,
        "moves": [{"move": "ask", "currency": "usd", "count": 1, "amount": 12500}],
        "invoices": [],
    },
    refusals=(400, 404),
    resources=(AUTOPAY_RULES,),
)

_DECISION: Schema = {
    "type": "object",
    "required": ["invoices"],
    "properties": {
        "invoices": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["invoice_id"],
                "properties": {
                    "invoice_id": {**json_schema.WHOLE, "description": "The invoice."},
                    "amount": {
                        **json_schema.NUMBER,
                        "description": (
                            "The amount that the person has seen; refused where it is held for "
                            "another."
                        ),
                    },
                },
            },
        },
        "reason": {
            **json_schema.SHORT_TEXT,
            "description": "Why; it stands in the invoice's history.",
        },
    },
}
_DECIDED = "All are decided or none is, in the name of the credentials; each decision is audited."


def _decision(summary: str, about: str) -> Operation:
    return Operation(
        summary=summary,
        about=f"{about} {_DECIDED}",
        tag=AUTOPAY_APPROVALS.path,
        right=EDIT_AUTOPAY,
        takes=_DECISION,
        gives=one_or_many(the(AUTOPAY_APPROVALS.path)),
        example={"invoices": [{"invoice_id": 1, "amount": 12500}], "reason": "Asked the client"},
        answer_example={"id": 1, "invoice_id": 1, "state": "approved", "amount": 12500},
        refusals=(400, 404),
        resources=(AUTOPAY_APPROVALS,),
    )


APPROVED = _decision(
    "Approve held invoices",
    "The next run charges them: what they were held for, and no more.",
)
REJECTED = _decision(
    "Reject held invoices", "Autopay charges them no more, until somebody approves them."
)


def _nullable(about: str) -> Schema:
    return {"type": ["string", "null"], "description": about}


FORECAST = Operation(
    summary="Will it be charged?",
    about=(
        "Says in one sentence whether autopay charges the invoice, on which day, by what and "
        "under which rule; of one that it does not charge, why, and what would change it. Stripe "
        "is not asked: whether a card still works, only it knows."
    ),
    tag=INVOICES.path,
    right=READ_INVOICES,
    gives={
        "type": "object",
        "properties": {
            "invoice_id": json_schema.WHOLE,
            "sentence": {**json_schema.TEXT, "description": "All of it for a person."},
            "will_be_charged": json_schema.FLAG,
            "charge_on": _nullable("The day."),
            "amount": json_schema.TEXT,
            "currency": json_schema.TEXT,
            "method": {**json_schema.TEXT, "description": "The payment method, in words."},
            "rule": _nullable("The autopay rule that it meets."),
            "reason": _nullable("Why it is not charged now."),
            "change": _nullable("What would change that."),
            "needs_approval": {
                **json_schema.FLAG,
                "description": "Whether it waits for a person.",
            },
            "approval": _nullable("`waiting`, `approved` or `rejected`."),
            "decided_by": _nullable("Who approved or rejected it."),
            "last_attempt": _nullable("The state of its newest charge attempt."),
        },
    },
    answer_example={
        "invoice_id": 1,
        "sentence": "It is charged 120.00 usd in the next run, by pm_1.",
        "will_be_charged": True,
    },
    refusals=(400, 404),
    resources=(INVOICES,),
)

_CHARGES: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "date": _nullable("The day; none while a person has not approved it."),
            "client_id": {"type": ["integer", "null"]},
            "client_name": _nullable("The client."),
            "amount": {**json_schema.TEXT, "description": "The sum, in the currency's decimals."},
            "currency": json_schema.TEXT,
            "count": {**json_schema.WHOLE, "description": "Invoices."},
            "invoice_ids": {
                "type": "array",
                "items": json_schema.WHOLE,
                "description": "The first 20 of them.",
            },
        },
    },
}
CALENDAR = Operation(
    summary="Coming charges",
    about=(
        "Says what autopay charges in the coming days, by day, client and currency, and what waits "
        "for an approval. Each invoice is judged as `GET /api/Invoice/{id}/autopay` judges it; "
        "Stripe is not asked, and invoices that a template has not made yet are not in it."
    ),
    tag="AutopayCalendar",
    right=READ_INVOICES,
    parameters={
        "days": Parameter(
            {**json_schema.SMALL, "minimum": 1, "maximum": DAYS_MAX, "default": 60},
            "How many days from today on.",
        ),
        "client_id": Parameter(json_schema.WHOLE, "Only this client."),
    },
    gives={
        "type": "object",
        "properties": {
            "from": {**json_schema.TEXT, "format": "date"},
            "until": {**json_schema.TEXT, "format": "date"},
            "looked_at": {**json_schema.WHOLE, "description": "Invoices that were looked at."},
            "is_complete": {
                **json_schema.FLAG,
                "description": "False where there are more than 10,000: ask client by client.",
            },
            "totals": {
                "type": "object",
                "additionalProperties": json_schema.TEXT,
                "description": "The sum of these days, by currency.",
            },
            "charges": _CHARGES,
            "awaiting_approval": _CHARGES,
        },
    },
    answer_example={"looked_at": 1, "is_complete": True, "totals": {"usd": "120.00"}},
)
