"""Presence of viewers on invoices: every node sees the same, and each entry expires by itself."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Ref, Row, table_of
from app.storage.engines import Record, Tx
from app.storage.rows import upsert
from app.storage.tables.invoices import Invoice


class InvoiceViewer(Row):
    __tablename__ = "invoice_viewer"

    invoice_id: Mapped[Ref] = mapped_column(primary_key=True, autoincrement=False)
    access_id: Mapped[Ref] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    action: Mapped[str | None]
    seen_at: Mapped[datetime] = mapped_column(index=True)


VIEWERS = table_of(InvoiceViewer)
INVOICES = table_of(Invoice)
# An open screen posts its view again and again; a closed one lets it expire.
LASTS = timedelta(minutes=1)


async def load_change_seqs(tx: Tx, ids: Collection[int]) -> dict[int, int]:
    """The `change_seq` of each of these invoices that exists."""
    wanted = [one for one in ids if one > 0]  # templates have negative ids
    found = await tx.execute(
        select(INVOICES.c.id, INVOICES.c.change_seq).where(INVOICES.c.id.in_(wanted))
    )
    return {invoice_id: change_seq for invoice_id, change_seq in found}


async def record_presence(
    tx: Tx, actions: dict[int, str | None], *, access_id: int, name: str, now: datetime
) -> list[Record]:
    """Record that somebody views these invoices; answers all whose views have not expired."""
    await tx.execute(delete(VIEWERS).where(VIEWERS.c.seen_at < now - LASTS))
    rows = [
        {"invoice_id": one, "access_id": access_id, "name": name, "action": action, "seen_at": now}
        for one, action in sorted(actions.items())
    ]
    await upsert(tx, VIEWERS, rows, key=[VIEWERS.c.invoice_id, VIEWERS.c.access_id])
    return await _of(tx, actions.keys())


async def _of(tx: Tx, invoice_ids: Collection[int]) -> list[Record]:
    statement = select(VIEWERS).where(VIEWERS.c.invoice_id.in_(invoice_ids))
    found = await tx.execute(statement.order_by(VIEWERS.c.invoice_id, VIEWERS.c.access_id))
    return list(found.all())
