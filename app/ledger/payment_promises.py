"""Promises to pay: the day by which a client pays an invoice; until then nobody is reminded."""

from datetime import date, datetime

from sqlalchemy import delete

from app.errors import InvalidField
from app.ledger import audit
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import lock_rows, upsert
from app.storage.tables.invoices import Invoice
from app.storage.tables.outbox_messages import PaymentPromise

PROMISES = table_of(PaymentPromise)
INVOICES = table_of(Invoice)
NOTE_MAX = 500


async def promise(
    tx: Tx, invoice_id: int, promised_on: date | None, *, note: str, who: str, now: datetime
) -> None:
    """Remind nobody of the invoice up to that day; without one, the promise is taken back."""
    if not who.strip():
        raise InvalidField("who", "is required: a promise is noted by name")
    if len(note) > NOTE_MAX:
        raise InvalidField("note", f"has more than {NOTE_MAX} characters")
    await lock_rows(tx, INVOICES, "Invoice", [{"id": invoice_id}])
    if promised_on is None:
        await tx.execute(delete(PROMISES).where(PROMISES.c.invoice_id == invoice_id))
        said = "no promise to pay any more"
    else:
        row = {
            "invoice_id": invoice_id, "promised_on": promised_on, "note": note or None,
            "made_by": who, "made_at": now,
        }  # fmt: skip
        await upsert(tx, PROMISES, [row], key=[PROMISES.c.invoice_id])
        said = f"promised for {promised_on}" + (f": {note}" if note else "")
    change = audit.AuditChange(invoice_id, "promise_to_pay", None, said)
    await audit.write(tx, [change], who=who, now=now)
