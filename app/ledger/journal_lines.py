"""Reads of the journal, page by page: it grows for ever, and memory stays as it is."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import bindparam, select, tuple_

from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice
from app.storage.tables.journal_entries import JournalEntry, JournalLine

ENTRIES = table_of(JournalEntry)
LINES = table_of(JournalLine)
CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)

# A bookkeeper's year has millions of lines; they are read and printed so many at a time.
LINES_AT_ONCE = 1000


class JournalRow(NamedTuple):
    """A line with its entry, and the names of its client and invoice."""

    entry_id: int
    number: int
    at: datetime
    kind: str
    source: str
    who: str
    account: str
    client_id: int | None
    client_name: str | None
    invoice_id: int | None
    invoicenumber: str | None
    currency_iso: str
    amount: Decimal


_AT, _ID, _NUMBER = ENTRIES.c.at.type, ENTRIES.c.id.type, LINES.c.number.type
# The place of the last line that was read: its entry's time and id, and its own number.
_PLACE = (
    bindparam("after_at", type_=_AT),
    bindparam("after_id", type_=_ID),
    bindparam("after_number", type_=_NUMBER),
)
_ORDER = (ENTRIES.c.at, ENTRIES.c.id, LINES.c.number)
_ROWS = PreparedStatement(
    select(
        LINES.c.entry_id,
        LINES.c.number,
        ENTRIES.c.at,
        ENTRIES.c.kind,
        ENTRIES.c.source,
        ENTRIES.c.who,
        LINES.c.account,
        LINES.c.client_id,
        CLIENTS.c.name.label("client_name"),
        LINES.c.invoice_id,
        INVOICES.c.invoicenumber,
        ENTRIES.c.currency_iso,
        LINES.c.amount,
    )
    .select_from(
        ENTRIES.join(LINES, LINES.c.entry_id == ENTRIES.c.id)
        .outerjoin(CLIENTS, CLIENTS.c.id == LINES.c.client_id)
        .outerjoin(INVOICES, INVOICES.c.id == LINES.c.invoice_id)
    )
    .where(
        # The first of these is for the index; the second passes over the lines that were read.
        ENTRIES.c.at >= bindparam("after_at", type_=_AT),
        ENTRIES.c.at < bindparam("until", type_=_AT),
        tuple_(*_ORDER) > tuple_(*_PLACE),
    )
    .order_by(*_ORDER)
    .limit(LINES_AT_ONCE),
    JournalRow,
)


async def iterate_journal(tx: Tx, since: datetime, until: datetime) -> AsyncIterator[JournalRow]:
    """The lines of the entries written from `since` on and before `until`, the oldest first."""
    place: tuple[datetime, int, int] = (since, 0, 0)
    while rows := await _read_page(tx, place, until):
        for row in rows:
            yield row
        last = rows[-1]
        place = (last.at, last.entry_id, last.number)


async def _read_page(tx: Tx, place: tuple[datetime, int, int], until: datetime) -> list[JournalRow]:
    at, entry_id, number = place
    return await _ROWS.all(tx, after_at=at, after_id=entry_id, after_number=number, until=until)
