"""GET /AutopayApproval: invoices that autopay holds for a person, and decisions. Not HaloPSA's."""

from app.halo.engine.filters import Equals
from app.halo.engine.parsing import reference, short_text
from app.halo.engine.resource import LIST, READ, Field, Listing, Resource
from app.storage.tables.autopay_policies import AutopayApproval

AUTOPAY_APPROVALS = Resource(
    path="AutopayApproval",
    table=AutopayApproval,
    verbs=(LIST, READ),
    group="autopay",
    fields={
        "id": Field("The record's number.", read_only=True),
        "invoice_id": Field("`id` of the invoice that is held.", reference, read_only=True),
        "client_id": Field("`id` of its client.", read_only=True),
        "state": Field(
            "`waiting`, `approved`, `rejected`, or `lapsed`: approved, and more was due later.",
            short_text,
            read_only=True,
        ),
        "amount": Field(
            "What was due on the invoice; no more than it is approved.", read_only=True
        ),
        "total": Field("The invoice's total then.", read_only=True),
        "currency": Field("Their currency's ISO code.", read_only=True),
        "reason": Field("Why a person is asked.", read_only=True),
        "rule_name": Field("The autopay rule that the invoice met.", read_only=True),
        "held_at": Field("Since when it is held.", read_only=True),
        "decided_by": Field("Who approved or rejected it.", read_only=True),
        "decided_at": Field("When.", read_only=True),
        "decision_reason": Field("Why.", read_only=True),
    },
    listing=Listing(
        envelope="approvals",
        filters={
            "state": Equals(AutopayApproval.state, short_text),
            "invoice_id": Equals(AutopayApproval.invoice_id, reference),
        },
    ),
)
