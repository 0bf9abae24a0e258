"""Payments that people enter, annotate, and say which invoice they are for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.data import batches
from app.data.batches import Given
from app.data.columns import table_of
from app.data.database import Record, Tx
from app.data.invoice_payments import InvoicePayment
from app.errors import InvalidField, Refused
from app.ledger import settlement

PAYMENTS = table_of(InvoicePayment)

# What was received is a fact: to correct it, the payment is deleted and entered again.
_FACTS = ("amount", "date", "intent_id")
_NOT_ANNOTATIONS = frozenset({"id", "invoice_id", "extra", *_FACTS})


async def save(
    tx: Tx, records: Sequence[Given], *, now: datetime, who: str, home: str
) -> list[int]:
    """Enter the payments without id and annotate the others; answers all ids in order."""
    await _assign(tx, records, now, who)
    known = await batches.locked(tx, PAYMENTS, "InvoicePayment", records)
    await batches.change(tx, PAYMENTS, _annotations(known, records))
    entries = [_entry(record, now) for record in records if "id" not in record]
    entered = iter(await settlement.enter(tx, entries, now=now, who=who) if entries else ())
    return [record["id"] if "id" in record else next(entered) for record in records]


async def _assign(tx: Tx, records: Sequence[Given], now: datetime, who: str) -> None:
    """Invoices are locked before payments, so this comes first."""
    for record in records:
        if "id" in record and "invoice_id" in record:
            await settlement.assign(tx, record["id"], record["invoice_id"], now=now, who=who)


def _entry(record: Given, now: datetime) -> settlement.Entry:
    if record.get("amount") is None:
        raise InvalidField("amount", "is required")
    values = {name: value for name, value in record.items() if name not in _NOT_ANNOTATIONS}
    if record.get("intent_id"):
        values["intent_id"] = record["intent_id"]
    if record.get("extra"):
        values["extra"] = batches.with_extra(None, record["extra"])
    return settlement.Entry(
        record.get("invoice_id"), record["amount"], record.get("date") or now, values
    )


def _annotations(
    known: Mapping[int, Record], records: Sequence[Given]
) -> dict[int, dict[str, Any]]:
    changed = [record for record in records if "id" in record]
    names = sorted({one for record in changed for one in record} - _NOT_ANNOTATIONS)
    has_extra = any("extra" in record for record in changed)
    changes: dict[int, dict[str, Any]] = {}
    for record in changed:
        row = known[record["id"]]
        _assert_facts(row, record)
        values = {name: record.get(name, getattr(row, name)) for name in names}
        if has_extra:
            values["extra"] = batches.with_extra(row.extra, record.get("extra", {}))
        if values:
            changes[row.id] = values
    return changes


def _assert_facts(row: Record, record: Given) -> None:
    for name in _FACTS:
        if name in record and record[name] != getattr(row, name):
            raise Refused(f"{name}: a payment's {name} cannot be changed, only entered again")
