"""What hangs on invoices: money, attempts and history that a rule must look at before a change."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, func, or_, select

from app.rules.attempt import UNRESOLVED
from app.rules.invoice import Dependents
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice

INVOICES = table_of(Invoice)
PAYMENTS = table_of(InvoicePayment)
ATTEMPTS = table_of(ChargeAttempt)


async def load_dependents(tx: Tx, invoice_ids: Collection[int]) -> dict[int, Dependents]:
    """By invoice; the caller has locked them."""
    found = await tx.execute(_STANDINGS.where(INVOICES.c.id.in_(sorted(invoice_ids))))
    return {row.id: Dependents(*row[1:]) for row in found}


def _count(table: Any, *conditions: Any) -> Any:
    return select(func.count()).select_from(table).where(*conditions).scalar_subquery()


def _of_open_attempt(column: Any) -> Any:
    return (
        select(column)
        .where(ATTEMPTS.c.invoice_id == INVOICES.c.id, ATTEMPTS.c.state.in_(UNRESOLVED))
        .scalar_subquery()
    )


def _standings() -> Select[Any]:
    made = INVOICES.alias("made")
    waiting = (PAYMENTS.c.invoice_id.is_(None), PAYMENTS.c.claimed_invoice_id == INVOICES.c.id)
    return select(
        INVOICES.c.id,
        INVOICES.c.posted,
        INVOICES.c.voided,
        INVOICES.c.amountpaid,
        INVOICES.c.payments_pending,
        _count(PAYMENTS, PAYMENTS.c.invoice_id == INVOICES.c.id) + _count(PAYMENTS, *waiting),
        _count(ATTEMPTS, ATTEMPTS.c.invoice_id == INVOICES.c.id),
        _of_open_attempt(ATTEMPTS.c.number),
        _of_open_attempt(ATTEMPTS.c.state),
        _count(
            PAYMENTS,
            PAYMENTS.c.credit_note_id == INVOICES.c.id,
            or_(PAYMENTS.c.counted > 0, PAYMENTS.c.invoice_id.is_not(None)),
        ),
        _count(made, made.c.recurring_invoice_id == INVOICES.c.id),
    )


_STANDINGS = _standings()
