"""Lines changed or added one by one, while the others of their invoices stay as they are."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from app.errors import InvalidField, NotFound
from app.ledger import invoicing
from app.ledger.invoice_input import InvoiceInput, LineInput, line_input
from app.rules.home import Home
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import InputRecord
from app.storage.tables.invoices import InvoiceLine

LINES = table_of(InvoiceLine)


async def change_lines(
    tx: Tx, records: Sequence[InputRecord], *, templates: bool, now: datetime, who: str, home: Home
) -> list[int]:
    """Change the lines that are named; answers their ids in the order given."""
    lines = [line_input(record) for record in records]
    ids = [_require("id", line.id) for line in lines]
    if len(set(ids)) < len(ids):
        raise InvalidField("id", "a line is given twice")
    owners = await _owners(tx, ids, lines)
    inputs = [
        InvoiceInput(id=owner, changed_lines=of_owner, last_change_seq=_change_seq(of_owner))
        for owner, of_owner in _by_owner(lines, owners).items()
    ]
    await invoicing.save_drafts(tx, inputs, now=now, who=who, home=home, templates=templates)
    return ids


async def add_lines(
    tx: Tx, records: Sequence[InputRecord], *, templates: bool, now: datetime, who: str, home: Home
) -> list[int]:
    """Add the lines to the invoices they name; answers the new ids in the order given."""
    lines = [line_input(record) for record in records]
    owners = [_require("ihid", line.ihid) for line in lines]
    inputs = [
        InvoiceInput(id=owner, added_lines=of_owner, last_change_seq=_change_seq(of_owner))
        for owner, of_owner in _by_owner(lines, owners).items()
    ]
    drafts = await invoicing.save_drafts(
        tx, inputs, now=now, who=who, home=home, templates=templates
    )
    new = {
        one.id: iter([line.after.id for line in one.lines or () if line.before is None])
        for one in drafts
    }
    return [next(new[owner]) for owner in owners]


async def _owners(tx: Tx, ids: Sequence[int], lines: Sequence[LineInput]) -> list[int]:
    """The invoice of each line. A line that names another invoice is refused."""
    found = await tx.execute(select(LINES.c.id, LINES.c.ihid).where(LINES.c.id.in_(ids)))
    invoice_of: dict[int, int] = {line_id: invoice_id for line_id, invoice_id in found}
    for line_id, line in zip(ids, lines, strict=True):
        if line_id not in invoice_of:
            raise NotFound("InvoiceDetail", line_id)
        if line.ihid not in (None, 0, invoice_of[line_id]):
            raise InvalidField("ihid", f"line {line_id} is of {invoice_of[line_id]}")
    return [invoice_of[line_id] for line_id in ids]


def _require(name: str, value: int | None) -> int:
    if value is None:
        raise InvalidField(name, "is required")
    return value


def _by_owner(lines: Sequence[LineInput], owners: Sequence[int]) -> dict[int, list[LineInput]]:
    found: dict[int, list[LineInput]] = {}
    for line, owner in zip(lines, owners, strict=True):
        found.setdefault(owner, []).append(line)
    return found


def _change_seq(lines: Sequence[LineInput]) -> int | None:
    """The lowest `change_seq` that the caller has seen with one of these lines."""
    seen = [line.last_change_seq for line in lines if line.last_change_seq is not None]
    return min(seen, default=None)
