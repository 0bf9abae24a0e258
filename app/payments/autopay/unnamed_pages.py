"""Pages where the customer may pay an invoice without its number: the charge waits for their end.

An unfinished PaymentIntent or Checkout Session of the customer that names no invoice of theirs is
another program's. It is not ours to close, and it may be for any invoice whose amount it fits,
alone or together with others.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from app.payments.autopay import candidates, holds
from app.payments.autopay.candidates import Candidate
from app.payments.stripe.stripe_objects import (
    StripeObject,
    instant_of,
    metadata_number,
    reference,
    whole_number,
)
from app.rules import money
from app.storage.engines import Database, Tx

# An unfinished intent may be a page that somebody has open, for so long.
PAGE_LIFE = timedelta(hours=24)
_ENDED = frozenset({"succeeded", "canceled"})


async def find_page(
    database: Database,
    customer_id: str,
    currency: str,
    invoice_ids: Iterable[int],
    sessions: Iterable[StripeObject],
    intents: Iterable[StripeObject],
) -> "UnnamedPage | None":
    """The first page of the customer that may be for some of the invoices."""
    open_sessions = [one for one in sessions if _is_open_session(one, customer_id)]
    open_intents = [one for one in intents if _is_open_intent(one)]
    if not open_sessions and not open_intents:
        return None
    async with database.snapshot() as tx:
        found = [await candidates.find_candidate(tx, one) for one in invoice_ids]
        due = [one for one in found if one is not None]
        pages = [(one, one.get("amount_total")) for one in open_sessions]
        pages += [(one, one.get("amount")) for one in open_intents]
        for page, amount in pages:
            for_these = await _may_be_for(tx, customer_id, currency, due, (page, amount))
            if for_these:
                return UnnamedPage(page["id"], for_these)
    return None


class UnnamedPage(NamedTuple):
    """The id of a session or an intent, and the invoices that it may be for."""

    id: str
    invoice_ids: set[int]


def _is_open_session(session: StripeObject, customer_id: str) -> bool:
    """Whether the customer can still pay, or has said that a bank transfer will come."""
    if reference(session.get("customer")) != customer_id:
        return False
    awaits_money = (
        session.get("status") == "complete"
        and session.get("payment_status") == "unpaid"
        and session.get("payment_intent") is None
    )
    return session.get("status") == "open" or awaits_money


def _is_open_intent(intent: StripeObject) -> bool:
    created = instant_of(intent, "created")
    is_recent = created is not None and datetime.now(UTC) - created < PAGE_LIFE
    return is_recent and intent.get("status") not in _ENDED


async def _may_be_for(
    tx: Tx,
    customer_id: str,
    currency: str,
    due: Sequence[Candidate],
    asked_for: tuple[StripeObject, object],
) -> set[int]:
    page, amount = asked_for
    if not isinstance(amount, int) or page.get("currency") != currency:
        return set()
    named = {
        number
        for number in (
            metadata_number(page, "invoice_id"),
            whole_number(page.get("client_reference_id")),
        )
        if number is not None
    }
    if named and await holds.list_own_invoices(tx, named, customer_id):
        return set()
    asked = money.from_minor(amount, currency)
    return {one.invoice_id for one in due if await holds.fits_what_is_due(tx, asked, one)}
