"""Reads invoices with their lines as accounting programs take them: page by page, memory flat."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select

from app.rules import calendar
from app.rules.accounting_rows import BilledInvoice, BilledLine
from app.rules.invoice import InvoiceKind, Line
from app.rules.money import plain
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice, InvoiceLine
from app.storage.tables.taxes import Tax

INVOICES, LINES, CLIENTS = table_of(Invoice), table_of(InvoiceLine), table_of(Client)
PAGE = 200


class _HeaderRow(NamedTuple):
    """An invoice with its client."""

    id: int
    invoicenumber: str | None
    invoicetype: int
    client: str | None
    email: str | None
    address1: str | None
    address2: str | None
    city: str | None
    postcode: str | None
    country: str | None
    reference: str | None
    invoice_date: datetime | None
    duedate: date | None
    currency_iso: str
    total: Decimal
    tax_total: Decimal
    rounded_by_line: bool


class _LineRow(NamedTuple):
    """The columns of a line that accounting takes."""

    ihid: int
    item_code: str | None
    short: str | None
    long: str | None
    nominal_code: str | None
    tax_code: str | None
    startdate: datetime | None
    qty_order: Decimal
    unit_price: Decimal
    discount_perc: Decimal
    tax_rate: Decimal
    price_includes_tax: bool


_HEADERS = (
    select(
        INVOICES.c.id, INVOICES.c.invoicenumber, INVOICES.c.invoicetype,
        CLIENTS.c.name, CLIENTS.c.email, CLIENTS.c.address1, CLIENTS.c.address2,
        CLIENTS.c.city, CLIENTS.c.postcode, CLIENTS.c.country,
        INVOICES.c.reference, INVOICES.c.invoice_date, INVOICES.c.duedate,
        INVOICES.c.currency_iso, INVOICES.c.total, INVOICES.c.tax_total,
        INVOICES.c.rounded_by_line,
    )
    .outerjoin_from(INVOICES, CLIENTS, CLIENTS.c.id == INVOICES.c.client_id)
    .where(
        INVOICES.c.voided.is_(False),
        INVOICES.c.invoicetype.in_([InvoiceKind.INVOICE.value, InvoiceKind.CREDIT_NOTE.value]),
    )
)  # fmt: skip
_LINES = select(
    LINES.c.ihid, LINES.c.item_code, LINES.c.item_shortdescription, LINES.c.item_longdescription,
    LINES.c.nominal_code, LINES.c.tax_code, LINES.c.startdate, LINES.c.qty_order,
    LINES.c.unit_price, LINES.c.discount_perc, LINES.c.tax_rate, LINES.c.price_includes_tax,
).where(LINES.c.isinactive.is_(False))  # fmt: skip


async def iterate_billed(
    tx: Tx, since: datetime, until: datetime, *, timezone: str, account: str
) -> AsyncIterator[BilledInvoice]:
    """Invoices and credit notes dated from `since` on and before `until`, by their ids.

    Voided ones, suppliers' and templates are none. `account` is that of lines without a code.
    """
    taxes = {str(tax_id): name for tax_id, name in await tx.execute(select(Tax.id, Tax.name))}
    dated = (INVOICES.c.invoice_date >= since, INVOICES.c.invoice_date < until)
    after = 0
    while True:
        page = _HEADERS.where(INVOICES.c.id > after, *dated).order_by(INVOICES.c.id).limit(PAGE)
        headers = [_HeaderRow._make(row) for row in await tx.execute(page)]
        lines = await _lines_of(tx, [one.id for one in headers])
        for one in headers:
            billed = [_line(each, taxes, timezone, account) for each in lines.get(one.id, ())]
            yield _invoice(one, billed, timezone)
        if len(headers) < PAGE:
            return
        after = headers[-1].id


async def _lines_of(tx: Tx, ids: Sequence[int]) -> dict[int, list[_LineRow]]:
    found: dict[int, list[_LineRow]] = {}
    if ids:
        statement = _LINES.where(LINES.c.ihid.in_(ids))
        for row in await tx.execute(statement.order_by(LINES.c.sequenceid, LINES.c.id)):
            one = _LineRow._make(row)
            found.setdefault(one.ihid, []).append(one)
    return found


def _line(row: _LineRow, taxes: dict[str, str], timezone: str, account: str) -> BilledLine:
    known = taxes.get(row.tax_code or "")
    unknown = f"{plain(row.tax_rate)}%" if row.tax_rate else "No Tax"
    return BilledLine(
        Line(
            row.qty_order, row.unit_price, row.discount_perc, row.tax_rate,
            price_includes_tax=row.price_includes_tax,
        ),
        description=row.short or row.long or "",
        item_code=row.item_code or "",
        account=row.nominal_code or account,
        tax_name=known or unknown,
        starts_on=_day(row.startdate, timezone),
    )  # fmt: skip


def _invoice(row: _HeaderRow, lines: Sequence[BilledLine], timezone: str) -> BilledInvoice:
    address = (row.address1, row.address2, row.city, row.postcode, row.country)
    return BilledInvoice(
        number=row.invoicenumber or str(row.id),
        kind=row.invoicetype,
        client=row.client or "",
        email=row.email or "",
        address=[one or "" for one in address],
        reference=row.reference or "",
        invoiced_on=_day(row.invoice_date, timezone),
        due_on=row.duedate,
        currency=row.currency_iso,
        total=row.total,
        tax_total=row.tax_total,
        lines=lines,
        rounded_by_line=row.rounded_by_line,
    )


def _day(at: datetime | None, timezone: str) -> date | None:
    return None if at is None else calendar.business_day(at, timezone)
