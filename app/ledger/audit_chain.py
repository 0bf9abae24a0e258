"""Seals the audit: a chain of hashes over the changes of invoices, so that an edit or a gap shows.

The worker seals in batches what is committed; no transaction that writes a change does more for it.
The chain shows what was changed behind it. Whoever may write to the database can also build the
whole chain anew, so the newest hash is logged: kept elsewhere, it proves the changes before it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import orjson
from sqlalchemy import func, insert, select, text

from app.storage.column_types import table_of
from app.storage.driver_errors import DuplicateKey
from app.storage.engines import Database, Record, Tx
from app.storage.tables.audit_seals import AuditSeal
from app.storage.tables.invoices import InvoiceChange

SEALS = table_of(AuditSeal)
CHANGES = table_of(InvoiceChange)
# All columns, in an order of its own: a column that is added later is not part of older seals.
SEALED = [
    CHANGES.c[name]
    for name in (
        "id", "invoice_id", "invoice_line_id", "invoice_detail_quantity_id",
        "invoice_detail_prorata_id", "type_id", "field_id", "field_name", "old_value", "new_value",
        "who", "datetime", "extra", "access_id", "written_at",
    )
]  # fmt: skip
BATCH = 500
_ID_BYTES, _DIGEST_BYTES = 8, 16
_BEFORE_ALL = -(2**63)
_NOTHING = "0" * 64
# Transactions that may still write a lower id are waited for so long; the next run tries again.
# PostgreSQL tells nobody that one has ended, so it is asked.
_SETTLES_TRIES = 25
_SETTLES_POLL_S = 0.2


class Head(NamedTuple):
    """The newest seal: what is to be kept elsewhere."""

    number: int
    last_id: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


_EMPTY = Head(0, _BEFORE_ALL, _NOTHING)


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """The chain as it was found; `faults` are sentences, and there are none in a true chain."""

    changes: int
    unsealed: int
    head: Head
    faults: list[str]


# --- sealing ---------------------------------------------------------------------------------


async def seal(database: Database) -> tuple[int, Head]:
    """Seal every change that no open transaction can come before; answer how many, and the head."""
    horizon = await _settled_id(database)
    sealed = 0
    while True:
        async with database.snapshot() as tx:
            head = await load_head(tx)
            batch = await _load_changes(tx, head.last_id, horizon)
        if not batch or not await _append(database, head, batch):
            return sealed, head
        sealed += len(batch)


async def _append(database: Database, head: Head, batch: Sequence[Record]) -> bool:
    """Whether the next seal is ours: its number is the key, so that the chain cannot fork."""
    digests = b"".join(_digest(row) for row in batch)
    number, last_id = head.number + 1, batch[-1].id
    row = {
        "number": number,
        "last_id": last_id,
        "digests": digests,
        "hash": _seal_hash(head.hash, number, last_id, digests),
        "sealed_at": database.now(),
    }
    try:
        async with database.transaction() as tx:
            await tx.execute(insert(SEALS).values(row))
    except DuplicateKey:
        return False
    return True


async def _settled_id(database: Database) -> int:
    """The highest id below which no change can appear any more.

    SQLite has one writer, so ids are committed in their order. PostgreSQL gives an id before its
    transaction commits: every transaction that was open when the id was given has to end first.
    """
    async with database.snapshot() as tx:
        if database.is_sqlite:
            return await tx.scalar(select(func.max(CHANGES.c.id))) or 0
        given, at = (await tx.execute(_GIVEN)).one()
    for _ in range(_SETTLES_TRIES):
        async with database.snapshot() as tx:
            if not await tx.scalar(_OPEN, {"at": at}):
                return given or 0
        await asyncio.sleep(_SETTLES_POLL_S)
    return _BEFORE_ALL


_GIVEN = text(
    "SELECT pg_sequence_last_value(pg_get_serial_sequence('invoice_change', 'id')),"
    " clock_timestamp()"
)
# A transaction that is between two statements and has written nothing holds no id.
_OPEN = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start <= :at"
    " AND (backend_xid IS NOT NULL OR state = 'active')"
)


# --- verification ----------------------------------------------------------------------------


async def verify(tx: Tx, expected: str | None = None) -> ChainCheck:
    """Compare every sealed change with its seal; `expected` is a head that was kept elsewhere."""
    head, count = _EMPTY, 0
    faults: list[str] = []
    hashes: set[str] = set()
    async for row in _seals(tx):
        count += len(row.digests) // (_ID_BYTES + _DIGEST_BYTES)
        faults += _faults_of_seal(head, row)
        faults += _faults_of_changes(row, await _load_changes(tx, head.last_id, row.last_id, None))
        head = Head(row.number, row.last_id, row.hash)
        hashes.add(str(head))
    if expected is not None and expected not in hashes:
        faults.append(f"the seal {expected} is not in the chain")
    unsealed = select(func.count()).select_from(CHANGES).where(CHANGES.c.id > head.last_id)
    return ChainCheck(count, await tx.scalar(unsealed) or 0, head, faults)


def _faults_of_seal(before: Head, row: Record) -> Iterable[str]:
    if row.number != before.number + 1:
        yield f"seal {before.number + 1} is gone"
    if row.hash != _seal_hash(before.hash, row.number, row.last_id, row.digests):
        yield f"seal {row.number} does not follow from the one before it"


def _faults_of_changes(row: Record, changes: Sequence[Record]) -> Iterable[str]:
    sealed = dict(_by_id(row.digests))
    found = dict(_by_id(b"".join(_digest(one) for one in changes)))
    for change_id in sorted(sealed.keys() | found.keys()):
        if change_id not in found:
            yield f"change {change_id} is gone"
        elif change_id not in sealed:
            yield f"change {change_id} was added behind seal {row.number}"
        elif sealed[change_id] != found[change_id]:
            yield f"change {change_id} was edited after seal {row.number}"


async def _seals(tx: Tx) -> AsyncIterator[Record]:
    number = 0
    while True:
        after = select(SEALS).where(SEALS.c.number > number).order_by(SEALS.c.number).limit(1)
        row = (await tx.execute(after)).one_or_none()
        if row is None:
            return
        yield row
        number = row.number


# --- rows and hashes -------------------------------------------------------------------------


async def load_head(tx: Tx) -> Head:
    newest = select(SEALS.c.number, SEALS.c.last_id, SEALS.c.hash).order_by(SEALS.c.number.desc())
    row = (await tx.execute(newest.limit(1))).one_or_none()
    return Head(*row) if row else _EMPTY


async def _load_changes(
    tx: Tx, after_id: int, last_id: int, most: int | None = BATCH
) -> Sequence[Record]:
    within = (CHANGES.c.id > after_id, CHANGES.c.id <= last_id)
    return (
        await tx.execute(select(*SEALED).where(*within).order_by(CHANGES.c.id).limit(most))
    ).all()


def _digest(row: Record) -> bytes:
    content = orjson.dumps([_canonical(value) for value in row], option=orjson.OPT_SORT_KEYS)
    return int(row.id).to_bytes(_ID_BYTES, signed=True) + sha256(content).digest()[:_DIGEST_BYTES]


def _canonical(value: object) -> object:
    """A value as both engines give it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value


def _by_id(digests: bytes) -> Iterable[tuple[int, bytes]]:
    size = _ID_BYTES + _DIGEST_BYTES
    for start in range(0, len(digests), size):
        one = digests[start : start + size]
        yield int.from_bytes(one[:_ID_BYTES], signed=True), one[_ID_BYTES:]


def _seal_hash(before: str, number: int, last_id: int, digests: bytes) -> str:
    return sha256(f"{before}:{number}:{last_id}:".encode() + digests).hexdigest()
