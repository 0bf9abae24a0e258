"""Voids and deletes invoices, templates and payments where no money and no history is lost."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import delete, select, update

from app.errors import NotFound, Refused
from app.ledger import (
    audit,
    balances,
    invoice_numbers,
    journal,
    recurring,
    settlement,
    time_and_expenses,
)
from app.ledger.dependents import load_dependents, refusal
from app.ledger.recurring_templates import Template, with_time_zones
from app.rules.double_entry import HandPayment
from app.rules.home import Home
from app.rules.invoice import Dependents, deletion_refusal, void_refusal
from app.rules.money import plain
from app.rules.payment import (
    LONG_AGO,
    PaymentState,
    payment_deletion_refusal as why_not_delete_payment,
)
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.driver_errors import LostRace
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import FullInvoiceRow, Invoice, InvoiceLine
from app.storage.tables.stripe_payments import StripePayment

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)
PAYMENTS = table_of(InvoicePayment)
INTENTS = table_of(StripePayment)


async def void(tx: Tx, invoice_id: int, *, now: datetime, who: str) -> None:
    """A voided invoice stays and owes nothing any more. Voiding it again changes nothing."""
    row, dependents = await _lock(tx, "Invoice", invoice_id)
    if row.voided:
        return
    why = void_refusal(dependents)
    if why is not None:
        raise refusal(dependents, why, f"invoice {invoice_id} cannot be voided")
    seq = row.change_seq + 1
    await tx.execute(
        update(INVOICES)
        .where(INVOICES.c.id == invoice_id)
        .values(voided=True, change_seq=seq, last_modified=now)
    )
    await time_and_expenses.free_expenses(tx, invoice_id)
    await journal.record_invoices(tx, [(row, row._replace(voided=True))], now=now, who=who)
    change = audit.AuditChange(invoice_id, "voided", old=False, new=True)
    await audit.write(tx, [change], who=who, now=now)
    await balances.recompute(tx, [invoice_id], now=now, who=who)


async def delete_invoice(tx: Tx, record_id: int, *, now: datetime, who: str, home: Home) -> None:
    """Delete an invoice with its lines; its audit rows stay.

    The template that made it bills the same period again.
    """
    template = await _lock_template_of(tx, record_id, home)
    await invoice_numbers.refuse_deletion(tx, record_id)
    row = await _delete(tx, "Invoice", record_id, now=now, who=who)
    if template is not None:
        await recurring.give_back_period(tx, row, template, now=now, who=who, home=home)


async def _lock_template_of(tx: Tx, invoice_id: int, home: Home) -> Template | None:
    """Templates have the lower ids, so they are locked before their invoices."""
    made_by = select(INVOICES.c.recurring_invoice_id).where(INVOICES.c.id == invoice_id)
    statement = select(INVOICES).where(INVOICES.c.id == made_by.scalar_subquery())
    found = (await tx.execute(statement.with_for_update())).one_or_none()
    if found is None or found.id >= 0:
        return None
    row = FullInvoiceRow._make(found)
    return (await with_time_zones(tx, [row], home))[row.id]


async def delete_template(tx: Tx, record_id: int, *, now: datetime, who: str, home: Home) -> None:
    await _delete(tx, "RecurringInvoice", record_id, now=now, who=who)


async def _delete(tx: Tx, what: str, invoice_id: int, *, now: datetime, who: str) -> FullInvoiceRow:
    row, dependents = await _lock(tx, what, invoice_id)
    _assert_none(deletion_refusal(dependents), f"{what} {invoice_id} cannot be deleted")
    await time_and_expenses.free_expenses(tx, invoice_id)
    await rows.assert_unreferenced(tx, INVOICES, what, invoice_id)
    await tx.execute(delete(LINES).where(LINES.c.ihid == invoice_id))
    await tx.execute(delete(INVOICES).where(INVOICES.c.id == invoice_id))
    await journal.record_invoices(tx, [(row, None)], now=now, who=who)
    change = audit.AuditChange(invoice_id, "deleted", row.invoicenumber, None)
    await audit.write(tx, [change], who=who, now=now)
    return row


async def delete_payment(tx: Tx, record_id: int, *, now: datetime, who: str, home: Home) -> None:
    """Delete a payment that moved no money at Stripe; its invoice owes its amount again.

    Other money that names the invoice pays it, where there is some.
    """
    by_id = PAYMENTS.c.id == record_id
    invoice_id = await tx.scalar(select(PAYMENTS.c.invoice_id).where(by_id))
    invoices = await balances.lock_invoices(tx, [] if invoice_id is None else [invoice_id])
    statement = select(*projection(PAYMENTS, DeletedPayment)).where(by_id)
    found = (await tx.execute(statement.with_for_update())).one_or_none()
    if found is None:
        raise NotFound("InvoicePayment", record_id)
    row = DeletedPayment._make(found)
    if row.invoice_id != invoice_id:
        raise LostRace
    is_stripes = row.intent_id is not None and await _is_heard_of(tx, row.intent_id)
    why = why_not_delete_payment(PaymentState(row.state), is_stripes=is_stripes)
    _assert_none(why, f"payment {record_id} cannot be deleted")
    await tx.execute(delete(PAYMENTS).where(by_id))
    if row.intent_id is None:
        client_id = invoices[invoice_id].client_id if invoice_id is not None else row.client_id
        gone = HandPayment(
            record_id,
            client_id,
            invoice_id,
            row.currency_iso,
            row.counted,
            row.credit_note_id,
        )
        await journal.record_hand_payments(tx, [gone], [], now=now, who=who)
    else:
        await tx.execute(delete(INTENTS).where(INTENTS.c.intent_id == row.intent_id, _IS_LEFT))
    if invoice_id is not None:
        change = audit.AuditChange(
            invoice_id, "payments", f"{record_id}: {plain(row.amount)}", None
        )
        await audit.write(tx, [change], who=who, now=now)
        await balances.recompute(tx, [invoice_id], now=now, who=who)
        await settlement.attach_unassigned(tx, [invoice_id], now=now, who=who)


# An intent that no share is left of.
_IS_LEFT = INTENTS.c.intent_id.not_in(
    select(PAYMENTS.c.intent_id).where(PAYMENTS.c.intent_id == INTENTS.c.intent_id)
)


async def _is_heard_of(tx: Tx, intent_id: str) -> bool:
    """Whether Stripe has said anything of an intent; else it is only what a person claimed."""
    said_at = await tx.scalar(select(INTENTS.c.state_at).where(INTENTS.c.intent_id == intent_id))
    return said_at is not None and said_at > LONG_AGO


class DeletedPayment(NamedTuple):
    """The columns that decide whether a payment may be deleted."""

    invoice_id: int | None
    intent_id: str | None
    state: int
    amount: Decimal
    client_id: int | None
    currency_iso: str
    counted: Decimal
    credit_note_id: int | None


async def _lock(tx: Tx, what: str, invoice_id: int) -> tuple[FullInvoiceRow, Dependents]:
    """The invoice under its lock, or a template when `what` says so."""
    is_template = what == "RecurringInvoice"
    found = await tx.execute(select(INVOICES).where(INVOICES.c.id == invoice_id).with_for_update())
    row = found.one_or_none()
    if row is None or (invoice_id < 0) != is_template:
        raise NotFound(what, invoice_id)
    return FullInvoiceRow._make(row), (await load_dependents(tx, [invoice_id]))[invoice_id]


def _assert_none(why: str | None, what: str) -> None:
    if why is not None:
        raise Refused(f"{what}: {why}")
