"""Credit notes: what one may pay, checked under its lock."""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import func, select

from app.errors import InvalidField
from app.ledger.balances import InvoiceRow
from app.rules import money
from app.rules.invoice import InvoiceKind, credit_of
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoice_payments import InvoicePayment

PAYMENTS = table_of(InvoicePayment)


async def assert_covers(
    tx: Tx,
    credit_note_id: int,
    invoice: InvoiceRow,
    locked: Mapping[int, InvoiceRow],
    amount: Decimal,
) -> None:
    """InvalidField unless the credit note may pay this amount of this invoice; both are locked."""
    note = locked.get(credit_note_id)
    why = _refusal(note, invoice)
    if note is None or why is not None:
        raise InvalidField("credit_note_id", why or "does not exist")
    left = credit_of(note.invoicetype, note.total) - await _used(tx, credit_note_id)
    if amount > left:
        said = money.text(max(left, Decimal(0)), note.currency_iso)
        raise InvalidField("credit_note_id", f"credit note {note.id} has {said} left")


def _refusal(note: InvoiceRow | None, invoice: InvoiceRow) -> str | None:
    if note is None or note.is_recurring_invoice:
        return "does not exist"
    if note.invoicetype != InvoiceKind.CREDIT_NOTE and note.total >= 0:
        return f"{note.id} is not a credit note"
    if note.voided:
        return f"credit note {note.id} is voided"
    if note.client_id != invoice.client_id:
        return f"credit note {note.id} is of client {note.client_id}, not {invoice.client_id}"
    if note.currency_iso != invoice.currency_iso:
        return f"credit note {note.id} is in {note.currency_iso}, not {invoice.currency_iso}"
    return None


async def _used(tx: Tx, credit_note_id: int) -> Decimal:
    used = await tx.scalar(
        select(func.sum(PAYMENTS.c.counted)).where(PAYMENTS.c.credit_note_id == credit_note_id)
    )
    return used or Decimal(0)
