"""Checkout Sessions: another way to pay an invoice that we are about to charge."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from app.ledger import settlement
from app.payments.stripe.gateway import Gateway, RequestRefused, retrieve_intent, with_backoff
from app.payments.stripe.stripe_objects import (
    intent_report,
    metadata_number,
    reference,
    whole_number,
)
from app.rules.payment import FINAL, PaymentState
from app.storage.column_types import table_of
from app.storage.engines import Database, Record
from app.storage.tables.invoice_payments import InvoicePayment

PAYMENTS = table_of(InvoicePayment)

# A Checkout Session lives a day, a bank debit from it two weeks; Stripe keeps events so long.
SESSIONS_SINCE = timedelta(days=30)


class NoLongerDue(Exception):
    """The last look found that this charge is not wanted any more."""


async def close_sessions(database: Database, gateway: Gateway, row: Record) -> None:
    """Expire open Checkout Sessions for this invoice; book those paid without our knowledge.

    A session that is complete is no longer open, and its event may still be on the way.
    """
    since = datetime.now(UTC) - SESSIONS_SINCE
    for session in await with_backoff(lambda: gateway.sessions(row.customer_id, since)):
        named = metadata_number(session, "invoice_id")
        if row.invoice_id not in (named, whole_number(session.get("client_reference_id"))):
            continue
        if session["status"] == "open":
            await _expired(gateway, session["id"])
        elif session["status"] == "complete":
            await _booked(database, gateway, row, reference(session.get("payment_intent")))


async def _expired(gateway: Gateway, session_id: str) -> None:
    try:
        await with_backoff(lambda: gateway.expire(session_id))
    except RequestRefused as error:
        raise NoLongerDue("a Checkout Session for it is being paid") from error


async def _booked(database: Database, gateway: Gateway, row: Record, intent_id: str | None) -> None:
    """What the customer has paid counts, though nobody told us; then this is no longer due."""
    if intent_id is None or await _has_settled(database, intent_id):
        return
    answer = await retrieve_intent(gateway, intent_id)
    now = datetime.now(UTC)
    news = replace(
        intent_report(answer.object, at=now.replace(microsecond=0), response=answer.body),
        invoice_id=row.invoice_id,
    )
    await database.with_retry(lambda tx: settlement.record(tx, [news], now=now, who="autopay"))
    # Asked this moment, it weighs more than an event whose time may seem later.
    if news.state in (PaymentState.SUCCEEDED, PaymentState.PROCESSING):
        raise NoLongerDue("a Checkout Session for it has been paid")


async def _has_settled(database: Database, intent_id: str) -> bool:
    async with database.snapshot() as tx:
        known = await tx.scalar(
            select(PAYMENTS.c.state).where(
                PAYMENTS.c.intent_id == intent_id, PAYMENTS.c.invoice_id.is_not(None)
            )
        )
    return known in FINAL
