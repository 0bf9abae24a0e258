"""Who is looking at which invoice: presence that many nodes share and that ends by itself."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.data.columns import Ref, Row


class InvoiceViewer(Row):
    __tablename__ = "invoice_viewer"

    invoice_id: Mapped[Ref] = mapped_column(primary_key=True, autoincrement=False)
    access_id: Mapped[Ref] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    action: Mapped[str | None]
    seen_at: Mapped[datetime] = mapped_column(index=True)
