"""Currencies and their rates: a rate that changes stays in the history, with its last day."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from app.errors import Refused
from app.rules.money import plain
from app.rules.notation import moment
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.rows import InputRecord
from app.storage.tables.clients import Currency


def with_rate_history(
    known: Mapping[int, Record], records: Sequence[InputRecord], now: datetime
) -> list[dict[str, Any]]:
    """The records, with what a changed rate leaves behind."""
    return [_dated(known.get(record.get("id", 0)), record, now) for record in records]


async def delete_currency(tx: Tx, record_id: int, *, now: datetime, who: str, home: str) -> None:
    """Delete a currency that nothing is in, and that is not ours."""
    table = table_of(Currency)
    known = await rows.lock_rows(tx, table, "Currency", [{"id": record_id}])
    if known[record_id].code == home:
        raise Refused(f"Currency {record_id} cannot be deleted: PAYDUE_CURRENCY is {home}")
    await rows.delete_row(tx, table, "Currency", record_id)


def _dated(row: Record | None, record: InputRecord, now: datetime) -> dict[str, Any]:
    if row is not None and record.get("code", row.code) != row.code:
        raise Refused(f"code: invoices are in {row.code.upper()}; create another currency")
    rate = record.get("conversion_rate")
    if rate is None or (row is not None and rate == row.conversion_rate):
        return dict(record)
    if row is None:
        return {**record, "last_updated": now}
    history = row.history or []
    closed = {
        "id": len(history) + 1,
        "cid": row.id,
        "enddate": moment(now),
        "rate": orjson.Fragment(plain(row.conversion_rate)),
    }
    return {**record, "last_updated": now, "history": [*history, closed]}
