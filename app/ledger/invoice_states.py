"""Marks an invoice as reviewed, approved, sent or posted: the states of the published filters."""

from datetime import datetime
from enum import StrEnum

from app.errors import NotFound, Refused
from app.ledger import invoicing
from app.rules.home import Home
from app.rules.invoice import Approval, hold_of
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import InputRecord
from app.storage.tables.invoices import FullInvoiceRow, Invoice

INVOICES = table_of(Invoice)


class InvoiceMark(StrEnum):
    REVIEW = "review"
    REVIEWED = "reviewed"
    AWAITING = "awaiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    SENT = "sent"
    POSTED = "posted"


# What goes to the customer or to accounting, and cannot be called back.
_OUTWARD = frozenset({InvoiceMark.SENT, InvoiceMark.POSTED})


async def mark_invoice(
    tx: Tx, invoice_id: int, mark: InvoiceMark, *, now: datetime, who: str, home: Home
) -> bool:
    """Write the state, with its audit rows; answers whether anything changed.

    Refused for a voided invoice, and where it would go out while somebody must review or approve
    it. The same mark again changes nothing.
    """
    if invoice_id <= 0:
        raise NotFound("Invoice", invoice_id)
    locked = await rows.lock_rows(tx, INVOICES, "Invoice", [{"id": invoice_id}])
    row = FullInvoiceRow._make(locked[invoice_id])
    why = "it is voided" if row.voided else None
    if why is None and mark in _OUTWARD:
        why = hold_of(review_required=row.reviewrequired, approval_status=row.approval_status)
    if why is not None:
        raise Refused(f"invoice {invoice_id} cannot be marked {mark}: {why}")
    values = _values(row, mark, now)
    changed = {name: value for name, value in values.items() if getattr(row, name) != value}
    if changed:
        await invoicing.save(tx, [{"id": invoice_id, **changed}], now=now, who=who, home=home)
    return bool(changed)


def _values(row: FullInvoiceRow, mark: InvoiceMark, now: datetime) -> InputRecord:
    match mark:
        case InvoiceMark.REVIEW:
            return {"reviewrequired": True}
        case InvoiceMark.REVIEWED:
            return {"reviewrequired": False}
        case InvoiceMark.AWAITING:
            return {"approval_status": Approval.AWAITING.value}
        case InvoiceMark.APPROVED:
            return {"approval_status": Approval.APPROVED.value}
        case InvoiceMark.REJECTED:
            return {"approval_status": Approval.REJECTED.value}
        case InvoiceMark.SENT:
            return {"datesent": row.datesent or now.replace(microsecond=0)}
        case InvoiceMark.POSTED:
            return {"posted": True}
