"""A payment by hand that names a PaymentIntent is a claim: Stripe is asked before it is booked."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request

from app.errors import InvalidField

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
