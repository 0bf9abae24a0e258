"""The keys of a file's records: by them a record that was imported before is known again."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Table, delete, select

from app.errors import InvalidField
from app.storage.column_types import table_of
from app.storage.driver_errors import LostRace
from app.storage.engines import Tx
from app.storage.rows import insert_once
from app.storage.tables.imported_records import ImportedRecord

IMPORTED = table_of(ImportedRecord)

# The first of these that a record has is its key; a record without one is known by its content.
# Several clients may pay through one Stripe customer.
SHARED = "stripe_customer_id"
KEYS_OF_CLIENTS = ("thirdpartyid", "third_party_id", "stripe_customer_id")
KEYS_OF_INVOICES = ("thirdpartyinvoicenumber", "thirdpartyid", "invoicenumber")
KEYS_OF_OTHERS = ("thirdpartyid", "third_party_id")


def record_keys(
    records: Sequence[Mapping[str, Any]], names: Sequence[str], within: Sequence[str] = ()
) -> list[str]:
    """A key for each record, or InvalidField when two of them have the same name or number.

    Records of equal content are told apart by their order: a file may bill the same twice. So are
    clients of one Stripe customer.
    `within` is, for each record, the key of the one it belongs to.
    """
    seen: Counter[str] = Counter()
    keys = []
    for number, record in enumerate(records):
        named = next((name for name in names if record.get(name) not in (None, "")), None)
        if named is None:
            content = [within[number] if within else "", record]
            plain = orjson.dumps(content, default=str, option=orjson.OPT_SORT_KEYS)
            digest = hashlib.sha256(plain).hexdigest()
            keys.append(f"content={digest}-{seen[digest]}")
            seen[digest] += 1
            continue
        key = f"{named}={record[named]}"
        if seen[key] and named != SHARED:
            raise InvalidField(named, f"{record[named]!r} is given twice in the file")
        keys.append(f"{key}#{seen[key]}" if seen[key] else key)
        seen[key] += 1
    return keys


async def find_imported(tx: Tx, kind: str, keys: Sequence[str], table: Table) -> dict[str, int]:
    """The records that these keys were imported as. One that was deleted since may come again."""
    found = await tx.execute(
        select(IMPORTED.c.key, IMPORTED.c.record_id, table.c.id)
        .outerjoin(table, table.c.id == IMPORTED.c.record_id)
        .where(IMPORTED.c.kind == kind, IMPORTED.c.key.in_(keys))
    )
    rows = found.all()
    gone = [key for key, _, still in rows if still is None]
    if gone:
        await tx.execute(delete(IMPORTED).where(IMPORTED.c.kind == kind, IMPORTED.c.key.in_(gone)))
    return {key: record_id for key, record_id, still in rows if still is not None}


async def record_imported(tx: Tx, kind: str, ids: Mapping[str, int], now: datetime) -> None:
    """Keep the keys. LostRace when another import has just written one of them."""
    if not ids:
        return
    rows = [
        {"kind": kind, "key": key, "record_id": ids[key], "imported_at": now} for key in sorted(ids)
    ]
    pair = [IMPORTED.c.kind, IMPORTED.c.key]
    new = await insert_once(tx, IMPORTED, rows, key=pair, returning=[IMPORTED.c.key])
    if len(new) < len(rows):
        raise LostRace("another import wrote the same records")
