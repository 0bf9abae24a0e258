"""Holds: payments known to us that an invoice waits for, so that it is not charged meanwhile."""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, literal_column, or_, select

from app.payments.autopay.candidates import Candidate
from app.payments.autopay.eligibility import Skip
from app.rules.allocation import is_sum_of_some
from app.rules.payment import FINAL, FOR_NONE, LONG_AGO, TAKES_DAYS, PaymentState
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice
from app.storage.tables.stripe_payments import StripePayment

INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)
SHARES = table_of(InvoicePayment)
INTENTS = table_of(StripePayment)


async def find_holds(tx: Tx, candidates: Sequence[Candidate]) -> dict[int, Skip]:
    """Invoices that wait for a payment known to us, each with the reason.

    A payment holds the invoice it is known to be for, until it has ended. A payment that no invoice
    has holds those invoices that it may be for: its client's, those of whoever shares the Stripe
    customer, and those of whoever has the customer now that paid it.
    """
    found = {
        row.invoice_id: Skip(_awaited(row), change=f"the end of {row.intent_id} at Stripe")
        for row in await _AWAITED.all(
            tx, ids=[one.invoice_id for one in candidates], long_ago=LONG_AGO
        )
    }
    customers = {one.customer_id for one in candidates if one.customer_id is not None}
    unapplied = await _load_unapplied(tx, customers)
    for one in candidates:
        for row in unapplied:
            is_own = row.stripe_customer_id == one.customer_id
            if is_own and one.invoice_id not in found and await _may_be_for(tx, row, one):
                found[one.invoice_id] = Skip(
                    f"the payment {row.intent_id or row.id} has no invoice and may be for this "
                    "one: assign it, or say that it is for none",
                    change=f"`paydue payment assign {row.intent_id or row.id}`",
                )
    return found


class _AwaitedPayment(NamedTuple):
    """A payment that has not ended, of an invoice."""

    invoice_id: int
    intent_id: str
    awaits: str | None
    amount_capturable: Decimal
    evidence: str | None


_HAS_NOT_ENDED = INTENTS.c.state.not_in(
    [literal_column(str(int(state))) for state in (*FINAL, PaymentState.FAILED)]
)
# A card holds the money for us, or the customer pays in their own time.
_IS_AWAITED = or_(
    INTENTS.c.amount_capturable > 0,
    INTENTS.c.awaits.in_([literal_column(f"'{step}'") for step in TAKES_DAYS]),
)
_AWAITED = PreparedStatement(
    select(
        SHARES.c.invoice_id,
        INTENTS.c.intent_id,
        INTENTS.c.awaits,
        INTENTS.c.amount_capturable,
        INTENTS.c.evidence,
    )
    .join_from(SHARES, INTENTS, INTENTS.c.intent_id == SHARES.c.intent_id)
    .where(
        any_of(SHARES.c.invoice_id, "ids"),
        _HAS_NOT_ENDED,
        or_(
            _IS_AWAITED,
            and_(
                INTENTS.c.evidence == literal_column("'person'"),
                INTENTS.c.state_at == bindparam("long_ago"),
            ),
        ),
    ),
    _AwaitedPayment,
)


def _awaited(row: _AwaitedPayment) -> str:
    if row.amount_capturable:
        return f"{row.intent_id} holds the amount on a card and may be captured"
    if row.awaits:
        return f"{row.intent_id} waits for the customer: {row.awaits}"
    return f"somebody said that {row.intent_id} pays it; Stripe has not said so yet"


class _UnappliedPayment(NamedTuple):
    """Money that no invoice has, or that is on its way, with its client's Stripe customer."""

    id: int
    intent_id: str | None
    stripe_customer_id: str
    currency_iso: str
    amount: Decimal
    counted: Decimal
    state: int
    claimed_invoice_id: int | None


async def _load_unapplied(tx: Tx, customers: Collection[str]) -> list[_UnappliedPayment]:
    wanted = sorted(customers)
    found = await _UNAPPLIED_OF_CLIENTS.all(tx, customers=wanted)
    found += await _UNAPPLIED_OF_CUSTOMERS.all(tx, customers=wanted)
    return sorted(set(found))


def _unapplied(customer: ColumnElement[str | None]) -> Select[*tuple[Any, ...]]:
    return select(
        SHARES.c.id,
        SHARES.c.intent_id,
        customer.label("stripe_customer_id"),
        SHARES.c.currency_iso,
        SHARES.c.amount,
        SHARES.c.counted,
        SHARES.c.state,
        INTENTS.c.claimed_invoice_id,
    ).where(
        SHARES.c.invoice_id.is_(None),
        any_of(customer, "customers"),
        or_(
            SHARES.c.counted > 0,
            SHARES.c.state == PaymentState.PROCESSING,
            and_(_HAS_NOT_ENDED, _IS_AWAITED),
        ),
    )


_UNAPPLIED_OF_CLIENTS = PreparedStatement(
    _unapplied(CLIENTS.c.stripe_customer_id)
    .join_from(SHARES, CLIENTS, CLIENTS.c.id == SHARES.c.client_id)
    .outerjoin(INTENTS, INTENTS.c.intent_id == SHARES.c.intent_id),
    _UnappliedPayment,
)
# The customer who paid may have had no client then, or another one.
_UNAPPLIED_OF_CUSTOMERS = PreparedStatement(
    _unapplied(INTENTS.c.stripe_customer_id).join_from(
        INTENTS, SHARES, SHARES.c.intent_id == INTENTS.c.intent_id
    ),
    _UnappliedPayment,
)


async def _may_be_for(tx: Tx, payment: _UnappliedPayment, one: Candidate) -> bool:
    """Whether a payment without an invoice fits what this one owes, alone or with others."""
    if payment.claimed_invoice_id == FOR_NONE:
        return False  # a person said so
    if payment.claimed_invoice_id == one.invoice_id:
        return True
    if payment.currency_iso != one.currency:
        return False
    return await fits_what_is_due(tx, payment.counted or payment.amount, one)


async def fits_what_is_due(tx: Tx, amount: Decimal, one: Candidate) -> bool:
    """Whether an amount is what an invoice owes, alone or with others of the Stripe customer."""
    if amount <= one.amount:
        return amount == one.amount
    rows = await _OTHER_DUE.all(
        tx, customer=one.customer_id, currency=one.currency, but=one.invoice_id
    )
    return is_sum_of_some(amount - one.amount, [row.amountdue for row in rows])


class _AmountDue(NamedTuple):
    amountdue: Decimal


# The oldest invoices of a customer that somebody may have paid at once.
_OTHERS_MAX = 24
_OTHER_DUE = PreparedStatement(
    select(INVOICES.c.amountdue)
    .join_from(INVOICES, CLIENTS, CLIENTS.c.id == INVOICES.c.client_id)
    .where(
        CLIENTS.c.stripe_customer_id == bindparam("customer"),
        INVOICES.c.currency_iso == bindparam("currency"),
        INVOICES.c.id != bindparam("but"),
        INVOICES.c.is_recurring_invoice.is_(False),
        HAS_AMOUNT_DUE,
    )
    .order_by(INVOICES.c.duedate, INVOICES.c.id)
    .limit(_OTHERS_MAX),
    _AmountDue,
)


# --- unfinished intents that claim an invoice ----------------------------------------------------


async def find_unfinished(tx: Tx, invoice_ids: Iterable[int]) -> dict[str, set[int]]:
    """The intents known to be for some of the invoices that may still take money, with these.

    They may be anybody's.
    """
    found: dict[str, set[int]] = {}
    for row in await _UNFINISHED.all(tx, ids=sorted(invoice_ids)):
        found.setdefault(row.intent_id, set()).add(row.invoice_id)
    return found


class _UnfinishedIntent(NamedTuple):
    invoice_id: int
    intent_id: str


_UNFINISHED = PreparedStatement(
    select(SHARES.c.invoice_id, INTENTS.c.intent_id)
    .join_from(SHARES, INTENTS, INTENTS.c.intent_id == SHARES.c.intent_id)
    .where(
        any_of(SHARES.c.invoice_id, "ids"),
        INTENTS.c.state.not_in([literal_column(str(int(state))) for state in FINAL]),
    )
    .order_by(INTENTS.c.intent_id),
    _UnfinishedIntent,
)


async def list_own_invoices(tx: Tx, invoice_ids: Iterable[int], customer_id: str) -> set[int]:
    """Those of the invoices that are a client's with this Stripe customer."""
    rows = await _OWN.all(tx, ids=sorted(invoice_ids), customer=customer_id)
    return {row.id for row in rows}


class _OwnInvoice(NamedTuple):
    id: int


_OWN = PreparedStatement(
    select(INVOICES.c.id)
    .join_from(INVOICES, CLIENTS, CLIENTS.c.id == INVOICES.c.client_id)
    .where(any_of(INVOICES.c.id, "ids"), CLIENTS.c.stripe_customer_id == bindparam("customer")),
    _OwnInvoice,
)
