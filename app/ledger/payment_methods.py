"""Stripe's reports on clients' customers and saved payment methods, written to the clients."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, update

from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client
from app.storage.tables.stripe_events import StripeEvent

CLIENTS = table_of(Client)
EVENTS = table_of(StripeEvent)


class PaymentMethodChange(StrEnum):
    SAVED = "saved"
    RENAMED = "renamed"
    GONE = "gone"
    CUSTOMER_GONE = "customer gone"


@dataclass(frozen=True, slots=True)
class PaymentMethodReport:
    """A report on a Stripe customer, or on its saved card or bank account."""

    change: PaymentMethodChange
    customer_id: str | None = None
    payment_method_id: str | None = None
    name: str | None = None


async def apply_reports(tx: Tx, news: Sequence[PaymentMethodReport], *, now: datetime) -> None:
    """Write what changes for the clients concerned. Rare, so one statement each."""
    for one in news:
        match one.change:
            case PaymentMethodChange.SAVED:
                await _saved(tx, one, now)
            case PaymentMethodChange.RENAMED:
                await _renamed(tx, one, now)
            case PaymentMethodChange.GONE:
                await _gone(tx, one, now)
            case PaymentMethodChange.CUSTOMER_GONE:
                await _forget_customer(tx, one, now)


async def _saved(tx: Tx, news: PaymentMethodReport, now: datetime) -> None:
    """Keep the newest method saved for off-session use; the client's own is a person's to set.

    Events come in any order: a method whose detachment is already here stays gone.
    """
    gone = await tx.scalar(
        select(EVENTS.c.id).where(
            EVENTS.c.object_id == news.payment_method_id,
            EVENTS.c.type == "payment_method.detached",
        )
    )
    if gone is None:
        await tx.execute(
            update(CLIENTS)
            .where(CLIENTS.c.stripe_customer_id == news.customer_id)
            .values(stripe_saved_method_id=news.payment_method_id, last_modified=now)
        )


async def _renamed(tx: Tx, news: PaymentMethodReport, now: datetime) -> None:
    await tx.execute(
        update(CLIENTS)
        .where(CLIENTS.c.stripe_payment_method_id == news.payment_method_id)
        .values(stripe_payment_method_name=news.name, last_modified=now)
    )


async def _gone(tx: Tx, news: PaymentMethodReport, now: datetime) -> None:
    """A method that is gone is charged no more, and the customer's default takes its place."""
    method_id = news.payment_method_id
    await tx.execute(
        update(CLIENTS)
        .where(CLIENTS.c.stripe_payment_method_id == method_id)
        .values(
            stripe_payment_method_id=None,
            stripe_payment_method_name=None,
            last_modified=now,
        )
    )
    await tx.execute(
        update(CLIENTS)
        .where(CLIENTS.c.stripe_saved_method_id == method_id)
        .values(stripe_saved_method_id=None, last_modified=now)
    )


async def _forget_customer(tx: Tx, news: PaymentMethodReport, now: datetime) -> None:
    await tx.execute(
        update(CLIENTS)
        .where(CLIENTS.c.stripe_customer_id == news.customer_id)
        .values(
            stripe_customer_id=None,
            stripe_payment_method_id=None,
            stripe_payment_method_name=None,
            stripe_saved_method_id=None,
            last_modified=now,
        )
    )
