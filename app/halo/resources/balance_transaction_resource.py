"""GET /BalanceTransaction: each movement of the Stripe balance, with its fee. Not HaloPSA's."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.halo.engine import json_schema
from app.halo.engine.filters import Equals, Since, TextClause, Until
from app.halo.engine.parsing import short_text
from app.halo.engine.resource import (
    LIST,
    READ,
    Attached,
    Field,
    Listing,
    Output,
    Property,
    Resource,
)
from app.halo.resources.shared_fields import CLIENT_NAME
from app.ledger import payout_lines
from app.ledger.payout_lines import SourceOwner
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.stripe_payouts import BalanceTransaction

_CREATED = {"created_at": BalanceTransaction.created_at}
_SOURCE_ID = table_of(BalanceTransaction).c.source_id


async def _payments(tx: Tx, sources: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """The payment of each source, with its client and its invoices."""
    owners = await payout_lines.load_owners(tx, sources)
    return {source: _payment(found) for source, found in owners.items()}


def _payment(owners: Sequence[SourceOwner]) -> dict[str, Any]:
    first = owners[0]
    named = {
        "intent_id": first.intent_id,
        "client_id": first.client_id,
        "client_name": first.client_name,
    }
    invoices = [
        {"id": one.invoice_id, "invoicenumber": one.invoicenumber}
        for one in owners
        if one.invoice_id is not None
    ]
    return {name: value for name, value in named.items() if value is not None} | {
        "invoices": invoices
    }


_INVOICES: json_schema.Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "id": json_schema.WHOLE,
            "invoicenumber": {"type": ["string", "null"]},
        },
    },
}

BALANCE_TRANSACTIONS = Resource(
    path="BalanceTransaction",
    table=BalanceTransaction,
    verbs=(LIST, READ),
    fields={
        "id": Field("The record's number.", read_only=True),
        "transaction_id": Field("The balance transaction at Stripe, `txn_...`.", read_only=True),
        "type": Field(
            "Stripe's word: `charge`, `refund`, `adjustment` (a dispute), `payout` and others.",
            read_only=True,
        ),
        "source_id": Field("The charge, refund, dispute or payout at Stripe.", read_only=True),
        "description": Field("Stripe's text, such as the name of a fee.", read_only=True),
        "currency_iso": Field(
            "ISO code of the balance's currency, which may be another than the charge's.",
            read_only=True,
        ),
        "amount": Field("The amount before fees; less than zero when it goes out.", read_only=True),
        "fee": Field("Stripe's fee.", read_only=True),
        "net": Field("The amount less the fee.", read_only=True),
        "exchange_rate": Field(
            "Units of `currency_iso` for one of the charge's currency, where they differ; in "
            "Stripe's own digits.",
            read_only=True,
        ),
        "created_at": Field("When Stripe booked it.", read_only=True),
        "available_at": Field("When it can be paid out.", read_only=True),
        "payout_id": Field("The payout that holds it, once that has ended.", read_only=True),
    },
    listing=Listing(
        envelope="balance_transactions",
        filters={
            "payout_id": Equals(BalanceTransaction.payout_id, short_text),
            "source_id": Equals(BalanceTransaction.source_id, short_text),
            "type": Equals(BalanceTransaction.type, short_text),
            "intent_id": TextClause(
                lambda intent: payout_lines.is_of_intent(_SOURCE_ID, intent),
                "Only those of this PaymentIntent, its refunds and disputes among them.",
            ),
            "start_date": Since(_CREATED),
            "end_date": Until(_CREATED),
        },
    ),
    output=Output(
        attached=Attached(
            {
                "intent_id": Property(json_schema.TEXT, "The PaymentIntent that it is of."),
                "client_id": Property(json_schema.WHOLE, "The client's `id`."),
                "client_name": Property(json_schema.TEXT, CLIENT_NAME),
                "invoices": Property(_INVOICES, "The invoices that the payment is for."),
            },
            BalanceTransaction.source_id,
            _payments,
        )
    ),
)
