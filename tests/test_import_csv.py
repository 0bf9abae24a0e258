"""`paydue import KIND FILE.csv`: each record once, errors by row and column, nothing chargeable."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from app.cli.import_csv import PART, CsvKind, CsvResult, import_csv
from app.errors import InvalidField, Refused
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.autopay_policies import AutopayRule
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice, InvoiceLine
from tests.harness import NO_STRIPE, settings_for, today
from tests.test_cli import FAILED, MISUSED, Command, command

pytestmark = pytest.mark.anyio

CLIENTS, INVOICES, LINES = table_of(Client), table_of(Invoice), table_of(InvoiceLine)
PAYMENTS = table_of(InvoicePayment)
TOMORROW = today() + timedelta(days=2)

CLIENT_FILE = "\ufeffThirdPartyId,Name,Email,Currency\nC-1,Ada,ada@example.com,EUR\nC-2,Bob,,\n"
INVOICE_FILE = """\
invoicenumber,client,currency,duedate,item_shortdescription,qty_order,unit_price,include_in_autopay
H-1,C-1,EUR,2025-01-31,"Support, remote",2,10.5,true
H-1,,,,Hosting,1,0.25,

H-2,Bob,,2025-02-28,Backup,1,7,
"""
PAYMENT_FILE = "thirdpartyid,invoice,amount,date\nP-1,H-1,21.25,2025-02-01\nP-2,H-2,3,2025-03-01\n"


async def imported(database: Database, kind: CsvKind, text: str, **options: Any) -> CsvResult:
    settings = settings_for("sqlite:///unused.db", NO_STRIPE)
    return await import_csv(database, settings, kind, text, **options)


async def counts(database: Database) -> list[int]:
    async with database.snapshot() as tx:
        return [
            await tx.scalar(select(func.count()).select_from(table)) or 0
            for table in (CLIENTS, INVOICES, LINES, PAYMENTS)
        ]


async def test_a_history_is_imported_once_and_a_dry_run_changes_nothing(
    database: Database,
) -> None:
    files = ((CsvKind.CLIENTS, CLIENT_FILE), (CsvKind.INVOICES, INVOICE_FILE),
             (CsvKind.PAYMENTS, PAYMENT_FILE))  # fmt: skip
    for kind, text in files:
        before = await counts(database)
        tried = await imported(database, kind, text, dry_run=True)
        assert (tried.written, tried.errors, await counts(database)) == (2, [], before)
        done = await imported(database, kind, text)
        assert (done.written, done.known, done.errors) == (2, 0, [])

    assert await counts(database) == [2, 2, 3, 2]
    for kind, text in files:
        again = await imported(database, kind, text)
        assert (again.written, again.known, again.errors) == (0, 2, [])
    assert await counts(database) == [2, 2, 3, 2]
    async with database.snapshot() as tx:
        found = (await tx.execute(select(INVOICES).order_by(INVOICES.c.id))).all()
        lines = (await tx.execute(select(LINES).order_by(LINES.c.id))).all()
    assert [(one.total, one.amountdue, one.currency_iso) for one in found] == [
        (Decimal("21.25"), 0, "eur"), (7, 4, "usd"),
    ]  # fmt: skip
    assert lines[0].item_shortdescription == "Support, remote"
    assert not any(one.take_auto_payment or one.include_in_autopay for one in found)


async def test_a_flag_is_kept_only_when_it_is_allowed(database: Database) -> None:
    await imported(database, CsvKind.CLIENTS, CLIENT_FILE)

    left_out = await imported(database, CsvKind.INVOICES, INVOICE_FILE, dry_run=True)
    await imported(database, CsvKind.INVOICES, INVOICE_FILE, autopay=True)

    assert left_out.flags_left_out == 1
    async with database.snapshot() as tx:
        flags = list(
            await tx.scalars(select(INVOICES.c.include_in_autopay).order_by(INVOICES.c.id))
        )
    assert flags == [True, False]


async def test_a_rule_that_charges_without_a_flag_refuses_an_import(database: Database) -> None:
    await imported(database, CsvKind.CLIENTS, CLIENT_FILE)
    async with database.transaction() as tx:
        rule = {"name": "all", "unflagged": True, "action": "charge"}
        await tx.execute(insert(table_of(AutopayRule)), [rule])

    with pytest.raises(Refused, match="charges invoices without a flag"):
        await imported(database, CsvKind.INVOICES, INVOICE_FILE)
    allowed = await imported(database, CsvKind.INVOICES, INVOICE_FILE, autopay=True)

    assert allowed.written == 2


async def test_every_error_is_named_by_its_row_and_column_and_nothing_is_written(
    database: Database,
) -> None:
    await imported(database, CsvKind.CLIENTS, f"{CLIENT_FILE}C-3,Bob,,\n")
    before = await counts(database)
    text = """invoicenumber,client,currency,duedate,qty_order,unit_price
H-1,C-1,,2025-01-31,1,1
H-1,,,2025-02-01,1,much
H-2,C-9,,,1,1
H-3,Bob,,,1,1
H-4,C-1,XXX,,1,1
H-5,C-1,,31.12.2025,1,1
,C-1,,,1,1
"""

    found = await imported(database, CsvKind.INVOICES, text)

    assert sorted(map(str, found.errors)) == [
        "row 3, column duedate: is another than in row 2",
        "row 3, column unit_price: 'much' is not a number we can keep",
        "row 4, column client: 'C-9' names none that there is",
        "row 5, column client: 'Bob' is that of 2",
        "row 6, column currency: 'XXX' is no currency that is known",
        "row 7, column duedate: '31.12.2025' is not an ISO 8601 date",
        "row 8, column thirdpartyinvoicenumber: is empty, and so no row has its number",
    ]
    assert await counts(database) == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("thirdpartyid,nmae\nC,A\n", "row 1: 'nmae' is no column"),
        ("thirdpartyid,name,Name\nC,A,B\n", "row 1: 'name' is named twice"),
        ("thirdpartyid,name\nC,A,B\n", "row 2: has 3 cells"),
    ],
)
async def test_columns_that_are_not_known_are_refused(
    database: Database, text: str, why: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        await imported(database, CsvKind.CLIENTS, text)

    assert refused.value.message.startswith(why)


async def test_a_record_that_is_refused_stops_no_other_and_a_stopped_import_goes_on(
    database: Database,
) -> None:
    rows = [f"P-{at},,1,2025-01-01" for at in range(PART + 5)]
    text = "\n".join(["thirdpartyid,invoice,amount,date", *rows])
    await imported(database, CsvKind.CLIENTS, CLIENT_FILE)
    await imported(database, CsvKind.INVOICES, INVOICE_FILE)
    text = text.replace(",,1,", ",H-1,0.1,").replace("P-7,H-1,0.1,", "P-7,H-1,-1,")

    class Stopped(Exception):
        pass

    def stop(done: int, of: int) -> None:
        assert (done, of) == (PART, PART + 5)
        raise Stopped

    with pytest.raises(Stopped):
        await imported(database, CsvKind.PAYMENTS, text, tell=stop)
    assert (await counts(database))[3] == PART - 1
    again = await imported(database, CsvKind.PAYMENTS, text)

    assert (again.written, again.known, len(again.errors)) == (5, PART - 1, 1)
    assert str(again.errors[0]).startswith("row 9: ")


async def test_a_template_bills_nothing_of_the_past(database: Database) -> None:
    await imported(database, CsvKind.CLIENTS, CLIENT_FILE)
    heads = "thirdpartyinvoicenumber,client,period,nextcreationdate,disabled,qty_order,unit_price\n"

    past = await imported(database, CsvKind.TEMPLATES, f"{heads}T-1,C-1,2,2025-01-31,,1,10\n")
    none = await imported(database, CsvKind.TEMPLATES, f"{heads}T-1,C-1,2,,,1,10\n")
    text = f"{heads}T-1,C-1,2,{TOMORROW},,1,10\nT-2,C-1,2,2025-01-31,true,1,10\n"
    done = await imported(database, CsvKind.TEMPLATES, text)

    assert "is past" in str(past.errors[0])
    assert "is empty" in str(none.errors[0])
    assert (done.written, done.errors) == (2, [])
    async with database.snapshot() as tx:
        ids = list(await tx.scalars(select(INVOICES.c.id)))
    assert all(one < 0 for one in ids)


async def test_one_key_twice_in_a_file_is_an_error(database: Database) -> None:
    found = await imported(database, CsvKind.CLIENTS, f"{CLIENT_FILE}C-1,Eve,,\n")

    assert [str(one) for one in found.errors] == ["row 4: thirdpartyid=C-1 stands in row 2"]


async def test_the_command_names_errors_and_takes_a_kind_or_none(
    database: Database, database_url: str, stripe_url: str, tmp_path: Path
) -> None:
    run: Command = command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)
    clients, wrong = tmp_path / "clients.csv", tmp_path / "wrong.csv"
    clients.write_text(CLIENT_FILE)
    wrong.write_text("thirdpartyid,name,currency\nC-9,Eve,XXX\n")

    tried = await run("import", "clients", str(clients), "--dry-run")
    done = await run("import", "clients", str(clients))
    refused = await run("import", "clients", str(wrong))
    misused = await run("import", "nothing", str(clients))

    assert "Dry run: nothing was changed." in tried.out
    assert "imported 2 clients; 0 were imported before" in done.out
    assert refused.code == FAILED
    assert "row 2, column currency: 'XXX' is no currency that is known" in refused.err
    assert (misused.code, (await counts(database))[0]) == (MISUSED, 2)
