"""The operations of the actions on invoices, for OpenAPI."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.documents.languages import LANGUAGES
from app.halo.engine import json_schema
from app.halo.engine.codec import codec_of
from app.halo.engine.filters import Parameter
from app.halo.engine.json_schema import Schema
from app.halo.openapi.operations import Operation, listed, many, one_or_many, the
from app.halo.resources.invoice_line_resource import INVOICE_LINES
from app.halo.resources.invoice_resource import INVOICES
from app.halo.resources.recurring_invoice_resource import RECURRING_INVOICES

_READ, _EDIT = "read:invoices", "edit:invoices"
_LINE = the(INVOICE_LINES.path)
_LINE_EXAMPLE = {"id": 1, "ihid": 1, "qty_order": 3}
_TEMPLATE_LINE_EXAMPLE = {"id": 2, "ihid": -2, "qty_order": 3}

LINES_LISTED = replace(
    listed(INVOICES),
    summary="List Invoice with lines",
    about="The same list, each invoice with its lines.",
)


def _lines(summary: str, about: str, tag: str, example: Mapping[str, Any]) -> Operation:
    return Operation(
        summary=summary,
        about=about,
        tag=tag,
        right=_EDIT,
        takes=many(_LINE),
        gives=one_or_many(_LINE),
        example=[example],
        answer_example=example,
        refusals=(400, 404, 409),
        resources=(INVOICE_LINES,),
    )


_CHANGED = "Changes the lines that are named, and what they name of them; no other line."
LINES_UPDATED = _lines("Change lines of invoices", _CHANGED, INVOICES.path, _LINE_EXAMPLE)
TEMPLATE_LINES_UPDATED = _lines(
    "Change lines of templates", _CHANGED, RECURRING_INVOICES.path, _TEMPLATE_LINE_EXAMPLE
)
TEMPLATE_LINES_ADDED = _lines(
    "Add lines to templates",
    "Adds lines; each names its template as `ihid`.",
    RECURRING_INVOICES.path,
    {"ihid": -2, "item_shortdescription": "Support", "qty_order": 1, "unit_price": 99},
)
TEMPLATE_LINE_BY_QUERY = Operation(
    summary="Change a line of a template, by parameters",
    about="A published client sends its change this way. Any property of a line is a parameter.",
    tag=RECURRING_INVOICES.path,
    right=_EDIT,
    parameters={
        name: Parameter(codec_of(INVOICE_LINES).input_schema(name), about)
        for name, about in {
            "id": "The line.",
            "item_shortdescription": "The goods or the service, in a few words.",
            "qty_order": "The quantity.",
            "unit_price": "The price of one, without tax.",
        }.items()
    },
    gives=_LINE,
    answer_example=_TEMPLATE_LINE_EXAMPLE,
    refusals=(400, 404, 409),
    resources=(INVOICE_LINES,),
)

VOIDED = Operation(
    summary="Void an invoice",
    about="It owes nothing any more, and stays to be seen. Refused where money hangs on it.",
    tag=INVOICES.path,
    right=_EDIT,
    gives=the(INVOICES.path),
    answer_example={"id": 1, "voided": True, "amountdue": 0},
    refusals=(400, 404, 409),
    resources=(INVOICES,),
)

CREDITED = Operation(
    summary="Correct an invoice by a credit note",
    about=(
        "Makes a credit note of the invoice, of all its lines or of those given, with its prices "
        "and taxes, and pays with it what the invoice still owes. Refused while a charge is under "
        "way, and where all notes would come to more than the invoice."
    ),
    tag=INVOICES.path,
    right=_EDIT,
    takes={
        "type": "object",
        "required": ["reason"],
        "properties": {
            "reason": {**json_schema.TEXT, "description": "Why; the note shows it."},
            "lines": {
                "type": "array",
                "description": "The lines that are credited; all of them without it.",
                "items": {
                    "type": "object",
                    "required": ["id", "qty_order"],
                    "properties": {
                        "id": {**json_schema.WHOLE, "description": "`id` of the invoice's line."},
                        "qty_order": {
                            **json_schema.NUMBER,
                            "description": "How much of its quantity.",
                        },
                    },
                },
            },
        },
    },
    gives=the(INVOICES.path),
    status=201,
    example={"reason": "Two hours too many", "lines": [{"id": 1, "qty_order": 2}]},
    answer_example={"id": 2, "invoicetype": 1, "creditlinkedtoinvoiceid": 1, "total": 40},
    refusals=(400, 404, 409),
    resources=(INVOICES,),
)

_OUTCOME: Schema = {
    "type": "object",
    "properties": {
        "outcome": {
            **json_schema.TEXT,
            "description": (
                "`charged`, `pending` (a bank debit is under way), `declined`, `held` (Stripe "
                "refuses the request) or `unknown` (Stripe is asked until it answers)."
            ),
        },
        "invoice_id": {**json_schema.WHOLE, "description": "The invoice."},
        "intent_id": {"type": ["string", "null"], "description": "The PaymentIntent."},
        "amount": {**json_schema.TEXT, "description": "The amount asked, such as `120.00`."},
        "currency": {**json_schema.TEXT, "description": "Its ISO code, in small letters."},
        "reason": {"type": ["string", "null"], "description": "Why it was not charged."},
        "next_try": {"type": ["string", "null"], "description": "The day of the next try."},
    },
}
RETRIED = Operation(
    summary="Try to charge an invoice now",
    about=(
        "Charges the invoice now, whatever day its last decline names, and answers the outcome. "
        "Refused with the reason where a run would not charge it either: autopay is off, it is "
        "not due or paid, another way to pay is under way, or the card networks allow no try."
    ),
    tag=INVOICES.path,
    right="admin",
    takes={
        "type": "object",
        "required": ["reason"],
        "properties": {"reason": {**json_schema.TEXT, "description": "Why; it is audited."}},
    },
    gives=_OUTCOME,
    example={"reason": "The customer has freed the card"},
    answer_example={"outcome": "charged", "invoice_id": 1, "intent_id": "pi_1", "reason": None},
    refusals=(400, 404, 409, 503),
    resources=(INVOICES,),
)

PRINTED = Operation(
    summary="Make the document of an invoice",
    about=(
        "The answer is application/pdf, which keeps for decades (PDF/A-3b). A credit note gets its "
        "own document."
    ),
    tag=INVOICES.path,
    right=_READ,
    parameters={
        "language": Parameter(
            {**json_schema.TEXT, "enum": list(LANGUAGES)},
            "The document's language; the client's, or the seller's, without one.",
        ),
        "document": Parameter(
            {**json_schema.TEXT, "enum": ["invoice", "receipt", "factur-x"]},
            "`receipt` is about the payments of the invoice; `factur-x` is an e-invoice, the same "
            "PDF with the XML of EN 16931 inside. Refused with the fields that its data lacks.",
        ),
    },
    gives={},
    gives_type="application/pdf",
    refusals=(400, 404, 503),
    resources=(INVOICES,),
)

PROCESSED = Operation(
    summary="Make the invoices of templates",
    about="Takes the templates' ids; answers the invoices that they made.",
    tag=RECURRING_INVOICES.path,
    right=_EDIT,
    parameters={
        "force_creation": Parameter(
            json_schema.FLAG, "Makes one more for a period that has its own."
        )
    },
    takes=many(json_schema.WHOLE),
    gives={"anyOf": [the(INVOICES.path), {"type": "array", "items": the(INVOICES.path)}]},
    example=[-2],
    answer_example={"id": 2, "recurring_invoice_id": -2},
    refusals=(400, 404, 409),
    resources=(INVOICES,),
)

_WHO: Schema = {
    "type": "object",
    "properties": {
        "id": {**json_schema.WHOLE, "description": "Whose credential it is."},
        "name": {**json_schema.TEXT, "description": "The credential's name."},
    },
}
_VIEW: Schema = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {**json_schema.WHOLE, "description": "The invoice."},
        "current_action_type": {**json_schema.TEXT, "description": "The work done on it."},
        "changeseq": {**json_schema.SMALL, "readOnly": True, "description": "Its `change_seq`."},
        "viewers": {
            "type": "array", "items": _WHO, "readOnly": True, "description": "Who looks at it."
        },
    },
}  # fmt: skip
VIEWED = Operation(
    summary="Say that you look at invoices",
    about="Answers who else does. Whoever says nothing for a minute has left.",
    tag=INVOICES.path,
    right=_READ,
    takes=many(_VIEW),
    gives=one_or_many(_VIEW),
    example=[{"id": 1, "current_action_type": "editing"}],
    answer_example={
        "id": 1,
        "changeseq": 1,
        "current_action_type": "editing",
        "viewers": [{"id": 1, "name": "billing"}],
    },
    refusals=(400, 404),
)
