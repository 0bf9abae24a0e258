"""The drill: everything is lost, a backup is restored, and nobody is charged twice."""

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import orjson
import pytest
from sqlalchemy import make_url

from app.cli.database_backup import RestoreReport, back_up, restore
from app.cli.import_file import import_records
from app.errors import ConfigurationError, DamagedDatabase, Refused
from app.ledger import journal_check
from app.ledger.autopay_pauses import end_pause
from app.ledger.journal_check import BookDifference
from app.node import open_database
from app.payments.reconciliation import cursor
from app.payments.status import totals_by_currency
from app.payments.stripe.gateway import NoAnswer
from app.sandbox.server import Sandbox
from app.settings import Settings
from app.storage.engines import Database
from tests.conftest import dropped
from tests.harness import CLIENTS, INVOICES, NO_STRIPE, Paydue, settings_for

pytestmark = pytest.mark.anyio

KEYS_ARE_GONE = 25 * 3600


@pytest.fixture
def empty_place(database_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the restored database is to be: a new host's file, or a new database of the server."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'restored.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"{make_url(database_url).database}_restored"
    url: str = server.create(name)
    yield url
    asyncio.run(dropped(server, url))


async def test_everything_is_lost_and_nobody_is_charged_twice(
    empty_place: str, sandbox: Sandbox, stripe_url: str, database_url: str, tmp_path: Path
) -> None:
    after = settings_for(empty_place, stripe_url)
    lost = await _lose(settings_for(database_url, stripe_url), sandbox, tmp_path / "nightly")

    restored = await restore(after, tmp_path / "nightly", replace=False)
    async with Paydue.running(after, sandbox) as found:
        await _let_autopay_go_on(found, restored)
        charged = (await found.autopay())["charged"]
        (new,) = await _enter(found, "40.00")
        await found.autopay()
        await found.deliver(*sandbox.events)
        differences = await _differences(found)
        owed = [(await found.invoice(one)).amountdue for one in lost.saved]
        async with found.database.snapshot() as tx:
            booked = (await totals_by_currency(tx))["usd"]

    assert (restored.differences, differences) == (0, [])
    assert restored.brought_back is not None
    assert restored.brought_back["attempts_restored"] == 4
    missing = {f"invoice {lost.entered_later} does not exist"}
    assert {one["error"] for one in restored.waiting} == missing
    assert charged == []
    assert sandbox.ledger.double_charges() == {}
    assert new > lost.entered_later
    assert owed == [0, 0, 25]
    assert sum(one.amount for one in sandbox.ledger.charges()) == 13_000
    assert restored.unapplied == {"usd": "30.00"}
    assert (booked.payments, booked.invoices) == (130, 130 - 30)


@dataclass(frozen=True)
class Lost:
    """Invoices: those whose charge the backup does not know, and one that it does not know."""

    saved: list[int]
    entered_later: int


async def _lose(settings: Settings, sandbox: Sandbox, backup: Path) -> Lost:
    """Charge some invoices before a backup and some after it; the idempotency keys are gone too."""
    async with Paydue.running(settings, sandbox) as lost:
        await _enter(lost, "10.00", "10.00")
        await lost.autopay()
        saved = await _enter(lost, "20.00", "20.00")
        saved += await _enter(lost, "25.00", card="stolen_card")
        assert (await back_up(settings, backup)).differences == 0
        await lost.autopay()
        (entered_later,) = await _enter(lost, "30.00")
        await lost.autopay()
    sandbox.clock.advance(KEYS_ARE_GONE)
    return Lost(saved, entered_later)


async def test_until_stripe_is_read_to_its_end_nothing_is_charged(
    database_url: str, empty_place: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path
) -> None:
    before, after = settings_for(database_url, stripe_url), settings_for(empty_place, stripe_url)
    async with Paydue.running(before, sandbox) as lost:
        await lost.reconcile()
        (invoice,) = await _enter(lost, "20.00")
        await back_up(before, tmp_path / "backup")
        await lost.autopay()
    sandbox.clock.advance(KEYS_ARE_GONE)

    sandbox.fault("GET /v1/payment_intents", kind="status", status=503, times=500)
    cut_off = await restore(after, tmp_path / "backup", replace=False)
    async with Paydue.running(after, sandbox) as found:
        await _let_autopay_go_on(found, cut_off)
        with pytest.raises(NoAnswer, match="nothing was charged"):
            await found.autopay()
        with pytest.raises(NoAnswer, match="nothing was charged"):
            await found.node.retry_charge(invoice, reason="he called", who="tests")
        sandbox.clear_faults()
        await found.reconcile()
        charged = (await found.autopay())["charged"]

    assert (cut_off.brought_back, cut_off.needs_a_person) == (None, True)
    assert charged == []
    assert len(sandbox.ledger.charges()) == 1


async def test_nobody_is_charged_for_a_bank_transfer_that_the_backup_does_not_know(
    database_url: str, empty_place: str, sandbox: Sandbox, stripe_url: str, tmp_path: Path
) -> None:
    before, after = settings_for(database_url, stripe_url), settings_for(empty_place, stripe_url)
    async with Paydue.running(before, sandbox) as lost:
        paid, owed = await _enter(lost, "20.00", "30.00")
        await back_up(before, tmp_path / "backup")
        await _type_in(lost, paid, 20)

    restored = await restore(after, tmp_path / "backup", replace=False)
    async with Paydue.running(after, sandbox) as found:
        held = await found.autopay()
        await _type_in(found, paid, 20)
        await _let_autopay_go_on(found, restored)
        charged = (await found.autopay())["charged"]

    assert held["charged"] == []
    assert [one["invoice_id"] for one in charged] == [owed]
    assert sum(one.amount for one in sandbox.ledger.charges()) == 3_000


async def _type_in(paydue: Paydue, invoice: int, amount: int) -> None:
    headers = await paydue.access()
    body = [{"invoice_id": invoice, "amount": amount}]
    async with paydue.http.post("/api/InvoicePayment", json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()


async def _let_autopay_go_on(paydue: Paydue, restored: RestoreReport) -> None:
    now = paydue.database.now()
    async with paydue.database.transaction() as tx:
        await end_pause(tx, restored.pause_id, who="tests", now=now)


async def _enter(paydue: Paydue, *totals: str, card: str = "succeed") -> list[int]:
    """Invoices due today, entered as an import does it, so that the journal has them."""
    clients = []
    for total in totals:
        client = await paydue.a_client(card)
        (row,) = await paydue.rows(CLIENTS, CLIENTS.c.id == client)
        line = {"item_shortdescription": "Support", "qty_order": 1, "unit_price": total}
        invoice = {"due_in_days": 0, "take_auto_payment": True, "lines": [line]}
        names = ("name", "stripe_customer_id", "stripe_payment_method_id")
        clients.append({**{name: getattr(row, name) for name in names}, "invoices": [invoice]})
    body = orjson.dumps({"clients": clients})
    before = {row.id for row in await paydue.rows(INVOICES, INVOICES.c.id > 0)}
    await import_records(paydue.database, paydue.node.settings, body)
    return [row.id for row in await paydue.rows(INVOICES, INVOICES.c.id.not_in(before))]


async def _differences(paydue: Paydue) -> list[BookDifference]:
    async with paydue.database.snapshot() as tx:
        return await journal_check.list_differences(tx)


# --- what is refused -------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, sqlite_template: Path) -> Settings:
    """A SQLite database; Stripe is away."""
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'paydue.db')}"
    return settings_for(url, NO_STRIPE)


async def test_a_restore_that_could_destroy_something_is_refused(
    here: Settings, tmp_path: Path
) -> None:
    place, good = tmp_path / "paydue.db", tmp_path / "backup.db"
    await back_up(here, good)
    cases = {
        "damaged.db": (DamagedDatabase, "malformed|damaged"),
        "text.db": (DamagedDatabase, "no whole SQLite database"),
        "raw.db": (Refused, "raw.db-wal lies beside"),
        "newer.db": (ConfigurationError, "newer version"),
    }
    (tmp_path / "damaged.db").write_bytes(_damaged(good))
    (tmp_path / "text.db").write_text("no database, but long enough to be read as one " * 99)
    shutil.copy(good, tmp_path / "raw.db")
    (tmp_path / "raw.db-wal").write_bytes(b"left behind")
    _set_revision(good, tmp_path / "newer.db", "9999")
    content = place.read_bytes()

    with pytest.raises(Refused, match="written over another"):
        await back_up(here, good)
    for name, (error, words) in cases.items():
        with pytest.raises(error, match=words):
            await restore(here, tmp_path / name, replace=True)
    with pytest.raises(Refused, match="--replace"):
        await restore(here, good, replace=False)
    assert place.read_bytes() == content

    place.unlink()
    (tmp_path / "paydue.db-wal").write_bytes(b"left behind")
    with pytest.raises(Refused, match="--replace"):
        await restore(here, good, replace=False)
    done = await restore(here, good, replace=True)

    assert done.aside is not None
    assert _content(f"{done.aside}-wal") == b"left behind"
    assert [name for name in os.listdir(tmp_path) if name.startswith(".paydue-")] == []  # noqa: PTH208


async def test_a_database_that_a_process_has_open_is_never_replaced(
    here: Settings, tmp_path: Path
) -> None:
    await back_up(here, tmp_path / "backup.db")
    opens = (
        f"import sqlite3; c = sqlite3.connect({str(tmp_path / 'paydue.db')!r})\n"
        "c.execute('PRAGMA journal_mode=WAL'); c.execute('SELECT count(*) FROM invoice')\n"
        "print('open', flush=True); input()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", opens, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()

    with pytest.raises(Refused, match="a process has"):
        await restore(here, tmp_path / "backup.db", replace=True)
    process.kill()
    await process.communicate()
    done = await restore(here, tmp_path / "backup.db", replace=True)

    assert done.aside is not None


async def test_a_postgres_database_that_is_used_is_never_restored_into(
    database_url: str, empty_place: str, tmp_path: Path
) -> None:
    if database_url.startswith("sqlite"):
        return
    there, empty = settings_for(database_url, NO_STRIPE), settings_for(empty_place, NO_STRIPE)
    await back_up(there, tmp_path / "dump")
    (tmp_path / "cut").write_bytes((tmp_path / "dump").read_bytes()[:5000])

    with pytest.raises(Refused, match="has tables"):
        await restore(there, tmp_path / "dump", replace=False)
    with pytest.raises(DamagedDatabase, match="no whole dump"):
        await restore(empty, tmp_path / "cut", replace=False)
    other = await asyncpg.connect(empty_place)
    with pytest.raises(Refused, match="somebody is connected"):
        await restore(empty, tmp_path / "dump", replace=False)
    await other.close()


async def test_a_backup_is_of_one_moment_while_others_write(here: Settings, tmp_path: Path) -> None:
    async with open_database(here) as database:
        written, stop = asyncio.Event(), asyncio.Event()
        writing = asyncio.create_task(_write(database, written, stop))
        await written.wait()
        made = await back_up(here, tmp_path)
        stop.set()
        await writing

    with closing(sqlite3.connect(made.file)) as opened:
        (rows,) = opened.execute("SELECT count(*) FROM client").fetchone()
        (mode,) = opened.execute("PRAGMA journal_mode").fetchone()
    assert (rows % 2, mode) == (0, "delete")
    assert rows > 0
    assert os.stat(made.file).st_mode & 0o077 == 0  # noqa: PTH116


async def _write(database: Database, written: asyncio.Event, stop: asyncio.Event) -> None:
    while not stop.is_set():
        async with database.transaction() as tx:
            for _ in range(2):
                await tx.execute(CLIENTS.insert().values(name="one of two"))
        written.set()
        await asyncio.sleep(0.01)  # another process has its turn as well


async def test_the_mark_of_a_restore_ends_with_a_complete_pass(paydue: Paydue) -> None:
    await paydue.reconcile()
    async with paydue.database.transaction() as tx:
        await cursor.mark_restored(tx, datetime.now(UTC) - timedelta(minutes=1))
    paydue.sandbox.requests.clear()

    await paydue.autopay()
    paths = {one.path for one in paydue.sandbox.requests}
    async with paydue.database.snapshot() as tx:
        mark = await cursor.load_restored_at(tx)

    assert "/v1/payment_intents" in paths
    assert mark is None


def _content(file: str) -> bytes:
    return Path(file).read_bytes()


def _damaged(file: Path) -> bytes:
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 20_000] = b"\xff" * 20_000
    return bytes(content)


def _set_revision(source: Path, to: Path, revision: str) -> None:
    shutil.copy(source, to)
    with closing(sqlite3.connect(to)) as opened:
        opened.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        opened.commit()
