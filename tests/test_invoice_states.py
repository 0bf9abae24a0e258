"""The states of an invoice are reached by `paydue invoice mark`, as the published filters tell."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.invoices import Invoice, InvoiceChange
from tests.harness import Paydue
from tests.test_cli import DONE, FAILED, Command, command

pytestmark = pytest.mark.anyio

INVOICES, CHANGES = table_of(Invoice), table_of(InvoiceChange)


@pytest.fixture
def run(database_url: str, stripe_url: str, tmp_path: Path) -> Command:
    return command(tmp_path, stripe_url).having(PAYDUE_DATABASE_URL=database_url)


async def audited(database: Database, invoice: int) -> list[tuple[str | None, str | None]]:
    statement = select(CHANGES.c.field_name, CHANGES.c.who).where(CHANGES.c.who == "grace")
    async with database.snapshot() as tx:
        found = await tx.execute(statement.where(CHANGES.c.invoice_id == invoice))
        return [(name, who) for name, who in found]


async def test_an_invoice_goes_out_once_it_is_reviewed_and_approved(
    paydue: Paydue, run: Command
) -> None:
    invoice = await paydue.an_invoice("10.00")

    async def mark(state: str) -> tuple[int, str]:
        done = await run("invoice", "mark", str(invoice), state, "--who", "grace")
        return done.code, done.out + done.err

    assert (await mark("review"))[0] == DONE
    code, said = await mark("sent")
    assert (code, "somebody must review it first" in said) == (FAILED, True)
    for state in ("reviewed", "awaiting"):
        assert (await mark(state))[0] == DONE
    code, said = await mark("posted")
    assert (code, "somebody must approve it first" in said) == (FAILED, True)
    assert (await mark("rejected"))[0] == DONE
    assert "its approval was refused" in (await mark("posted"))[1]
    for state in ("approved", "sent", "posted"):
        assert (await mark(state))[0] == DONE
    code, said = await mark("posted")
    assert (code, "It was so already" in said) == (DONE, True)

    async with paydue.database.snapshot() as tx:
        row = (await tx.execute(select(INVOICES).where(INVOICES.c.id == invoice))).one()
    assert (row.posted, row.approval_status, row.reviewrequired) == (True, 2, False)
    assert row.datesent is not None
    assert row.dateposted is not None
    assert await audited(paydue.database, invoice) == [
        ("reviewrequired", "grace"), ("reviewrequired", "grace"), ("approval_status", "grace"),
        ("approval_status", "grace"), ("approval_status", "grace"), ("datesent", "grace"),
        ("posted", "grace"), ("dateposted", "grace"),
    ]  # fmt: skip


async def test_a_voided_invoice_and_a_template_are_not_marked(paydue: Paydue, run: Command) -> None:
    invoice = await paydue.an_invoice("10.00")
    async with paydue.database.transaction() as tx:
        await tx.execute(update(INVOICES).where(INVOICES.c.id == invoice).values(voided=True))

    voided = await run("invoice", "mark", str(invoice), "sent", "--who", "grace")
    template = await run("invoice", "mark", "--who", "grace", "--", "-2", "sent")

    assert (voided.code, "it is voided" in voided.err) == (FAILED, True)
    assert (template.code, "does not exist" in template.err) == (FAILED, True)
