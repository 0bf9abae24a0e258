"""Who changed what on an invoice: one InvoiceChange a field, written in one statement a batch."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app.data.bulk import BulkInsert
from app.data.columns import table_of
from app.data.database import Tx
from app.data.invoices import InvoiceChange
from app.data.values import moment, plain

CHANGES = table_of(InvoiceChange)
# HaloPSA keeps nvarchar(4000); longer values are cut there too.
VALUE_MAX = 4000


@dataclass(frozen=True, slots=True)
class Change:
    invoice_id: int
    field_name: str
    old: object
    new: object
    line_id: int | None = None


async def write(tx: Tx, changes: Iterable[Change], *, who: str, now: datetime) -> None:
    rows = [
        {
            "invoice_id": change.invoice_id,
            "invoice_line_id": change.line_id,
            "type_id": 0,
            "field_id": 0,
            "field_name": change.field_name,
            "old_value": _shown(change.old),
            "new_value": _shown(change.new),
            "who": who,
            "datetime": now,
        }
        for change in changes
    ]
    await _INSERT.run(tx, rows)


_INSERT = BulkInsert(
    CHANGES,
    ["invoice_id", "invoice_line_id", "type_id", "field_id", "field_name", "old_value",
     "new_value", "who", "datetime"],
)  # fmt: skip


def _shown(value: object) -> str | None:
    """A value as the API would show it."""
    match value:
        case None:
            return None
        case Decimal():
            return plain(value)
        case datetime():
            return moment(value)
        case bool():
            return str(value).lower()
        case _:
            return str(value)[:VALUE_MAX]
