"""GET /Payout: what Stripe pays to the bank, and whether its lines add up. Not HaloPSA's."""

from collections.abc import Collection, Mapping
from typing import Any

from app.halo.engine import json_schema
from app.halo.engine.codec import number
from app.halo.engine.filters import Equals, Since, Until
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
from app.ledger import payout_lines
from app.storage.engines import Tx
from app.storage.tables.stripe_payouts import StripePayout

_ARRIVAL = {"arrival_date": StripePayout.arrival_date}


async def _sums(tx: Tx, payout_ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """The sums of each payout's lines, under their names in the API."""
    return {
        payout_id: {
            "lines": one.lines,
            "gross": number(one.gross),
            "fee": number(one.fee),
            "net": number(one.net),
        }
        for payout_id, one in (await payout_lines.load_sums(tx, payout_ids)).items()
    }


PAYOUTS = Resource(
    path="Payout",
    table=StripePayout,
    verbs=(LIST, READ),
    fields={
        "id": Field("The record's number.", read_only=True),
        "payout_id": Field("The payout at Stripe, `po_...`.", read_only=True),
        "status": Field("`pending`, `in_transit`, `paid`, `failed` or `canceled`.", read_only=True),
        "amount": Field("What the bank gets; less than zero when Stripe takes.", read_only=True),
        "currency_iso": Field("ISO code of the currency of all its amounts.", read_only=True),
        "automatic": Field(
            "Whether Stripe's schedule made it. Of a manual one Stripe does not tell the lines.",
            read_only=True,
        ),
        "arrival_date": Field("The day on which the bank has it.", read_only=True),
        "created_at": Field("When Stripe made it.", read_only=True),
        "failure_code": Field("Stripe's reason why it failed.", read_only=True),
    },
    listing=Listing(
        envelope="payouts",
        filters={
            "payout_id": Equals(StripePayout.payout_id, short_text),
            "status": Equals(StripePayout.status, short_text),
            "currency_iso": Equals(StripePayout.currency_iso, short_text),
            "start_date": Since(_ARRIVAL),
            "end_date": Until(_ARRIVAL),
        },
    ),
    output=Output(
        attached=Attached(
            {
                "lines": Property(json_schema.WHOLE, "How many lines it has."),
                "gross": Property(json_schema.NUMBER, "The lines' amounts before fees, added up."),
                "fee": Property(json_schema.NUMBER, "The lines' fees, added up."),
                "net": Property(
                    json_schema.NUMBER,
                    "The lines' net amounts, added up. Equal to `amount`, or lines are missing.",
                ),
            },
            StripePayout.payout_id,
            _sums,
        )
    ),
)
