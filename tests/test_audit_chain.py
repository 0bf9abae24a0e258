"""Changes of invoices say who really wrote them, and a chain of hashes shows what was changed."""

import asyncio
import re
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, text, update

from app.ledger import audit, audit_chain
from app.ledger.audit import CHANGES, AuditChange
from app.ledger.audit_chain import BATCH, SEALS, ChainCheck
from app.storage.engines import Database
from tests.clock import NOW
from tests.harness import NO_STRIPE, Paydue, event
from tests.service import Service
from tests.test_cli import DONE, FAILED, command

pytestmark = pytest.mark.anyio


async def write(database: Database, count: int) -> None:
    changes = [AuditChange(one, "reference", None, f"R{one}") for one in range(count)]
    async with database.transaction() as tx:
        await audit.write(tx, changes, who="Ada", now=NOW)


async def check(database: Database, expected: str | None = None) -> ChainCheck:
    async with database.snapshot() as tx:
        return await audit_chain.verify(tx, expected)


async def ids(database: Database) -> list[int]:
    async with database.snapshot() as tx:
        return list(await tx.scalars(select(CHANGES.c.id).order_by(CHANGES.c.id)))


async def test_a_chain_that_nobody_touched_is_true_and_goes_on(database: Database) -> None:
    assert (await check(database)).faults == []
    await write(database, BATCH + 3)
    sealed, first = await audit_chain.seal(database)
    await write(database, 2)
    before = await check(database)
    again, second = await audit_chain.seal(database)

    after = await check(database, expected=str(first))

    assert (sealed, again) == (BATCH + 3, 2)
    assert (before.changes, before.unsealed, before.head) == (BATCH + 3, 2, first)
    assert (after.changes, after.unsealed, after.head) == (BATCH + 5, 0, second)
    assert (before.faults, after.faults) == ([], [])
    assert (await audit_chain.seal(database)) == (0, second)


@pytest.mark.parametrize(
    "values",
    [
        {"who": "Eve"},
        {"old_value": "1"},
        {"new_value": None},
        {"invoice_id": 77},
        {"datetime": NOW.replace(year=2020)},
        {"written_at": NOW.replace(year=2020)},
        {"access_id": 4},
        {"extra": {"a": 1}},
    ],
    ids=lambda values: next(iter(values)),
)
async def test_an_edit_of_any_column_is_named_by_its_change(
    database: Database, values: dict[str, object]
) -> None:
    await write(database, 3)
    await audit_chain.seal(database)
    second = (await ids(database))[1]
    async with database.transaction() as tx:
        await tx.execute(update(CHANGES).where(CHANGES.c.id == second).values(values))

    found = await check(database)

    assert found.faults == [f"change {second} was edited after seal 1"]


async def test_a_gap_and_an_addition_behind_a_seal_are_named(database: Database) -> None:
    await write(database, 3)
    await audit_chain.seal(database)
    second = (await ids(database))[1]
    async with database.transaction() as tx:
        await tx.execute(delete(CHANGES).where(CHANGES.c.id == second))
        await tx.execute(insert(CHANGES).values(id=-5, type_id=0, field_id=0, who="Eve"))

    found = await check(database)

    assert found.faults == ["change -5 was added behind seal 1", f"change {second} is gone"]


async def test_a_seal_that_is_gone_or_was_made_anew_is_named(database: Database) -> None:
    heads = []
    for _ in range(3):
        await write(database, 1)
        heads.append((await audit_chain.seal(database))[1])
    async with database.transaction() as tx:
        await tx.execute(update(SEALS).where(SEALS.c.number == 1).values(hash="0" * 64))
        await tx.execute(delete(SEALS).where(SEALS.c.number == 3))

    found = await check(database, expected=str(heads[2]))

    assert found.faults == [
        "seal 1 does not follow from the one before it",
        "seal 2 does not follow from the one before it",
        f"the seal {heads[2]} is not in the chain",
    ]


async def test_sealers_and_writers_at_once_fork_nothing_and_leave_nothing_out(
    database: Database,
) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(write(database, 20))
            group.create_task(audit_chain.seal(database))
    await audit_chain.seal(database)

    found = await check(database)

    assert (found.changes, found.unsealed, found.faults) == (120, 0, [])


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_change_whose_id_was_given_and_is_not_committed_is_waited_for(
    database: Database,
) -> None:
    open_one, written = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        async with database.transaction() as tx:
            await audit.write(tx, [AuditChange(1, "reference", None, "late")], who="A", now=NOW)
            written.set()
            await open_one.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(late())
        await written.wait()
        await write(database, 1)
        sealing = group.create_task(audit_chain.seal(database))
        async with database.snapshot() as tx:
            await tx.execute(text("SELECT 1"))
        open_one.set()
        await sealing

    found = await check(database)
    assert (found.changes, found.unsealed, found.faults) == (2, 0, [])


async def test_the_command_names_a_fault_and_ends_in_1(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    paydue = command(tmp_path, NO_STRIPE).having(PAYDUE_DATABASE_URL=database_url)
    await write(database, 3)
    _, head = await audit_chain.seal(database)
    await write(database, 1)

    clean = await paydue("audit", "verify", "--expect", str(head))
    async with database.transaction() as tx:
        await tx.execute(update(CHANGES).values(who="Eve").where(CHANGES.c.new_value == "R1"))
    edited = await paydue("audit", "verify")
    foreign = await paydue("audit", "verify", "--expect", "1:" + "0" * 64)

    assert (clean.code, clean.err) == (DONE, "")
    assert clean.out == f"3 changes are sealed, 1 newer ones are not yet\nhead {head}\n"
    assert edited.code == foreign.code == FAILED
    [fault] = edited.err.splitlines()
    assert re.fullmatch(r"change \d+ was edited after seal 1", fault)
    assert "is not in the chain" in foreign.err


async def test_a_change_names_the_credential_that_wrote_it_whatever_it_says(
    service: Service,
) -> None:
    invoice = (await service.api.invoice(100))["id"]
    forged = {"invoice_id": invoice, "field_name": "x", "who": "cfo@example.com",
              "datetime": "2020-01-01T00:00:00", "access_id": 4711,
              "written_at": "2020-01-01T00:00:00"}  # fmt: skip
    await service.api.post("/api/InvoiceChange", forged)

    shown = await service.api.get("/api/InvoiceChange", invoice_id=invoice)

    [made] = [one for one in shown if one.get("field_name") == "x"]
    assert made["who"] == "cfo@example.com"
    assert made["access_id"] == await service.caller_id()
    assert made["written_at"] > "2025"


async def test_a_change_by_stripes_event_names_no_credential(paydue: Paydue) -> None:
    headers = await paydue.access()
    async with paydue.http.get("/api/Invoice", headers=headers) as answer:
        assert answer.status == 200
    invoice = await paydue.an_invoice()

    await paydue.deliver(event("payment_intent.succeeded", await paydue.own_intent(invoice)))

    changes = await paydue.rows(CHANGES, CHANGES.c.invoice_id == invoice)
    assert changes
    assert {one.access_id for one in changes} == {None}
    assert all(one.written_at for one in changes)
