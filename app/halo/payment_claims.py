"""Payments that somebody assigns: claims on PaymentIntents, and suggestions for unapplied money.

A payment by hand that names a PaymentIntent is a claim: Stripe is asked before it is booked.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from app.errors import InvalidField
from app.halo.access.authenticator import authorize
from app.halo.engine.resource_routes import id_in_path
from app.halo.engine.responses import json_response
from app.halo.resources.invoice_payment_resource import INVOICE_PAYMENTS
from app.ledger import suggestions

# A payment page pays some invoices at once with one intent; nobody names more intents in a request.
INTENTS_MAX = 10


class BookIntent(Protocol):
    """Books what Stripe says of an intent; the node asks. Without an answer it books nothing."""

    async def __call__(self, intent_id: str) -> None: ...


async def ask_for_intents(request: Request, records: Sequence[Mapping[str, Any]]) -> None:
    """Book the intents that new payments name, as Stripe shows them now."""
    named = {one["intent_id"] for one in records if "id" not in one and one.get("intent_id")}
    if len(named) > INTENTS_MAX:
        raise InvalidField("intent_id", f"a request names {INTENTS_MAX} intents at most")
    book: BookIntent = request.app.state.book_intent
    for intent_id in sorted(named):
        await book(intent_id)


async def list_suggestions(request: Request) -> Response:
    """The invoices that money without an invoice may be for, the best first."""
    await authorize(request, "read:invoices")
    payment_id = id_in_path(INVOICE_PAYMENTS, request.path_params["id"])
    async with request.app.state.database.snapshot() as tx:
        found = await suggestions.list_suggestions(tx, payment_id)
    return json_response([one._asdict() for one in found])
