"""`paydue currencies import` takes the bank's file, or says what it would do."""

from pathlib import Path

import pytest
from sqlalchemy import select

from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.clients import Currency, CurrencyRate
from tests.test_cli import DONE, FAILED, Command, command

pytestmark = pytest.mark.anyio

RATES, CURRENCIES = table_of(CurrencyRate), table_of(Currency)


async def state(database: Database) -> tuple[int, object]:
    async with database.snapshot() as tx:
        rates = (await tx.execute(select(RATES))).all()
        is_euro = CURRENCIES.c.code == "eur"
        return len(rates), await tx.scalar(select(CURRENCIES.c.conversion_rate).where(is_euro))


async def test_a_file_is_imported_once_and_a_dry_run_changes_nothing(
    database: Database, database_url: str, stripe_url: str, tmp_path: Path
) -> None:
    run: Command = command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)
    file, wrong = tmp_path / "eurofxref.csv", tmp_path / "wrong.csv"
    file.write_text("Date, USD, GBP, \n26 November 2026, 1.25, 0.5, \n")
    wrong.write_text("Date,USD\n2026-11-26,much\n")
    before = await state(database)

    tried = await run("currencies", "import", "--dry-run", str(file))

    assert (tried.code, await state(database)) == (DONE, before)
    assert "1 days: 2 rates would be new, 0 would be changed" in tried.out
    done = await run("currencies", "import", str(file))
    assert "EUR now 1.25 USD" in done.out
    count, euro = await state(database)
    assert (count, str(euro)) == (2, "1.25")
    again = await run("currencies", "import", str(file))
    assert "1 days: 0 rates new, 0 changed" in again.out
    refused = await run("currencies", "import", str(wrong))
    assert refused.code == FAILED
    assert "row 2, column USD: 'much' is no rate" in refused.err
