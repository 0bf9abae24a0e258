"""What a test writes and reads beside the programs: rows to begin with, and how they ended."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select, update

from app.rules.attempt import UNRESOLVED
from app.sandbox.server import Sandbox
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.cluster import CustomerLease, Job
from tests.harness import ATTEMPTS, CLIENTS, EVENTS, INVOICES, PAYMENTS, today

TURNS, JOBS = table_of(CustomerLease), table_of(Job)
TOTAL = Decimal(120)


async def write(url: str, sandbox: Sandbox | None, count: int) -> list[int]:
    """So many clients whose cards pay, each with an invoice due today."""
    ids = list(range(1, count + 1))
    for one in ids if sandbox else ():
        sandbox.add_customer(f"cus_{one}", payment_method=f"pm_{one}")
    database = Database(url)
    async with database.transaction() as tx:
        await tx.execute(insert(CLIENTS), [_client(one) for one in ids])
        await tx.execute(insert(INVOICES), [_invoice(one) for one in ids])
    await database.close()
    return ids


def _client(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"Client {number}",
        "inactive": False,
        "stripe_customer_id": f"cus_{number}",
        "stripe_payment_method_id": f"pm_{number}",
    }


def _invoice(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "client_id": number,
        "invoicenumber": f"INV-{number}",
        "invoice_date": datetime.now(UTC),
        "duedate": today(),
        "total": TOTAL,
        "amountdue": TOTAL,
        "take_auto_payment": True,
    }


async def read(url: str, table: Any) -> list[Any]:
    database = Database(url)
    async with database.snapshot() as tx:
        found = list(await tx.execute(select(table).order_by(table.c.id)))
    await database.close()
    return found


async def event_ids(url: str) -> set[str]:
    return {row.event_id for row in await read(url, EVENTS)}


async def intents_paid(url: str) -> set[str]:
    return {row.intent_id for row in await read(url, PAYMENTS)}


async def attempts(url: str) -> list[Any]:
    return await read(url, ATTEMPTS)


async def due(url: str) -> list[int]:
    """Ids of invoices that are not paid."""
    return [row.id for row in await read(url, INVOICES) if row.amountdue > 0]


async def agree(url: str) -> bool:
    """Whether every invoice's sum is that of its payments."""
    sums: dict[int, Decimal] = {}
    for row in await read(url, PAYMENTS):
        if row.invoice_id is None:
            continue
        sums[row.invoice_id] = sums.get(row.invoice_id, Decimal(0)) + row.counted
    paid = {row.id: row.amountpaid for row in await read(url, INVOICES) if row.amountpaid}
    return paid == sums


async def begin_autopay_at_once(url: str) -> None:
    """The worker's daily run is due now."""
    database = Database(url)
    async with database.transaction() as tx:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await tx.execute(insert(JOBS).values(name="autopay", next_run_at=past))
    await database.close()


async def let_leases_expire(url: str) -> None:
    """As if the 45 seconds of leases that nobody could give back had passed."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database = Database(url)
    async with database.transaction() as tx:
        open_ones = ATTEMPTS.c.state.in_(UNRESOLVED)
        await tx.execute(update(ATTEMPTS).where(open_ones).values(lease_until=past, check_at=past))
        await tx.execute(update(TURNS).values(until=past))
    await database.close()
