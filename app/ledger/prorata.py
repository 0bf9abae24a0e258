"""Keeps a row of its own for each entry of a line's `prorata_data`.

The line keeps what its caller wrote; the rows are for those who list them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import delete, select

from app.rules.notation import moment
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import projection
from app.storage.tables.invoice_proratas import InvoiceProRata

PRORATAS = table_of(InvoiceProRata)
IS_OPEN = PRORATAS.c.invoiceheaderid.is_(None)
"""An entry that no invoice has billed; those that one has stay as its record."""


class ProrataEntry(NamedTuple):
    """One entry of a line's `prorata_data`; every other column of its row follows from the line."""

    site_id: int | None = None
    date: datetime | None = None
    quantity: Decimal | None = None
    unitprice: Decimal | None = None
    unitcost: Decimal | None = None
    shortdescription: str | None = None
    longdescription: str | None = None
    prorata_next_invoice: bool | None = None
    extra: Mapping[str, object] | None = None


class OpenEntry(NamedTuple):
    """A row of `invoice_prorata` that no invoice has billed."""

    id: int
    line_id: int
    entry: ProrataEntry


@dataclass(frozen=True, slots=True)
class ProrataData:
    """A line's `prorata_data`: the JSON as its caller wrote it, and the entries it holds."""

    written: object
    entries: Sequence[ProrataEntry]


class LineEntries(NamedTuple):
    """The entries of one line, with the line and the invoice they belong to."""

    line_id: int
    invoice_id: int
    client_id: int | None
    entries: Sequence[ProrataEntry]


async def replace_rows(tx: Tx, lines: Sequence[LineEntries]) -> None:
    """Write the lines' open rows anew; those that were there go."""
    if not lines:
        return
    ids = [line.line_id for line in lines]
    await tx.execute(delete(PRORATAS).where(PRORATAS.c.invoicedetailid.in_(ids), IS_OPEN))
    new = [_row(line, entry) for line in lines for entry in line.entries]
    await rows.insert_rows(tx, PRORATAS, new)


def _row(line: LineEntries, entry: ProrataEntry) -> dict[str, object]:
    return {
        **entry._asdict(),
        "invoicedetailid": line.line_id,
        "invoice_id": line.invoice_id,
        "recurring_invoice_id": line.invoice_id if line.invoice_id < 0 else None,
        "client_id": line.client_id,
    }


async def load_open_rows(tx: Tx, line_ids: Iterable[int]) -> list[OpenEntry]:
    wanted = sorted(line_ids)
    if not wanted:
        return []
    columns = (PRORATAS.c.id, PRORATAS.c.invoicedetailid, *projection(PRORATAS, ProrataEntry))
    statement = select(*columns).where(PRORATAS.c.invoicedetailid.in_(wanted), IS_OPEN)
    found = await tx.execute(statement.order_by(PRORATAS.c.id))
    return [OpenEntry(row_id, line, ProrataEntry._make(values)) for row_id, line, *values in found]


async def load_open_entries(tx: Tx, line_ids: Iterable[int]) -> dict[int, list[ProrataEntry]]:
    """By line, the entries that no invoice has billed."""
    found: dict[int, list[ProrataEntry]] = {}
    for one in await load_open_rows(tx, line_ids):
        found.setdefault(one.line_id, []).append(one.entry)
    return found


def written(entry: ProrataEntry) -> dict[str, object]:
    """The entry as its caller could have written it."""
    numbers = {
        name: float(value)
        for name in ("quantity", "unitprice", "unitcost")
        if (value := getattr(entry, name)) is not None
    }
    texts = {
        name: getattr(entry, name)
        for name in ("site_id", "shortdescription", "longdescription", "prorata_next_invoice")
        if getattr(entry, name) is not None
    }
    dated = {} if entry.date is None else {"date": moment(entry.date)}
    return {**(entry.extra or {}), **texts, **dated, **numbers}
