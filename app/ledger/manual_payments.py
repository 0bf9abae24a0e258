"""Enters payments by hand, annotates payments, and assigns them to another invoice."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select

from app.errors import InvalidField, Refused
from app.ledger import assignment, audit
from app.ledger.invoice_draft import differences
from app.rules.home import Home
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.driver_errors import DuplicateKey
from app.storage.engines import Record, Tx
from app.storage.rows import InputRecord
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice

INVOICES = table_of(Invoice)
PAYMENTS = table_of(InvoicePayment)

# Amount, date, intent and credit note are facts: to correct one, the payment is deleted and
# entered again.
_FACTS = ("amount", "date", "intent_id", "credit_note_id")
_NOT_ANNOTATIONS = frozenset({"id", "invoice_id", "extra", *_FACTS})


async def save(
    tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: Home
) -> list[int]:
    """Enter the payments without id and annotate the others; answers all ids in order."""
    await _lock_invoices(tx, records)
    locked = await rows.lock_rows(tx, PAYMENTS, "InvoicePayment", records)
    known = {one: _known_payment(row) for one, row in locked.items()}
    for record in records:
        if "invoice_id" in record and _is_moved(known, record):
            await assignment.assign(tx, record["id"], record["invoice_id"], now=now, who=who)
    annotations = _annotations(known, records)
    await rows.update_rows(tx, PAYMENTS, annotations)
    await audit.write(tx, _annotation_changes(known, annotations), who=who, now=now)
    entered = iter(await _enter(tx, records, now, who))
    return [record["id"] if "id" in record else next(entered) for record in records]


class KnownPayment(NamedTuple):
    """A payment as it is before a change: its facts, and all its columns by their names."""

    id: int
    invoice_id: int | None
    amount: Decimal
    date: datetime | None
    intent_id: str | None
    extra: Mapping[str, object] | None
    columns: Mapping[str, object]


def _known_payment(row: Record) -> KnownPayment:
    return KnownPayment(
        row.id, row.invoice_id, row.amount, row.date, row.intent_id, row.extra, row._asdict()
    )


async def _lock_invoices(tx: Tx, records: Sequence[InputRecord]) -> None:
    """All of the batch's invoices in the order of their ids, before any payment."""
    ids = {record["id"] for record in records if "id" in record}
    named = {record.get("invoice_id") for record in records} - {None}
    if ids:
        named |= set(await tx.scalars(select(PAYMENTS.c.invoice_id).where(PAYMENTS.c.id.in_(ids))))
    if named:
        statement = select(INVOICES.c.id).where(INVOICES.c.id.in_(named - {None}))
        await tx.execute(statement.order_by(INVOICES.c.id).with_for_update())


def _is_moved(known: Mapping[int, KnownPayment], record: InputRecord) -> bool:
    """Whether an assignment is meant. No invoice for a payment without one: it is for none."""
    if "id" not in record:
        return False
    invoice_id = record["invoice_id"]
    return invoice_id is None or invoice_id != known[record["id"]].invoice_id


async def _enter(tx: Tx, records: Sequence[InputRecord], now: datetime, who: str) -> list[int]:
    entries = [_entry(record, now) for record in records if "id" not in record]
    if not entries:
        return []
    try:
        return await assignment.enter_manual(tx, entries, now=now, who=who)
    except DuplicateKey:
        raise Refused("intent_id: another payment has it already") from None


def _entry(record: InputRecord, now: datetime) -> assignment.ManualPayment:
    if record.get("amount") is None:
        raise InvalidField("amount", "is required")
    values = {name: value for name, value in record.items() if name not in _NOT_ANNOTATIONS}
    if record.get("extra"):
        values["extra"] = rows.merge_extra(None, record["extra"])
    return assignment.ManualPayment(
        record.get("invoice_id"),
        record["amount"],
        record.get("date") or now,
        record.get("intent_id"),
        record.get("credit_note_id"),
        values,
    )


def _annotations(
    known: Mapping[int, KnownPayment], records: Sequence[InputRecord]
) -> dict[int, dict[str, object]]:
    changed = [record for record in records if "id" in record]
    names = sorted({one for record in changed for one in record} - _NOT_ANNOTATIONS)
    has_extra = any("extra" in record for record in changed)
    changes: dict[int, dict[str, object]] = {}
    for record in changed:
        row = known[record["id"]]
        _assert_facts(row, record)
        values = {name: record.get(name, row.columns[name]) for name in names}
        if has_extra:
            values["extra"] = rows.merge_extra(row.extra, record.get("extra", {}))
        if values:
            changes[row.id] = values
    return changes


def _annotation_changes(
    known: Mapping[int, KnownPayment], annotations: Mapping[int, Mapping[str, object]]
) -> list[audit.AuditChange]:
    """Each change of a payment is audited with the invoice the payment is for."""
    return [
        audit.AuditChange(known[one].invoice_id, f"payments[{one}].{name}", old, new)
        for one, values in annotations.items()
        for name, old, new in differences(known[one].columns, values)
    ]


def _assert_facts(row: KnownPayment, record: InputRecord) -> None:
    for name in _FACTS:
        if name in record and record[name] != row.columns[name]:
            raise Refused(f"{name}: a payment's {name} cannot be changed, only entered again")
