"""Loads the money, attempts and history that a rule must look at before an invoice changes."""

from collections.abc import Collection
from decimal import Decimal
from typing import TypeVar

from sqlalchemy import ColumnElement, FromClause, ScalarSelect, exists, func, or_, select

from app.errors import ChargeUnderWay, Refused
from app.rules.attempt import UNRESOLVED
from app.rules.invoice import Dependents, charge_under_way
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.charge_attempts import ChargeAttempt, attempt_ids_of
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_payments import StripePayment

INVOICES = table_of(Invoice)
PAYMENTS = table_of(InvoicePayment)
ATTEMPTS = table_of(ChargeAttempt)
INTENTS = table_of(StripePayment)

ValueT = TypeVar("ValueT")


async def load_dependents(tx: Tx, invoice_ids: Collection[int]) -> dict[int, Dependents]:
    """By invoice; the caller has locked them."""
    found = await tx.execute(_DEPENDENTS.where(INVOICES.c.id.in_(sorted(invoice_ids))))
    return {
        row.id: Dependents(
            posted=row.posted,
            voided=row.voided,
            paid=row.amountpaid,
            pending=row.payments_pending,
            payments=row.payments,
            attempts=row.attempts,
            open_attempt=row.open_attempt,
            open_attempt_state=row.open_attempt_state,
            open_attempt_step=row.open_attempt_step,
            credits_used=row.credits_used,
            credit_given=row.credit_given or Decimal(0),
            paid_by_notes=row.paid_by_notes,
            made=row.made,
        )
        for row in found
    }


def refusal(one: Dependents, why: str, what: str) -> Refused:
    """The error to raise; a 409 where the same request may be right once a charge has ended."""
    kind = ChargeUnderWay if why == charge_under_way(one) else Refused
    return kind(f"{what}: {why}")


_IS_ATTEMPT_OF_IT = ATTEMPTS.c.id.in_(attempt_ids_of(INVOICES.c.id))


def _count(table: FromClause, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).where(*conditions).scalar_subquery()


def _of_open_attempt(column: ColumnElement[ValueT]) -> ScalarSelect[ValueT]:
    return (
        select(column).where(_IS_ATTEMPT_OF_IT, ATTEMPTS.c.state.in_(UNRESOLVED)).scalar_subquery()
    )


_MADE = INVOICES.alias("made")
_PAYMENTS = _count(PAYMENTS, PAYMENTS.c.invoice_id == INVOICES.c.id)
# Payments that are known to be for the invoice and are not booked to it.
_CLAIMS = _count(
    INTENTS,
    INTENTS.c.claimed_invoice_id == INVOICES.c.id,
    INTENTS.c.evidence.is_not(None),
    ~exists().where(
        PAYMENTS.c.intent_id == INTENTS.c.intent_id,
        PAYMENTS.c.invoice_id == INTENTS.c.claimed_invoice_id,
    ),
)
_CREDITS_USED = _count(
    PAYMENTS,
    PAYMENTS.c.credit_note_id == INVOICES.c.id,
    or_(PAYMENTS.c.counted > 0, PAYMENTS.c.invoice_id.is_not(None)),
)
_CREDIT_GIVEN = (
    select(func.sum(PAYMENTS.c.counted))
    .where(PAYMENTS.c.credit_note_id == INVOICES.c.id)
    .scalar_subquery()
)
_PAID_BY_NOTES = _count(
    PAYMENTS, PAYMENTS.c.invoice_id == INVOICES.c.id, PAYMENTS.c.credit_note_id.is_not(None)
)
_DEPENDENTS = select(
    INVOICES.c.id,
    INVOICES.c.posted,
    INVOICES.c.voided,
    INVOICES.c.amountpaid,
    INVOICES.c.payments_pending,
    (_PAYMENTS + _CLAIMS).label("payments"),
    _count(ATTEMPTS, _IS_ATTEMPT_OF_IT).label("attempts"),
    _of_open_attempt(ATTEMPTS.c.number).label("open_attempt"),
    _of_open_attempt(ATTEMPTS.c.state).label("open_attempt_state"),
    _of_open_attempt(ATTEMPTS.c.step).label("open_attempt_step"),
    _CREDITS_USED.label("credits_used"),
    _CREDIT_GIVEN.label("credit_given"),
    _PAID_BY_NOTES.label("paid_by_notes"),
    _count(_MADE, _MADE.c.recurring_invoice_id == INVOICES.c.id).label("made"),
)
