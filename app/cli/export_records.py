"""Prints records as `paydue import KIND` takes them, page by page, each by its external id."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, Table, select

from app.cli.csv_output import print_csv
from app.cli.terminal import say_json_text
from app.rules.csv_records import LINE_COLUMNS
from app.rules.money import plain
from app.rules.notation import moment
from app.rules.spreadsheet import Cell
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.clients import Client, Currency
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice, InvoiceLine

CLIENTS, CURRENCIES, INVOICES = table_of(Client), table_of(Currency), table_of(Invoice)
LINES, PAYMENTS = table_of(InvoiceLine), table_of(InvoicePayment)
PAGE = 200


class ExportKind(StrEnum):
    CLIENTS = "clients"
    INVOICES = "invoices"
    TEMPLATES = "templates"
    PAYMENTS = "payments"


# What stands in the record itself; numbers of records that the other installation has not, states
# of payment and sums are left out.
_CLIENT_COLUMNS = (
    "name", "inactive", "email", "timezone", "stripe_customer_id", "stripe_payment_method_id",
    "stripe_payment_method_name", "consolidate", "address1", "address2", "postcode", "city",
    "country", "vat_number", "registration_number", "einvoice_address", "buyer_reference",
    "language",
)  # fmt: skip
_HEADER_COLUMNS = (
    "reference", "order_number", "cust_order_number", "notes_1", "notes_2", "notes_3",
    "internal_note", "invoicetype", "currency_conversion_rate", "due_date_type", "due_date_int",
    "take_auto_payment", "include_in_autopay", "reviewrequired", "approval_status",
)  # fmt: skip
_INVOICE_COLUMNS = (
    *_HEADER_COLUMNS, "invoicenumber", "invoice_date", "duedate", "tax_point_date", "datesent",
    "posted", "dateposted",
)  # fmt: skip
_TEMPLATE_COLUMNS = (
    *_HEADER_COLUMNS, "disabled", "period", "startdate", "enddate", "nextcreationdate",
)  # fmt: skip
_LINES_OF_RECORD = tuple(sorted(LINE_COLUMNS))

ExportRecord = dict[str, object]


async def print_records(tx: Tx, kind: ExportKind, form: str) -> None:
    """All records of a kind on the standard output, the oldest first."""
    records = _RECORDS[kind](tx)
    if form == "json":
        await _print_json(records)
    else:
        await _print_csv(records, COLUMNS[kind])


async def _print_json(records: AsyncIterator[ExportRecord]) -> None:
    """An array of objects, one a line; numbers are texts, so that no reader rounds them."""
    before = "["
    async for one in records:
        known = {name: value for name, value in one.items() if value not in (None, "")}
        say_json_text(before + json.dumps(known))
        before = ",\n"
    say_json_text("[]\n" if before == "[" else "]\n")


async def _print_csv(records: AsyncIterator[ExportRecord], columns: Sequence[str]) -> None:
    print_csv([columns])
    async for one in records:
        lines = one.pop("lines", None)
        of_lines = lines if isinstance(lines, list) and lines else [{}]
        print_csv([_cell({**one, **line}.get(name)) for name in columns] for line in of_lines)


def _cell(value: object) -> Cell:
    return None if value is None else str(value)


def _text(value: object) -> object:
    """A value as the importing side reads it: a text, or nothing."""
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return plain(value)
        case datetime():
            return moment(value)
        case date():
            return value.isoformat()
        case None | int() | str():
            return None if value is None else str(value)
        case _:
            raise AssertionError("a column of these tables is a number, a text or a day")


def _texts(row: Mapping[str, object], names: Iterable[str]) -> ExportRecord:
    return {name: _text(row[name]) for name in names}


async def _pages(
    tx: Tx, statement: Select[tuple[object, ...]], key: ColumnElement[int], *, up: bool = True
) -> AsyncIterator[list[Mapping[str, object]]]:
    """Pages by the id, upwards, or downwards as templates count."""
    after: int | None = None
    while True:
        page = statement.order_by(key if up else key.desc()).limit(PAGE)
        if after is not None:
            page = page.where(key > after if up else key < after)
        rows: list[Mapping[str, object]] = [row._asdict() for row in await tx.execute(page)]
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        last = rows[-1]["id"]
        assert isinstance(last, int), "a key is a number"
        after = last


def _columns(table: Table, names: Iterable[str]) -> list[ColumnElement[object]]:
    return [table.c[name] for name in names]


async def _clients(tx: Tx) -> AsyncIterator[ExportRecord]:
    own = _columns(CLIENTS, _CLIENT_COLUMNS)
    statement = select(CLIENTS.c.id, CURRENCIES.c.code.label("currency"), *own).outerjoin_from(
        CLIENTS, CURRENCIES, CURRENCIES.c.id == CLIENTS.c.currency_code
    )
    async for rows in _pages(tx, statement, CLIENTS.c.id):
        for row in rows:
            yield {
                "thirdpartyid": str(row["id"]),
                "currency": row["currency"],
                **_texts(row, _CLIENT_COLUMNS),
            }


async def _invoices(tx: Tx) -> AsyncIterator[ExportRecord]:
    async for one in _headers(tx, _INVOICE_COLUMNS, INVOICES.c.id > 0, up=True):
        yield one


async def _templates(tx: Tx) -> AsyncIterator[ExportRecord]:
    async for one in _headers(tx, _TEMPLATE_COLUMNS, INVOICES.c.id < 0, up=False):
        yield one


async def _headers(
    tx: Tx, names: Sequence[str], which: ColumnElement[bool], *, up: bool
) -> AsyncIterator[ExportRecord]:
    """A voided invoice stays where it is: what is imported owes."""
    own = _columns(INVOICES, names)
    columns = (INVOICES.c.id, INVOICES.c.client_id, INVOICES.c.thirdpartyinvoicenumber)
    statement = select(*columns, INVOICES.c.currency_iso, *own).where(
        which, INVOICES.c.voided.is_(False)
    )
    async for rows in _pages(tx, statement, INVOICES.c.id, up=up):
        lines = await _lines(tx, rows)
        for row in rows:
            number = row["thirdpartyinvoicenumber"] or f"paydue:{row['id']}"
            client = None if row["client_id"] is None else str(row["client_id"])
            yield {
                "thirdpartyinvoicenumber": number,
                "client": client,
                "currency": row["currency_iso"],
                **_texts(row, names),
                "lines": lines.get(row["id"], []),
            }


async def _lines(
    tx: Tx, headers: Sequence[Mapping[str, object]]
) -> dict[object, list[ExportRecord]]:
    """Lines that count: an inactive one is the sender's own memory."""
    ids = [one["id"] for one in headers]
    statement = select(LINES.c.ihid, *_columns(LINES, _LINES_OF_RECORD)).where(
        LINES.c.ihid.in_(ids), LINES.c.isinactive.is_(False)
    )
    found: dict[object, list[ExportRecord]] = {}
    for row in await tx.execute(statement.order_by(LINES.c.sequenceid, LINES.c.id)):
        known = _texts(row._asdict(), _LINES_OF_RECORD)
        line = {name: value for name, value in known.items() if value is not None}
        found.setdefault(row.ihid, []).append(line)
    return found


async def _payments(tx: Tx) -> AsyncIterator[ExportRecord]:
    """The payments that count, each by the invoice that has it."""
    number = INVOICES.c.thirdpartyinvoicenumber
    statement = (
        select(PAYMENTS.c.id, PAYMENTS.c.invoice_id, number, PAYMENTS.c.counted, PAYMENTS.c.date)
        .join_from(PAYMENTS, INVOICES, INVOICES.c.id == PAYMENTS.c.invoice_id)
        .where(PAYMENTS.c.counted > 0, PAYMENTS.c.credit_note_id.is_(None))
    )
    async for rows in _pages(tx, statement, PAYMENTS.c.id):
        for row in rows:
            yield {
                "thirdpartyid": str(row["id"]),
                "invoice": row["thirdpartyinvoicenumber"] or f"paydue:{row['invoice_id']}",
                "amount": _text(row["counted"]),
                "date": _text(row["date"]),
            }


_RECORDS = {
    ExportKind.CLIENTS: _clients,
    ExportKind.INVOICES: _invoices,
    ExportKind.TEMPLATES: _templates,
    ExportKind.PAYMENTS: _payments,
}
COLUMNS: Mapping[ExportKind, Sequence[str]] = {
    ExportKind.CLIENTS: ("thirdpartyid", "currency", *_CLIENT_COLUMNS),
    ExportKind.INVOICES: (
        "thirdpartyinvoicenumber", "client", "currency", *_INVOICE_COLUMNS, *_LINES_OF_RECORD,
    ),
    ExportKind.TEMPLATES: (
        "thirdpartyinvoicenumber", "client", "currency", *_TEMPLATE_COLUMNS, *_LINES_OF_RECORD,
    ),
    ExportKind.PAYMENTS: ("thirdpartyid", "invoice", "amount", "date"),
}  # fmt: skip
