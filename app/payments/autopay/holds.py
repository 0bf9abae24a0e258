"""Holds: payments known to us that an invoice waits for, so that it is not charged meanwhile."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import and_, bindparam, literal_column, or_, select

from app.payments.autopay.eligibility import Candidate, Skip
from app.rules.allocation import is_sum_of_some
from app.rules.payment import FINAL, FOR_NONE, LONG_AGO, TAKES_DAYS, PaymentState
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice
from app.storage.tables.stripe_payments import StripePayment

INVOICES = table_of(Invoice)
SHARES = table_of(InvoicePayment)
INTENTS = table_of(StripePayment)


async def find_holds(tx: Tx, candidates: Sequence[Candidate]) -> dict[int, Skip]:
    """Invoices that wait for a payment known to us, each with the reason.

    A payment holds the invoice it is known to be for, until it has ended. A payment of the client
    that no invoice has holds those invoices of the client that it may be for.
    """
    found = {
        row.invoice_id: Skip(_awaited(row))
        for row in await _AWAITED.all(
            tx, ids=[one.invoice_id for one in candidates], long_ago=LONG_AGO
        )
    }
    clients = {one.client_id for one in candidates if one.client_id is not None}
    unapplied = await _UNAPPLIED.all(tx, clients=sorted(clients), states=_MONEY_MOVED)
    for one in candidates:
        for row in unapplied:
            is_own = row.client_id == one.client_id
            if is_own and one.invoice_id not in found and await _may_be_for(tx, row, one):
                found[one.invoice_id] = Skip(
                    f"the payment {row.intent_id or row.id} has no invoice and may be for this "
                    "one: assign it, or say that it is for none"
                )
    return found


class _AwaitedPayment(NamedTuple):
    """A payment that has not ended, of an invoice."""

    invoice_id: int
    intent_id: str
    awaits: str | None
    amount_capturable: Decimal
    evidence: str | None


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
        INTENTS.c.state.not_in(
            [literal_column(str(int(state))) for state in (*FINAL, PaymentState.FAILED)]
        ),
        or_(
            INTENTS.c.amount_capturable > 0,
            INTENTS.c.awaits.in_([literal_column(f"'{step}'") for step in TAKES_DAYS]),
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
    """Money of a client that no invoice has, or that is on its way."""

    id: int
    intent_id: str | None
    client_id: int
    currency_iso: str
    amount: Decimal
    counted: Decimal
    state: int
    claimed_invoice_id: int | None


_MONEY_MOVED = (PaymentState.PROCESSING, PaymentState.SUCCEEDED)
_UNAPPLIED = PreparedStatement(
    select(
        SHARES.c.id,
        SHARES.c.intent_id,
        SHARES.c.client_id,
        SHARES.c.currency_iso,
        SHARES.c.amount,
        SHARES.c.counted,
        SHARES.c.state,
        INTENTS.c.claimed_invoice_id,
    )
    .join_from(SHARES, INTENTS, INTENTS.c.intent_id == SHARES.c.intent_id, isouter=True)
    .where(
        SHARES.c.invoice_id.is_(None),
        any_of(SHARES.c.client_id, "clients"),
        any_of(SHARES.c.state, "states"),
        or_(SHARES.c.counted > 0, SHARES.c.state == PaymentState.PROCESSING),
    )
    .order_by(SHARES.c.id),
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
    amount = payment.counted or payment.amount
    if amount <= one.amount:
        return amount == one.amount
    rows = await _OTHER_DUE.all(
        tx, client_id=payment.client_id, currency=payment.currency_iso, but=one.invoice_id
    )
    return is_sum_of_some(amount - one.amount, [row.amountdue for row in rows])


class _AmountDue(NamedTuple):
    amountdue: Decimal


# The oldest invoices of a client that somebody may have paid at once.
_OTHERS_MAX = 24
_OTHER_DUE = PreparedStatement(
    select(INVOICES.c.amountdue)
    .where(
        INVOICES.c.client_id == bindparam("client_id"),
        INVOICES.c.currency_iso == bindparam("currency"),
        INVOICES.c.id != bindparam("but"),
        INVOICES.c.is_recurring_invoice.is_(False),
        HAS_AMOUNT_DUE,
    )
    .order_by(INVOICES.c.duedate, INVOICES.c.id)
    .limit(_OTHERS_MAX),
    _AmountDue,
)
