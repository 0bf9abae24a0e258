"""Pauses of autopay: of a client, of an invoice, or of everything; with a reason and an end."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import and_, insert, or_, select, update

from app.errors import InvalidField, NotFound, Refused
from app.ledger import audit
from app.ledger.autopay_policy import raise_revision
from app.rules.home import Home
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.rows import InputRecord, lock_rows
from app.storage.tables.autopay_policies import AutopayPause
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice

PAUSES = table_of(AutopayPause)

REASON_MAX = 500


class Pause(NamedTuple):
    """A pause that nobody has ended; `until` is the first day on which autopay goes on."""

    id: int
    client_id: int | None
    invoice_id: int | None
    reason: str
    until: date | None
    paused_by: str
    paused_at: datetime

    def holds_on(self, day: date) -> bool:
        return self.until is None or day < self.until

    @property
    def of(self) -> str:
        if self.invoice_id is not None:
            return "the invoice"
        return "the client" if self.client_id is not None else "everything"


_COLUMNS = projection(PAUSES, Pause)
_IS_OPEN = PAUSES.c.ended_at.is_(None)
_IS_OF_ALL = and_(PAUSES.c.client_id.is_(None), PAUSES.c.invoice_id.is_(None))
_FOR = PreparedStatement(
    select(*_COLUMNS)
    .where(
        _IS_OPEN,
        or_(
            any_of(PAUSES.c.client_id, "client_ids"),
            any_of(PAUSES.c.invoice_id, "invoice_ids"),
            _IS_OF_ALL,
        ),
    )
    .order_by(PAUSES.c.id),
    Pause,
)


async def load_pauses(tx: Tx, client_ids: Iterable[int], invoice_ids: Iterable[int]) -> list[Pause]:
    """Pauses that nobody has ended, of these clients, of these invoices or of everything."""
    return await _FOR.all(
        tx, client_ids=sorted(set(client_ids)), invoice_ids=sorted(set(invoice_ids))
    )


async def list_pauses(tx: Tx, *, most: int = 1000) -> list[Pause]:
    """All pauses that nobody has ended."""
    found = await tx.execute(select(*_COLUMNS).where(_IS_OPEN).order_by(PAUSES.c.id).limit(most))
    return [Pause._make(row) for row in found]


async def pause(
    tx: Tx,
    *,
    client_id: int | None,
    invoice_id: int | None,
    reason: str,
    until: date | None,
    who: str,
    now: datetime,
) -> int:
    """Charge nothing of it by autopay until that day, or until somebody ends the pause."""
    if client_id is not None and invoice_id is not None:
        raise InvalidField("client_id", "and invoice_id are two pauses")
    if not 0 < len(reason.strip()) <= REASON_MAX:
        raise InvalidField("reason", f"has not 1 to {REASON_MAX} characters")
    if invoice_id is not None:
        await lock_rows(tx, table_of(Invoice), "Invoice", [{"id": invoice_id}])
        said = f"paused until {until or 'somebody ends it'}: {reason.strip()}"
        change = audit.AuditChange(invoice_id, "autopay_pause", None, said)
        await audit.write(tx, [change], who=who, now=now)
    if client_id is not None:
        await lock_rows(tx, table_of(Client), "Client", [{"id": client_id}])
    values = {
        "client_id": client_id, "invoice_id": invoice_id, "reason": reason.strip(), "until": until,
        "paused_by": who, "paused_at": now,
    }  # fmt: skip
    found = await tx.scalar(insert(PAUSES).values(values).returning(PAUSES.c.id))
    assert isinstance(found, int), "an inserted row has its id"
    await raise_revision(tx)
    return found


async def end_pause(tx: Tx, pause_id: int, *, who: str, now: datetime) -> None:
    """Let autopay go on."""
    ended = await tx.execute(
        update(PAUSES).where(PAUSES.c.id == pause_id, _IS_OPEN).values(ended_by=who, ended_at=now)
    )
    if not ended.rowcount:
        raise NotFound("pause", pause_id)
    await raise_revision(tx)


async def save(
    tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: Home
) -> list[int]:
    """Begin the pauses of a request; one that is there can only be ended."""
    if any("id" in one for one in records):
        raise Refused("id: a pause is not changed; end it and begin another")
    return [
        await pause(
            tx,
            client_id=one.get("client_id"),
            invoice_id=one.get("invoice_id"),
            reason=one.get("reason") or "",
            until=one.get("until"),
            who=who,
            now=now,
        )
        for one in records
    ]


async def remove(tx: Tx, record_id: int, *, now: datetime, who: str, home: Home) -> None:
    """End a pause, as a DELETE does; its row stays, with who ended it."""
    await end_pause(tx, record_id, who=who, now=now)
