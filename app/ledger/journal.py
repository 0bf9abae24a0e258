"""The journal: every movement of money as an entry in double entry, written with its fact.

This is the only place that writes it, in the transaction of the fact itself, and nothing changes
or deletes an entry. `journal_check` proves that it agrees with invoices and payments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from app.ledger.allocations import Allocations, Stored
from app.rules.allocation import Share
from app.rules.double_entry import (
    EntryKind,
    HandPayment,
    InvoicePosting,
    Postings,
    hand_postings,
    invoice_postings,
    movement_postings,
    posting_change,
    share_postings,
    total_postings,
)
from app.rules.payment import Payment
from app.rules.payout import BalanceMovement
from app.storage.bulk_writes import BulkInsert, TableWrite, write_all
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.id_sequences import IdReservation
from app.storage.tables.invoices import FullInvoiceRow
from app.storage.tables.journal_entries import JournalEntry, JournalLine

ENTRIES = table_of(JournalEntry)
LINES = table_of(JournalLine)

ClientOf = Mapping[int, int | None]
BeforeAndAfter = tuple[FullInvoiceRow | None, FullInvoiceRow | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry to be written. Without lines it is not."""

    kind: EntryKind
    currency: str
    source: str
    postings: Postings


# --- facts -----------------------------------------------------------------------------------


async def record_invoices(
    tx: Tx, changes: Iterable[BeforeAndAfter], *, now: datetime, who: str
) -> None:
    """Book invoices as they were and as they are; None for one that is not there."""
    await _write(tx, [entry for one in changes for entry in _invoice_entries(*one)], now, who)


def _invoice_entries(before: FullInvoiceRow | None, after: FullInvoiceRow | None) -> list[Entry]:
    if before is not None and after is not None and before.currency_iso == after.currency_iso:
        change = posting_change(
            invoice_postings(_posting(before)), invoice_postings(_posting(after))
        )
        return [_invoice_entry(after, change)]
    # Such an invoice has no payments, so each side adds up to zero by itself.
    entries = []
    if before is not None:
        entries.append(
            _invoice_entry(before, posting_change(invoice_postings(_posting(before)), {}))
        )
    if after is not None:
        entries.append(_invoice_entry(after, posting_change({}, invoice_postings(_posting(after)))))
    return entries


def _invoice_entry(row: FullInvoiceRow, postings: Postings) -> Entry:
    return Entry(EntryKind.INVOICE, row.currency_iso, str(row.id), postings)


def _posting(row: FullInvoiceRow) -> InvoicePosting:
    return InvoicePosting(*(getattr(row, name) for name in InvoicePosting._fields))


async def share_writes(
    tx: Tx,
    payments: Mapping[str, Payment],
    stored: Stored,
    after: Allocations,
    client_of: ClientOf,
    now: datetime,
    who: str,
) -> list[TableWrite]:
    """The entries of shares as they were stored and as they are, written."""
    entries = []
    for intent, shares in sorted(after.items()):
        payment = payments[intent]
        had = _share_postings(stored.of(intent), stored.credit_client(intent), client_of)
        has = _share_postings(shares, payment.client_id, client_of)
        entries.append(Entry(EntryKind.PAYMENT, payment.currency, intent, posting_change(had, has)))
    return await _writes(tx, entries, now, who)


def _share_postings(
    shares: Mapping[int | None, Share], credit_client: int | None, client_of: ClientOf
) -> Postings:
    return total_postings(
        share_postings(share, credit_client if key is None else client_of[key], key)
        for key, share in shares.items()
    )


async def record_hand_payments(
    tx: Tx,
    before: Iterable[HandPayment],
    after: Iterable[HandPayment],
    *,
    now: datetime,
    who: str,
) -> None:
    """Book payments by hand as they were and as they are, all of one source and currency."""
    had, has = list(before), list(after)
    first = next(iter([*had, *has]))
    change = posting_change(
        total_postings(map(hand_postings, had)), total_postings(map(hand_postings, has))
    )
    entry = Entry(EntryKind.HAND_PAYMENT, first.currency_iso, str(first.id), change)
    await _write(tx, [entry], now, who)


async def record_movements(tx: Tx, movements: Iterable[BalanceMovement], *, now: datetime) -> None:
    """Book balance transactions that are new."""
    entries = [
        Entry(
            EntryKind.BALANCE_TRANSACTION,
            one.currency,
            one.transaction_id,
            posting_change({}, movement_postings(one)),
        )
        for one in movements
    ]
    await _write(tx, entries, now, "stripe")


# --- rows ------------------------------------------------------------------------------------


class _EntryColumns(TypedDict):
    id: int
    at: datetime
    kind: str
    currency_iso: str
    source: str
    who: str


class _LineColumns(TypedDict):
    entry_id: int
    number: int
    account: str
    client_id: int | None
    invoice_id: int | None
    amount: Decimal


_IDS = IdReservation(ENTRIES)
_INSERT_ENTRIES = BulkInsert(ENTRIES, _EntryColumns.__annotations__)
_INSERT_LINES = BulkInsert(LINES, _LineColumns.__annotations__)


async def _write(tx: Tx, given: Iterable[Entry], now: datetime, who: str) -> None:
    await write_all(tx, await _writes(tx, given, now, who))


async def _writes(tx: Tx, given: Iterable[Entry], now: datetime, who: str) -> list[TableWrite]:
    """The entries that have lines, written. Nothing else fills the journal."""
    entries = [one for one in given if one.postings]
    if not entries:
        return []
    ids = await _IDS.reserve(tx, len(entries))
    rows, lines = [], []
    for entry_id, entry in zip(ids, entries, strict=True):
        assert not sum(entry.postings.values()), (
            f"the lines of {entry.source} do not add up to zero"
        )
        rows.append(_entry_columns(entry_id, entry, now, who))
        lines += _line_columns(entry_id, entry.postings)
    return [(_INSERT_ENTRIES, rows), (_INSERT_LINES, lines)]


def _entry_columns(entry_id: int, entry: Entry, now: datetime, who: str) -> _EntryColumns:
    return {
        "id": entry_id,
        "at": now,
        "kind": entry.kind.value,
        "currency_iso": entry.currency,
        "source": entry.source,
        "who": who,
    }


def _line_columns(entry_id: int, postings: Postings) -> list[_LineColumns]:
    return [
        {
            "entry_id": entry_id,
            "number": number,
            "account": key.account.value,
            "client_id": key.client_id,
            "invoice_id": key.invoice_id,
            "amount": amount,
        }
        for number, (key, amount) in enumerate(postings.items(), start=1)
    ]
