"""Keeps the rates that a currency had, each with the moment at which it ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import orjson

from app.errors import Refused
from app.rules.home import Home
from app.rules.money import plain
from app.rules.notation import moment
from app.storage import rows
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.rows import InputRecord
from app.storage.tables.clients import Currency


class CurrentRate(NamedTuple):
    """A currency as it is before a change."""

    id: int
    code: str
    conversion_rate: Decimal
    history: Sequence[object]


def with_rate_history(
    known: Mapping[int, Record], records: Sequence[InputRecord], now: datetime
) -> list[dict[str, object]]:
    """The records; one that changes a rate also adds the earlier rate to the history."""
    current = {
        one: CurrentRate(row.id, row.code, row.conversion_rate, row.history or [])
        for one, row in known.items()
    }
    return [_with_history(current.get(record.get("id", 0)), record, now) for record in records]


async def delete_currency(tx: Tx, record_id: int, *, now: datetime, who: str, home: Home) -> None:
    """Delete a currency that no record is in, and that is not the home currency."""
    table = table_of(Currency)
    known = await rows.lock_rows(tx, table, "Currency", [{"id": record_id}])
    if known[record_id].code == home.currency:
        raise Refused(f"Currency {record_id} cannot be deleted: PAYDUE_CURRENCY is {home.currency}")
    await rows.delete_row(tx, table, "Currency", record_id)


def _with_history(row: CurrentRate | None, record: InputRecord, now: datetime) -> dict[str, object]:
    if row is not None and record.get("code", row.code) != row.code:
        raise Refused(f"code: invoices are in {row.code.upper()}; create another currency")
    rate = record.get("conversion_rate")
    if rate is None or (row is not None and rate == row.conversion_rate):
        return dict(record)
    if row is None:
        return {**record, "last_updated": now}
    earlier = {
        "id": len(row.history) + 1,
        "cid": row.id,
        "enddate": moment(now),
        "rate": orjson.Fragment(plain(row.conversion_rate)),
    }
    return {**record, "last_updated": now, "history": [*row.history, earlier]}
