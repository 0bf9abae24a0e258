"""Records who changed an invoice: an InvoiceChange for each field, one statement for a batch."""

from collections.abc import Collection, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select

from app.errors import InvalidField, Refused
from app.rules.home import Home
from app.rules.money import plain
from app.rules.notation import moment
from app.storage import rows
from app.storage.bulk_writes import BulkInsert, TableWrite
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import InputRecord
from app.storage.tables.invoices import Invoice, InvoiceChange

CHANGES = table_of(InvoiceChange)
INVOICES = table_of(Invoice)
# The credential whose request is at work in this task; None for Stripe, the worker and commands.
# `who` is a name, which a caller may choose; this is set by whoever has seen the token.
WRITER: ContextVar[int | None] = ContextVar("access_id", default=None)
# HaloPSA keeps nvarchar(4000); longer values are cut there too.
VALUE_MAX = 4000


async def save(
    tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: Home
) -> list[int]:
    """Record changes that a caller reports; a recorded change cannot be changed itself."""
    for record in records:
        if "id" in record:
            raise Refused("id: what was written down about an invoice cannot be changed")
        if record.get("invoice_id") is None:
            raise InvalidField("invoice_id", "is required")
    await _assert_invoices(tx, {record["invoice_id"] for record in records})
    return await rows.insert_rows(tx, CHANGES, [_audit_row(record, now, who) for record in records])


async def _assert_invoices(tx: Tx, ids: Collection[int]) -> None:
    found = await tx.scalars(select(INVOICES.c.id).where(INVOICES.c.id.in_(ids)))
    missing = set(ids).difference(found)
    if missing:
        raise InvalidField("invoice_id", f"{min(missing)} does not exist")


def _audit_row(record: InputRecord, now: datetime, who: str) -> dict[str, object]:
    values = {one.name: record.get(one.name) for one in CHANGES.c if not one.primary_key}
    return {
        **values,
        "type_id": record.get("type_id") or 0,
        "field_id": record.get("field_id") or 0,
        "old_value": _as_text(record.get("old_value")),
        "new_value": _as_text(record.get("new_value")),
        "who": record.get("who") or who,
        "datetime": record.get("datetime") or now,
        "access_id": WRITER.get(),
        "written_at": now,
    }


@dataclass(frozen=True, slots=True)
class AuditChange:
    invoice_id: int | None  # None for a payment of no invoice
    field_name: str
    old: object
    new: object
    line_id: int | None = None


async def write(tx: Tx, changes: Iterable[AuditChange], *, who: str, now: datetime) -> None:
    statement, written = writes(changes, who=who, now=now)
    await statement.run(tx, written)


def writes(changes: Iterable[AuditChange], *, who: str, now: datetime) -> TableWrite:
    written = [
        {
            "invoice_id": change.invoice_id,
            "invoice_line_id": change.line_id,
            "type_id": 0,
            "field_id": 0,
            "field_name": change.field_name,
            "old_value": _as_text(change.old),
            "new_value": _as_text(change.new),
            "who": who,
            "datetime": now,
            "access_id": WRITER.get(),
            "written_at": now,
        }
        for change in changes
    ]
    return _INSERT, written


_INSERT = BulkInsert(
    CHANGES,
    ["invoice_id", "invoice_line_id", "type_id", "field_id", "field_name", "old_value",
     "new_value", "who", "datetime", "access_id", "written_at"],
)  # fmt: skip


def _as_text(value: object) -> str | None:
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
            # A NUL inside a kept property is a character that PostgreSQL's text cannot hold.
            return str(value).replace("\0", "\\u0000")[:VALUE_MAX]
