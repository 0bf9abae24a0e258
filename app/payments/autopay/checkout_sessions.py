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
from app.storage.engines import Database
from app.storage.tables.invoice_payments import InvoicePayment

PAYMENTS = table_of(InvoicePayment)

# A Checkout Session lives a day, a bank debit from it two weeks; Stripe keeps events so long.
SESSIONS_SINCE = timedelta(days=30)


class NoLongerDue(Exception):
    """The last look found that this charge is not wanted any more."""


async def close_sessions(
    database: Database, gateway: Gateway, invoice_id: int, customer_id: str
) -> None:
    """Expire open Checkout Sessions for this invoice; book those paid without our knowledge.

    A session that is complete is no longer open, and its event may still be on the way.
    """
    since = datetime.now(UTC) - SESSIONS_SINCE
    for session in await with_backoff(lambda: gateway.sessions(customer_id, since)):
        named = metadata_number(session, "invoice_id")
        if invoice_id not in (named, whole_number(session.get("client_reference_id"))):
            continue
        if session["status"] == "open":
            await _expire(gateway, session["id"])
        elif session["status"] == "complete":
            intent_id = reference(session.get("payment_intent"))
            await _book_if_paid(database, gateway, invoice_id, intent_id)


async def _expire(gateway: Gateway, session_id: str) -> None:
    try:
        await with_backoff(lambda: gateway.expire(session_id))
    except RequestRefused as error:
        raise NoLongerDue("a Checkout Session for it is being paid") from error


async def _book_if_paid(
    database: Database, gateway: Gateway, invoice_id: int, intent_id: str | None
) -> None:
    """Book a session's payment whose event has not come; the charge is then no longer due."""
    if intent_id is None or await _has_settled(database, intent_id):
        return
    response = await retrieve_intent(gateway, intent_id)
    now = datetime.now(UTC)
    report = replace(
        intent_report(response.object, at=now.replace(microsecond=0), response=response.body),
        invoice_id=invoice_id,
    )
    await database.with_retry(lambda tx: settlement.record(tx, [report], now=now, who="autopay"))
    # Asked this moment, it weighs more than an event whose time may seem later.
    if report.state in (PaymentState.SUCCEEDED, PaymentState.PROCESSING):
        raise NoLongerDue("a Checkout Session for it has been paid")


async def _has_settled(database: Database, intent_id: str) -> bool:
    async with database.snapshot() as tx:
        known = await tx.scalar(
            select(PAYMENTS.c.state).where(
                PAYMENTS.c.intent_id == intent_id, PAYMENTS.c.invoice_id.is_not(None)
            )
        )
    return known in FINAL
