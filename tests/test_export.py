"""`paydue export`: files for QuickBooks and Xero, and records that another installation imports."""

import csv
import io
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app.cli.import_csv import CsvKind, import_csv
from app.errors import InvalidField
from app.ledger import invoicing, manual_payments
from app.rules.home import Home
from app.storage import schema
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice, InvoiceLine
from tests.clock import NOW
from tests.harness import NO_STRIPE, Paydue, settings_for
from tests.test_cli import DONE, MISUSED, Command, command

pytestmark = pytest.mark.anyio

CLIENTS, INVOICES, LINES = table_of(Client), table_of(Invoice), table_of(InvoiceLine)
PAYMENTS = table_of(InvoicePayment)
DAYS = ("--from", "2026-11-01", "--to", "2026-11-30")
HOME = Home("usd", "UTC")
CONTEXT = {"now": NOW, "who": "ada", "home": HOME}


@pytest.fixture
def run(database_url: str, stripe_url: str, tmp_path: Path) -> Command:
    return command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)


async def some_books(paydue: Paydue) -> int:
    """An invoice of two lines, half of it paid, its credit note's kind, and a template."""
    client = await paydue.a_client()
    lines = [
        {"item_shortdescription": "=cmd|calc", "qty_order": Decimal(3),
         "unit_price": Decimal("10.50"), "tax_rate": Decimal(20), "nominal_code": "210"},
        {"item_shortdescription": "Über, „quoted“", "unit_price": Decimal("9.99"),
         "tax_rate": Decimal(20), "price_includes_tax": True},
    ]  # fmt: skip
    dates = {"invoice_date": NOW, "client_id": client}
    async with paydue.database.transaction() as tx:
        (invoice,) = await invoicing.save(tx, [{**dates, "lines": lines}], **CONTEXT)
        await manual_payments.save(
            tx, [{"invoice_id": invoice, "amount": Decimal(20), "date": NOW}], **CONTEXT
        )
        template = {"period": 2, "nextcreationdate": NOW.replace(year=2099), "client_id": client}
        await invoicing.save_templates(tx, [{**template, "lines": lines}], **CONTEXT)
    return invoice


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("program", "net", "tax"),
    [("xero", "*UnitAmount", "TaxAmount"), ("quickbooks", "*ItemAmount", "ItemTaxAmount")],
)
async def test_invoices_are_rows_that_add_up(
    paydue: Paydue, run: Command, program: str, net: str, tax: str
) -> None:
    await some_books(paydue)

    done = await run("export", "invoices", "--for", program, *DAYS)
    earlier = await run(
        "export", "invoices", "--for", program, "--from", "2026-10-01", "--to", "2026-10-31"
    )

    rows = read(done.out)
    assert (done.code, len(rows), read(earlier.out)) == (DONE, 2, [])
    taxes = [Decimal(one[tax]) for one in rows]
    assert sum(taxes) == Decimal("7.97")
    assert rows[1][net] in ("8.32", "8.33")
    described = [one.get("*Description") or one["ItemDescription"] for one in rows]
    assert described == ["'=cmd|calc", "Über, „quoted“"]


async def test_payments_and_the_journal_are_for_one_currency(paydue: Paydue, run: Command) -> None:
    await some_books(paydue)

    payments = await run("export", "payments", "--for", "xero", *DAYS)
    others = await run("export", "payments", "--for", "quickbooks", *DAYS, "--currency", "EUR")
    today = NOW.date().isoformat()
    journal = await run(
        "export", "journal", "--for", "xero", "--from", today, "--to", today,
        "--account", "receivable=610", "--tax-rate", "No VAT",
    )  # fmt: skip
    wrong = await run("export", "journal", "--for", "xero", *DAYS, "--account", "nowhere=1")

    assert [one["*Amount"] for one in read(payments.out)] == ["20.00"]
    assert read(others.out) == []
    assert "1 payments are not in EUR" in others.err
    lines = read(journal.out)
    assert sum(Decimal(one["*Amount"]) for one in lines) == 0
    assert {one["*TaxRate"] for one in lines} == {"No VAT"}
    assert "610" in {one["*AccountCode"] for one in lines}
    assert wrong.code == MISUSED


async def contents(database: Database) -> list[Any]:
    """What an installation has, without the numbers that are its own."""
    async with database.snapshot() as tx:
        clients = (await tx.execute(select(CLIENTS.c.name, CLIENTS.c.email))).all()
        headers = (await tx.execute(
            select(INVOICES.c.id > 0, INVOICES.c.total, INVOICES.c.tax_total, INVOICES.c.duedate,
                   INVOICES.c.amountpaid, INVOICES.c.period, INVOICES.c.nextcreationdate,
                   INVOICES.c.currency_iso).order_by(INVOICES.c.id)
        )).all()  # fmt: skip
        lines = (await tx.execute(
            select(LINES.c.item_shortdescription, LINES.c.qty_order, LINES.c.unit_price,
                   LINES.c.tax_rate, LINES.c.price_includes_tax, LINES.c.nominal_code)
            .order_by(LINES.c.id)
        )).all()  # fmt: skip
        paid = await tx.scalar(select(func.sum(PAYMENTS.c.counted)))
    return [list(map(tuple, clients)), list(map(tuple, headers)), list(map(tuple, lines)), paid]


async def test_json_goes_to_another_installation_and_comes_as_it_was(
    paydue: Paydue, run: Command, other_database: Database
) -> None:
    await some_books(paydue)
    files = {kind: (await run("export", "records", str(kind), "--format", "json")).out
             for kind in CsvKind}  # fmt: skip
    settings = settings_for("sqlite:///unused.db", NO_STRIPE)

    for kind in CsvKind:
        done = await import_csv(other_database, settings, kind, files[kind])
        assert (done.written, done.errors) == (len(json.loads(files[kind])), [])
        again = await import_csv(other_database, settings, kind, files[kind])
        assert (again.written, again.known) == (0, done.written)

    assert await contents(other_database) == await contents(paydue.database)


@pytest.fixture
async def other_database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'other.db'}")
    await schema.upgrade(database)
    yield database
    await database.close()


async def test_a_csv_is_taken_again_by_its_import(paydue: Paydue, run: Command) -> None:
    """By the installation that wrote it too: its external ids are new there."""
    await some_books(paydue)
    settings = settings_for("sqlite:///unused.db", NO_STRIPE)

    for kind in (CsvKind.CLIENTS, CsvKind.TEMPLATES):
        text = (await run("export", "records", str(kind))).out
        done = await import_csv(paydue.database, settings, kind, text)
        assert (done.errors, done.written) == ([], 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "row 1: is no object"), ("{}", "file: is no JSON array"),
        ("[", "file: is no JSON:"), ('[{"colour": 1}]', "row 1: 'colour' is no field"),
        ('[{"reference": {}}]', "row 1: reference is no text"), ('[{"lines": 1}]', "row 1: "),
    ],
)  # fmt: skip
async def test_an_error_in_json_names_its_place(database: Database, text: str, why: str) -> None:
    settings = settings_for("sqlite:///unused.db", NO_STRIPE)

    with pytest.raises(InvalidField) as refused:
        await import_csv(database, settings, CsvKind.INVOICES, text)

    assert refused.value.message.startswith(why)
