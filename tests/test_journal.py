"""The journal: each movement of money is in it, and `paydue check` finds whatever is not."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select

from app.ledger import journal_check
from app.sandbox.server import Sandbox
from app.storage.column_types import table_of
from app.storage.tables.journal_entries import JournalEntry, JournalLine
from app.storage.tables.stripe_payouts import BalanceTransaction
from tests.balance import StripeBalance, with_balance
from tests.harness import Paydue, settings_for
from tests.ledger_acts import LedgerActs
from tests.test_cli import Command, command

pytestmark = pytest.mark.anyio

ENTRIES = table_of(JournalEntry)
LINES = table_of(JournalLine)
TRANSACTIONS = table_of(BalanceTransaction)


@pytest.fixture
async def balance(sandbox: Sandbox, stripe_url: str) -> AsyncIterator[StripeBalance]:
    async with with_balance(sandbox) as one:
        yield one


@pytest.fixture
async def paydue(
    database_url: str, sandbox: Sandbox, balance: StripeBalance
) -> AsyncIterator[Paydue]:
    async with Paydue.running(settings_for(database_url, balance.url), sandbox) as house:
        yield house


@pytest.fixture
def acts(paydue: Paydue) -> LedgerActs:
    return LedgerActs(paydue.database)


@pytest.fixture
def run(database_url: str, balance: StripeBalance, tmp_path: Path) -> Command:
    return command(tmp_path, balance.url).having(
        PAYDUE_DATABASE_URL=database_url, COLUMNS="200", TERM="dumb"
    )


async def differences(paydue: Paydue) -> list[str]:
    async with paydue.database.snapshot() as tx:
        return await journal_check.differences(tx)


async def balances(paydue: Paydue) -> dict[str, Decimal]:
    """The balance of each account that is not empty."""
    async with paydue.database.snapshot() as tx:
        rows = await tx.execute(select(LINES.c.account, LINES.c.amount))
        found: dict[str, Decimal] = {}
        for account, amount in rows:
            found[account] = found.get(account, Decimal(0)) + amount
    return {account: amount for account, amount in found.items() if amount}
