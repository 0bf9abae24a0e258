"""Keeps a row of its own for each entry of a line's `prorata_data`.

The line keeps what its caller wrote; the rows are for those who list them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import delete

from app.errors import InvalidField
from app.halo.engine import parsing
from app.halo.resources.invoice_prorata_resource import INVOICE_PRORATAS
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.invoice_proratas import InvoiceProRata

PRORATAS = table_of(InvoiceProRata)

_OURS = frozenset({"id", "invoicedetailid", "invoice_id", "recurring_invoice_id", "client_id"})
_READERS = {
    **{one.name: parsing.parser_of(one) for one in PRORATAS.c if one.name not in {*_OURS, "extra"}},
    **INVOICE_PRORATAS.wider,
}


@dataclass(frozen=True, slots=True)
class ProrataSource:
    """A line that was written, with its properties of HaloPSA's wider schema, old and new."""

    id: int
    invoice_id: int
    client_id: int | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]


async def write_rows(tx: Tx, lines: Sequence[ProrataSource]) -> None:
    """Write the rows of lines whose `prorata_data` changed; most batches have none."""
    changed = [
        one for one in lines if one.before.get("prorata_data") != one.after.get("prorata_data")
    ]
    if not changed:
        return
    ids = [one.id for one in changed]
    await tx.execute(delete(PRORATAS).where(PRORATAS.c.invoicedetailid.in_(ids)))
    entries = [_row(line, given) for line in changed for given in _entries(line)]
    await rows.insert_rows(tx, PRORATAS, entries)


def _entries(line: ProrataSource) -> Sequence[Mapping[str, Any]]:
    found = line.after.get("prorata_data") or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InvalidField("prorata_data", "is not an array of objects")
    return found


def _row(line: ProrataSource, given: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: _read(name, given[name]) for name in _READERS if name in given}
    kept = {name: one for name, one in said.items() if name in INVOICE_PRORATAS.wider}
    return {
        **{one.name: said.get(one.name) for one in PRORATAS.c if not one.primary_key},
        "invoicedetailid": line.id,
        "invoice_id": line.invoice_id,
        "recurring_invoice_id": line.invoice_id if line.invoice_id < 0 else None,
        "client_id": line.client_id,
        "extra": rows.merge_extra(None, kept),
    }


def _read(name: str, value: Any) -> Any:
    exact = Decimal(str(value)) if isinstance(value, float) else value
    return _READERS[name](f"prorata_data.{name}", exact)
