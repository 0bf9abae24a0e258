"""`paydue import` makes each record of a file once, however often the file is imported."""

import asyncio
import copy
from typing import Any

import orjson
import pytest
from sqlalchemy import delete, func, select

from app.cli.import_file import ImportResult, import_records
from app.errors import AppError, InvalidField, Refused
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Client
from app.storage.tables.imported_records import ImportedRecord
from app.storage.tables.invoices import Invoice, InvoiceLine
from app.storage.tables.taxes import Tax
from tests.harness import NO_STRIPE, Paydue, settings_for, today

pytestmark = pytest.mark.anyio

TABLES = [table_of(one) for one in (Client, Invoice, InvoiceLine, Tax)]


def an_invoice(**more: Any) -> dict[str, Any]:
    line = {"item_shortdescription": "Support", "qty_order": 1, "unit_price": "120.00"}
    return {"duedate": today().isoformat(), "take_auto_payment": True, "lines": [line], **more}


FILE: dict[str, Any] = {
    "Tax": [{"name": "VAT", "value": 19.5}],
    "clients": [
        {
            "name": "Customer",
            "stripe_customer_id": "cus_imported",
            "stripe_payment_method_id": "pm_imported",
            "invoices": [an_invoice(invoicenumber="A-1"), an_invoice()],
        },
        {
            "name": "Nobody",
            "invoices": [an_invoice(thirdpartyinvoicenumber="T-1"), an_invoice(), an_invoice()],
        },
    ],
}


async def test_a_file_imported_twice_makes_nothing_twice(database: Database) -> None:
    first = await imported(database, FILE)
    made = await counts(database)

    second = await imported(database, FILE)

    assert first.written == {"Tax": 1, "clients": 2, "invoices": 5}
    assert made == [2, 5, 5, 1]
    assert (sum(second.written.values()), second.known) == (0, first.written)
    assert await counts(database) == made


async def test_a_dry_run_says_what_would_be_made_and_makes_nothing(database: Database) -> None:
    before = await counts(database)

    settings = settings_for("sqlite:///unused.db", NO_STRIPE)
    tried = await import_records(database, settings, orjson.dumps(FILE), dry_run=True)

    assert tried.written == {"Tax": 1, "clients": 2, "invoices": 5}
    assert await counts(database) == before


async def test_autopay_charges_an_invoice_that_was_imported_twice_once(paydue: Paydue) -> None:
    paydue.sandbox.add_customer("cus_imported", payment_method="pm_imported")
    for _ in range(2):
        await imported(paydue.database, FILE)

    report = await paydue.autopay()

    assert len(report["charged"]) == len(paydue.sandbox.ledger.charges()) == 2


async def test_what_is_new_in_a_file_is_imported_with_its_known_client(database: Database) -> None:
    await imported(database, FILE)
    longer = copy.deepcopy(FILE)
    longer["clients"][0] |= {"email": "new@example.com"}
    longer["clients"][0]["invoices"].append(an_invoice(invoicenumber="A-2"))
    longer["clients"][1]["invoices"].append(an_invoice())  # a third one of the same content

    result = await imported(database, longer)

    assert +result.written == {"invoices": 2}
    async with database.snapshot() as tx:
        found = await tx.execute(
            select(Invoice.client_id, func.count())
            .group_by(Invoice.client_id)
            .order_by(Invoice.client_id)
        )
        assert [tuple(row) for row in found] == [(1, 3), (2, 4)]


async def test_clients_of_one_stripe_customer_stay_apart(database: Database) -> None:
    client = {**FILE["clients"][0], "invoices": [an_invoice()]}
    both = {"clients": [client, client]}

    await imported(database, both)
    await imported(database, both)

    assert await counts(database) == [2, 2, 2, 0]


async def test_ten_imports_at_once_make_one(database: Database) -> None:
    results = await asyncio.gather(*(imported(database, FILE) for _ in range(10)))

    assert sum(one.written["invoices"] for one in results) == 5
    assert await counts(database) == [2, 5, 5, 1]


async def test_what_was_there_before_files_were_remembered_is_known_by_its_number(
    database: Database,
) -> None:
    file = {"clients": [{**FILE["clients"][0], "invoices": [an_invoice(invoicenumber="A-1")]}]}
    await imported(database, file)
    async with database.transaction() as tx:
        await tx.execute(delete(ImportedRecord))

    again = await imported(database, file)

    assert again.known == {"clients": 1, "invoices": 1}
    assert await counts(database) == [1, 1, 1, 0]


async def test_a_record_that_was_deleted_may_be_imported_again(database: Database) -> None:
    taxes = {"Tax": FILE["Tax"]}
    await imported(database, taxes)
    async with database.transaction() as tx:
        await tx.execute(delete(Tax))

    assert (await imported(database, taxes)).written == {"Tax": 1}
    assert (await imported(database, taxes)).known == {"Tax": 1}


OTHERS_INVOICE = {"clients": [{"name": "Else", "invoices": [an_invoice(invoicenumber="A-1")]}]}
TWICE = {
    "clients": [
        {"name": "A", "invoices": [an_invoice(invoicenumber="B-1")]},
        {"name": "B", "invoices": [an_invoice(invoicenumber="B-1")]},
    ]
}


@pytest.mark.parametrize(
    ("file", "error", "said"),
    [(OTHERS_INVOICE, Refused, "A-1"), (TWICE, InvalidField, "'B-1' is given twice")],
)
async def test_a_number_that_names_two_invoices_imports_nothing(
    database: Database, file: dict[str, Any], error: type[AppError], said: str
) -> None:
    await imported(database, FILE)
    before = await counts(database)

    with pytest.raises(error) as refusal:
        await imported(database, file)

    assert said in refusal.value.message
    assert await counts(database) == before


async def imported(database: Database, content: dict[str, Any]) -> ImportResult:
    settings = settings_for(database.url.render_as_string(hide_password=False), NO_STRIPE)
    return await import_records(database, settings, orjson.dumps(content))


async def counts(database: Database) -> list[int]:
    async with database.snapshot() as tx:
        return [await tx.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES]
