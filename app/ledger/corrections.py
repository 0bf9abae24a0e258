"""Corrects an invoice by a credit note made from it: its own lines, prices and taxes, or some.

The invoice itself stays as it was sent. What it still owes is paid with the note; the rest of the
note is the client's credit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select

from app.errors import InvalidField, NotFound, Refused
from app.ledger import assignment, audit, invoicing
from app.ledger.dependents import load_dependents, refusal
from app.ledger.invoice_input import InvoiceInput, LineInput
from app.rules import money
from app.rules.home import Home
from app.rules.invoice import InvoiceKind, credit_refusal
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoices import FullInvoiceRow, FullLineRow, Invoice, InvoiceLine

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)

# HaloPSA's property of a credit note: the invoice that it corrects.
_CORRECTS = "creditlinkedtoinvoiceid"
_COPIED = (
    "client_id", "reference", "order_number", "cust_order_number", "contract_id", "ticket_id",
    "salesorder_id", "sitenumber", "uid", "billingcategory", "currency_conversion_rate",
    "rounded_by_line",
)  # fmt: skip
_LINE_COPIED = (
    "item_code", "item_shortdescription", "item_longdescription", "nominal_code", "tax_code",
    "qty_order", "unit_price", "unit_cost", "discount_perc", "tax_rate", "price_includes_tax",
    "tax_category", "tax_exemption_reason", "asset_id", "startdate", "enddate",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CreditedLine:
    """A line of the invoice, and how much of its quantity is credited."""

    id: int
    quantity: Decimal


async def credit_invoice(
    tx: Tx,
    invoice_id: int,
    credited: Sequence[CreditedLine] | None,
    *,
    reason: str,
    now: datetime,
    who: str,
    home: Home,
) -> int:
    """Make the credit note of an invoice, of all its lines or of those given; answers its id.

    Refused with ChargeUnderWay while a charge may take the money, and with Refused once credit
    notes would come to more than the invoice.
    """
    row = await _lock(tx, invoice_id)
    given = _note(row, await _lines(tx, row, credited), reason, now)
    (note,) = await invoicing.save_drafts(tx, [given], now=now, who=who, home=home)
    left = row.total - await _credited(tx, row)
    if note.after.total <= 0 or left < 0:
        raise Refused(_beyond(row, left + note.after.total))
    change = audit.AuditChange(row.id, "credit_note", None, note.after.invoicenumber, None)
    await audit.write(tx, [change], who=who, now=now)
    await _settle(tx, row, note.after, now=now, who=who)
    return note.id


async def _lock(tx: Tx, invoice_id: int) -> FullInvoiceRow:
    if invoice_id <= 0:
        raise NotFound("Invoice", invoice_id)
    locked = await rows.lock_rows(tx, INVOICES, "Invoice", [{"id": invoice_id}])
    row = FullInvoiceRow._make(locked[invoice_id])
    dependents = (await load_dependents(tx, [invoice_id]))[invoice_id]
    why = credit_refusal(dependents, kind=row.invoicetype, total=row.total)
    if why is None and row.client_id is None:
        why = "it has no client"
    if why is not None:
        raise refusal(dependents, why, f"invoice {invoice_id} cannot be credited")
    return row


async def _lines(
    tx: Tx, row: FullInvoiceRow, credited: Sequence[CreditedLine] | None
) -> list[LineInput]:
    found = await tx.execute(
        select(LINES)
        .where(LINES.c.ihid == row.id, LINES.c.isinactive.is_(False))
        .order_by(LINES.c.sequenceid, LINES.c.id)
    )
    known = {one.id: FullLineRow._make(one) for one in found}
    if credited is None:
        return [_line(one, one.qty_order) for one in known.values()]
    if len({one.id for one in credited}) < len(credited):
        raise InvalidField("lines", "a line is given twice")
    return [_line(*_part(row, known, place, one)) for place, one in enumerate(credited)]


def _part(
    row: FullInvoiceRow, known: Mapping[int, FullLineRow], place: int, one: CreditedLine
) -> tuple[FullLineRow, Decimal]:
    line = known.get(one.id)
    if line is None:
        raise InvalidField(f"lines[{place}].id", f"{one.id} is no line of invoice {row.id}")
    low, high = sorted((Decimal(0), line.qty_order))
    if not low <= one.quantity <= high or not one.quantity:
        said = money.plain(line.qty_order)
        raise InvalidField(f"lines[{place}].qty_order", f"is not of the {said} that were billed")
    return line, one.quantity


def _line(row: FullLineRow, quantity: Decimal) -> LineInput:
    values = {name: getattr(row, name) for name in _LINE_COPIED}
    return LineInput(values={**values, "qty_order": quantity}, keeps_tax=True)


def _note(
    row: FullInvoiceRow, lines: Sequence[LineInput], reason: str, now: datetime
) -> InvoiceInput:
    """The note takes the rate, the rounding and the tax point of its invoice."""
    invoiced = row.invoice_date.date() if row.invoice_date else None
    return InvoiceInput(
        currency_code=row.currency_code,
        values={
            **{name: getattr(row, name) for name in _COPIED},
            "invoicetype": InvoiceKind.CREDIT_NOTE.value,
            "invoice_date": now.replace(microsecond=0),
            "tax_point_date": row.tax_point_date or invoiced,
            "notes_1": reason or None,
        },
        extra={_CORRECTS: row.id},
        lines=lines,
    )


async def _credited(tx: Tx, row: FullInvoiceRow) -> Decimal:
    """The sum of all notes that say they correct this invoice; its lock keeps others out."""
    found = await tx.execute(
        select(INVOICES.c.total, INVOICES.c.extra).where(
            INVOICES.c.client_id == row.client_id,
            INVOICES.c.id > 0,
            INVOICES.c.invoicetype == InvoiceKind.CREDIT_NOTE.value,
            INVOICES.c.voided.is_(False),
        )
    )
    notes = (abs(total) for total, extra in found if (extra or {}).get(_CORRECTS) == row.id)
    return sum(notes, Decimal(0))


def _beyond(row: FullInvoiceRow, left: Decimal) -> str:
    said = money.text(max(left, Decimal(0)), row.currency_iso)
    return f"lines: {said} of invoice {row.id} is not credited yet; a note is of that, or of less"


async def _settle(
    tx: Tx, row: FullInvoiceRow, note: FullInvoiceRow, *, now: datetime, who: str
) -> None:
    """Pay what the invoice still owes with its note."""
    amount = min(note.total, row.amountdue)
    if amount <= 0:
        return
    payment = assignment.ManualPayment(row.id, amount, now, credit_note_id=note.id)
    await assignment.enter_manual(tx, [payment], now=now, who=who)
