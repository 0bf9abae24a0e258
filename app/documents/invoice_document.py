"""An invoice's document: its text and amounts, read from the database to be printed."""

from typing import Any

from sqlalchemy import select

from app.documents.invoice_pdf import InvoiceDocument
from app.errors import NotFound
from app.rules.invoice import InvoiceKind
from app.rules.money import plain
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice, InvoiceLine, line_of

INVOICES = table_of(Invoice)
LINES = table_of(InvoiceLine)


async def invoice_document(tx: Tx, invoice_id: int) -> InvoiceDocument:
    statement = (
        select(INVOICES, Client.name.label("client_name"))
        .outerjoin(Client, Client.id == INVOICES.c.client_id)
        .where(INVOICES.c.id == invoice_id, INVOICES.c.id > 0)
    )
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("Invoice", invoice_id)
    lines = await tx.execute(
        select(LINES)
        .where(LINES.c.ihid == invoice_id, LINES.c.isinactive.is_(False))
        .order_by(LINES.c.sequenceid, LINES.c.id)
    )
    return InvoiceDocument(
        title=_title(row),
        number=row.invoicenumber or str(row.id),
        client=row.client_name or "",
        currency=row.currency_iso,
        dates=_dates(row),
        lines=[_cells(one) for one in lines],
        amounts={
            "Net": row.revenue,
            "Tax": row.tax_total,
            "Total": row.total,
            "Paid": row.amountpaid,
            "Due": row.amountdue,
        },
    )


def _title(row: Record) -> str:
    kind = "Credit note" if row.invoicetype == InvoiceKind.CREDIT_NOTE else "Invoice"
    return f"Void: {kind}" if row.voided else kind


def _dates(row: Record) -> dict[str, str]:
    dates: dict[str, Any] = {"Date": row.invoice_date, "Due": row.duedate}
    return {name: one.isoformat()[:10] for name, one in dates.items() if one is not None}


def _cells(row: Record) -> list[str]:
    amounts = (row.qty_order, row.unit_price, row.tax_rate, line_of(row).net)
    return [row.item_shortdescription or row.item_code or "", *map(plain, amounts)]
