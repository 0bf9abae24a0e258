"""Seals of the audit: a chain of hashes over the changes of invoices, in the order of their ids."""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Ref, Row


class AuditSeal(Row):
    """The changes from the seal before this one up to `last_id`, and a hash over both."""

    __tablename__ = "audit_seal"

    number: Mapped[Ref] = mapped_column(primary_key=True, autoincrement=False)
    last_id: Mapped[Ref]
    # For each change its id and the beginning of its hash, so that an edit is found by its row.
    digests: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[str]
    sealed_at: Mapped[datetime]
