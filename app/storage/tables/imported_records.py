"""Records that `paydue import` has written, each under the key by which a file knows it."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Ref, Row


class ImportedRecord(Row):
    """One record of an imported file. The same key is imported once."""

    __tablename__ = "imported_record"

    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    record_id: Mapped[Ref]
    imported_at: Mapped[datetime]
