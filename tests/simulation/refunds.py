"""Refunds that people ask Paydue for: each is made once, and of the invoice that it names."""

from collections import Counter
from decimal import Decimal
from typing import Any

from app.errors import Refused
from app.ledger.refund_requests import RefundRequestRow, WantedRefund
from app.payments.stripe.gateway import NoAnswer, StripeRateLimited
from app.rules import money
from app.rules.claim import INSTALLATION_KEY
from app.rules.refund import REQUEST_KEY, RefundState
from tests.simulation.world import World

_MADE = (RefundState.PENDING, RefundState.SUCCEEDED)
_THIRD = Decimal("0.3")
_MILLIONTHS = 10**6


async def refund_from_paydue(w: World) -> bool:
    """A part or all of what an invoice, or none, has of a payment."""
    found = await w.look(_REFUNDABLE_SQL)
    if not found:
        return False
    payment, counted, currency = w.random.choice(found)
    part = money.rounded(Decimal(counted) / _MILLIONTHS * _THIRD, currency)
    amount = w.random.choice((None, part)) if part > 0 else None
    wanted = WantedRefund("asked for", "simulation", payment_id=payment, amount=amount)
    try:
        request = await w.node.refunds().refund(wanted)
    except (Refused, NoAnswer, StripeRateLimited):
        return False
    w.copy = None  # only the books know who asked, so a copy from before would count anew
    await _check_taken_from(w, request, counted)
    return True


async def _check_taken_from(w: World, request: RefundRequestRow, before: int) -> None:
    """The share that a refund names loses it, whatever else its payment has left.

    Another payment for the same invoice may take its place: the client has paid it twice.
    """
    if request.invoice_id is None:
        return
    rows = await w.look(_COUNTED_SQL, intent=request.intent_id, invoice=request.invoice_id)
    after = sum(counted for (counted,) in rows)
    amount = int(request.amount * _MILLIONTHS) if request.state in _MADE else 0
    said = f"refund of {amount} for invoice {request.invoice_id}"
    assert before - after == amount, (
        f"{said}: {before} of {request.intent_id} before, {after} after"
    )


_COUNTED_SQL = """
    SELECT counted FROM invoice_payment WHERE intent_id = :intent AND invoice_id = :invoice"""
_REFUNDABLE_SQL = """
    SELECT id, counted, currency_iso FROM invoice_payment
    WHERE counted > 0 AND intent_id IS NOT NULL ORDER BY intent_id, coalesce(invoice_id, 0)"""


async def by_name(w: World) -> dict[tuple[str, int], int]:
    """By intent and invoice, the amounts given back: no other money takes their place."""
    found: Counter[tuple[str, int]] = Counter()
    for intent, invoice, minor, currency in await w.look(_BY_NAME_SQL):
        found[intent, invoice] += int(money.from_minor(minor, currency) * _MILLIONTHS)
    return found


_BY_NAME_SQL = """
    SELECT intent_id, invoice_id, amount_minor, currency FROM refund_request
    WHERE state IN ('pending', 'succeeded') AND invoice_id IS NOT NULL"""


async def check_requests(w: World) -> None:
    """Every request has ended, and Stripe has made one refund of it, or none."""
    made = Counter(
        int(one["metadata"][REQUEST_KEY])
        for one in w.sandbox.state["refunds"].rows()
        if _is_ours(w, one) and one["status"] not in {"failed", "canceled"}
    )
    expected = {number for number, state in await w.look(_REQUESTS_SQL) if state in _MADE}
    assert made == dict.fromkeys(expected, 1), f"refunds of {dict(made)}, {expected} were asked for"
    assert not await w.look(UNRESOLVED_SQL), "refund requests without an end"


def _is_ours(w: World, refund: Any) -> bool:
    named: str | None = refund["metadata"].get(INSTALLATION_KEY)
    return REQUEST_KEY in refund["metadata"] and named == w.node.installation


_REQUESTS_SQL = "SELECT id, state FROM refund_request"
UNRESOLVED_SQL = "SELECT id FROM refund_request WHERE state IN ('open', 'unknown')"
