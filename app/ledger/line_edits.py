"""Lines changed or added one by one, while the others of their invoices stay as they are."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.errors import InvalidField, NotFound
from app.ledger import invoicing
from app.ledger.invoice_draft import CHANGED_LINES
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import InputRecord
from app.storage.tables.invoices import InvoiceLine

LINES = table_of(InvoiceLine)


async def change_lines(
    tx: Tx, lines: Sequence[InputRecord], *, templates: bool, now: datetime, who: str, home: str
) -> list[int]:
    """Change the lines that are named; answers their ids in the order given."""
    ids = [_required(line, "id") for line in lines]
    if len(set(ids)) < len(ids):
        raise InvalidField("id", "a line is given twice")
    found = await tx.execute(select(LINES.c.id, LINES.c.ihid).where(LINES.c.id.in_(ids)))
    invoice_of: dict[int, int] = {row.id: row.ihid for row in found}
    for line in lines:
        if invoice_of.get(line["id"]) is None:
            raise NotFound("InvoiceDetail", line["id"])
        if line.get("ihid") not in (None, 0, invoice_of[line["id"]]):
            raise InvalidField("ihid", f"line {line['id']} is of {invoice_of[line['id']]}")
    records = _by_invoice(lines, [invoice_of[one] for one in ids], CHANGED_LINES)
    await invoicing.save_drafts(tx, records, now=now, who=who, home=home, templates=templates)
    return ids


async def add_lines(
    tx: Tx, lines: Sequence[InputRecord], *, templates: bool, now: datetime, who: str, home: str
) -> list[int]:
    """Add the lines to the invoices they name; answers the new ids in the order given."""
    owners = [_required(line, "ihid") for line in lines]
    records = _by_invoice(lines, owners, "add_lines")
    drafts = await invoicing.save_drafts(
        tx, records, now=now, who=who, home=home, templates=templates
    )
    new = {
        one.id: iter([line.id for line in one.lines or () if line.row is None]) for one in drafts
    }
    return [next(new[owner]) for owner in owners]


def _required(line: InputRecord, name: str) -> int:
    found: int | None = line.get(name)
    if found is None:
        raise InvalidField(name, "is required")
    return found


def _by_invoice(
    lines: Sequence[InputRecord], owners: Sequence[int], key: str
) -> list[dict[str, Any]]:
    """One record an invoice. The oldest `last_change_seq` of its lines counts."""
    records: dict[int, dict[str, Any]] = {}
    for line, owner in zip(lines, owners, strict=True):
        record = records.setdefault(owner, {"id": owner, key: []})
        record[key].append(line)
        seen = line.get("last_change_seq")
        if seen is not None and not line.get("ignore_change_seq"):
            record["last_change_seq"] = min(seen, record.get("last_change_seq", seen))
    return list(records.values())
