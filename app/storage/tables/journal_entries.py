"""The journal in double entry. Rows are inserted only: none is ever changed or deleted."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Ref, Row


class JournalEntry(Row):
    """An entry: a movement of money in one currency, and the fact that it follows from."""

    __tablename__ = "journal_entry"

    id: Mapped[Id]
    # When it was written, so that a period that is over gets no entry any more.
    at: Mapped[datetime]
    kind: Mapped[str]
    currency_iso: Mapped[str]
    # The id of the invoice, payment, PaymentIntent or balance transaction.
    source: Mapped[str]
    who: Mapped[str]

    __table_args__ = (Index("ix_journal_entry_at", "at", "id"),)


class JournalLine(Row):
    """A line of an entry; the lines of an entry add up to zero. A debit is positive."""

    __tablename__ = "journal_line"

    # No foreign key: both rows are written together, and a key would be looked up for each line.
    entry_id: Mapped[Ref] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[str]
    client_id: Mapped[Ref | None]
    invoice_id: Mapped[Ref | None]
    amount: Mapped[Decimal]

    __table_args__ = ({"sqlite_with_rowid": False},)
