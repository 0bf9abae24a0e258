"""The schema goes up and down on both engines, is the models', and its indexes are used."""

import ast
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
)

from app.errors import ConfigurationError
from app.ledger import journal_check, payout_lines
from app.migrations import versions
from app.node import open_stripe_node
from app.payments import lookup
from app.payments.autopay import candidates, spending_limits
from app.payments.status import status
from app.payments.webhook import dead_letters
from app.storage import engines, schema
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.clients import Client
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice, InvoiceLine
from app.storage.tables.journal_entries import JournalEntry, JournalLine
from app.storage.tables.stripe_events import StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_payouts import BalanceTransaction, StripePayout
from app.storage.tables.stripe_refund_requests import RefundRequest
from app.storage.tables.stripe_reversals import StripeReversal
from tests.harness import settings_for, watched
from tests.ledger_acts import RandomActs

pytestmark = pytest.mark.anyio

ATTEMPTS = table_of(ChargeAttempt)
CLIENTS = table_of(Client)
ENTRIES = table_of(JournalEntry)
EVENTS = table_of(StripeEvent)
FACTS = table_of(InstallationValue)
INVOICES = table_of(Invoice)
JOURNAL_LINES = table_of(JournalLine)
LINES = table_of(InvoiceLine)
PAYMENTS = table_of(InvoicePayment)
PAYOUTS = table_of(StripePayout)
TRANSACTIONS = table_of(BalanceTransaction)
INTENTS = table_of(StripePayment)
REVERSALS = table_of(StripeReversal)
REQUESTS = table_of(RefundRequest)
NOW = datetime.now(UTC)
TODAY = date(2026, 3, 2)
MANY = 4000
FIVE = 5


@pytest.fixture
async def empty(database: Database) -> Database:
    """A database without a schema."""
    await schema.downgrade(database, "base")
    return database


# --- up and down -----------------------------------------------------------------------------


async def test_every_revision_can_be_undone_and_made_again_with_data_in_it(
    database: Database,
) -> None:
    revisions = [one.revision for one in _scripts().walk_revisions()]

    for number, revision in enumerate(revisions, start=1):
        await _filled(database, number)
        below = _scripts().get_revision(revision).down_revision
        await schema.downgrade(database, below or "base")
        assert await schema.revision(database) == below
        await schema.upgrade(database)

    assert await schema.revision(database) == schema.head()
    await _filled(database)


BAG = {
    "name": 'kept \u00e9 "period"',
    "period": 2,
    "due_date_type": 1,
    "due_date_int": 14,
    "customfields": [{"id": 1, "value": 2.5}],
}
LINE_BAG = {
    "comment_1": "kept",
    "onetimecharge": True,
    "onetimechargeinvoiceid": 7,
    "startdate": "2026-01-31T23:30:00",
    "enddate": "2026-12-31T00:00:00.250000",
    "prorata_data": [{"quantity": 1.5, "site_id": None}],
}
# Numbers that a column cannot hold: they are what was computed with, or as near as can be.
ODD_BAG = {"period": 2.0, "due_date_type": 1e20, "due_date_int": 14.9, "name": "odd"}


async def test_what_decides_money_moves_into_columns_and_back(database: Database) -> None:
    await schema.downgrade(database, "0001")
    invoices = [{"id": -2, "extra": BAG}, {"id": 1, "extra": ODD_BAG}, {"id": 2, "extra": None}]
    invoices += [{"id": number, "extra": BAG} for number in range(3, 2100)]
    lines = [{"id": number, "ihid": number, "extra": LINE_BAG} for number in range(1, 1100)]
    async with database.transaction() as tx:
        await tx.execute(insert(await _present(tx, INVOICES)), invoices)
        await tx.execute(insert(await _present(tx, LINES)), lines)

    await schema.upgrade(database, "0002")

    kept = {name: BAG[name] for name in ("name", "customfields")}
    moved = {one.id: one for one in await _rows(database, INVOICES)}
    first, odd, last = moved[-2], moved[1], moved[2099]
    for one in (first, last):
        assert (one.period, one.due_date_type, one.due_date_int, one.extra) == (2, 1, 14, kept)
    assert (odd.period, odd.due_date_type, odd.due_date_int) == (2, 2**31 - 1, 14)
    assert (odd.extra, moved[2].extra, moved[2].period) == ({"name": "odd"}, None, None)
    for line in await _rows(database, LINES):
        assert (line.onetimecharge, line.onetimechargeinvoiceid) == (True, 7)
        assert line.startdate == datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
        assert line.enddate == datetime(2026, 12, 31, microsecond=250_000, tzinfo=UTC)
        assert (line.prorata_data, line.extra) == (LINE_BAG["prorata_data"], {"comment_1": "kept"})

    await schema.downgrade(database, "0001")

    bags = {one.id: one.extra for one in await _rows(database, INVOICES, "id", "extra")}
    assert (bags[-2], bags[2], bags[2099]) == (BAG, None, BAG)
    assert all(one.extra == LINE_BAG for one in await _rows(database, LINES, "id", "extra"))


async def test_verdicts_are_told_apart_by_who_said_them_and_go_back(database: Database) -> None:
    await schema.downgrade(database, "0003")
    ends = {
        1: ("declined", "resource_missing", None),
        2: ("declined", "amount_too_small", None),
        3: ("declined", "card_declined", "stolen_card"),
        4: ("declined", "card_declined", "highest_risk_level"),
        5: ("declined", "requires_action", None),
        6: ("succeeded", None, None),
    }
    methods = {1: ("pm_saved", "pm_saved"), 2: ("pm_own", "pm_saved"), 3: ("pm_own", None)}
    async with database.transaction() as tx:
        await tx.execute(insert(await _present(tx, INVOICES)), [_invoice(one) for one in ends])
        rows = [
            {**_attempt(one - 1), "state": state, "code": code, "decline_code": decline_code,
             "reason": "stolen_card: the card network forbids another try" if one == 3 else None}
            for one, (state, code, decline_code) in ends.items()
        ]  # fmt: skip
        await tx.execute(insert(await _present(tx, ATTEMPTS)), rows)
        rows = [
            {"name": "A", "stripe_payment_method_id": own, "stripe_saved_method_id": saved}
            for own, saved in methods.values()
        ]
        await tx.execute(insert(await _present(tx, CLIENTS)), rows)

    await schema.upgrade(database, "0004")

    verdicts = [(one.state, one.decline_source) for one in await _rows(database, ATTEMPTS)]
    assert verdicts == [
        ("refused", "request"), ("refused", "request"), ("declined", "network"),
        ("declined", "stripe"), ("declined", "stripe"), ("succeeded", None),
    ]  # fmt: skip
    forbidden = [one.network_forbids for one in await _rows(database, ATTEMPTS)]
    assert forbidden == [None, None, True, None, None, None]
    assert await _own_methods(database) == [None, "pm_own", "pm_own"]

    await schema.downgrade(database, "0003")

    states = [one.state for one in await _rows(database, ATTEMPTS)]
    assert states == [state for state, *_ in ends.values()]
    assert await _own_methods(database) == ["pm_saved", "pm_own", "pm_own"]


async def test_the_journal_opens_with_the_books_of_before(database: Database) -> None:
    acts = RandomActs(database, seed=11)
    await acts.begin()
    for _ in range(60):
        await acts.act()
    async with database.transaction() as tx:
        await tx.execute(insert(TRANSACTIONS), [_transaction(number) for number in range(3)])
        await tx.execute(insert(INVOICES).values(_invoice(1, id=-2, is_recurring_invoice=True)))
        await tx.execute(
            insert(TRANSACTIONS),
            [
                {**_transaction(number), "type": kind, "source_id": source}
                for number, (kind, source) in enumerate(
                    (("payout", "po_1"), ("stripe_fee", None), ("adjustment", "du_1")), start=10
                )
            ],
        )
    balances = await _journal_balances(database)
    await schema.downgrade(database, "0008")

    await schema.upgrade(database)

    async with database.snapshot() as tx:
        assert await journal_check.differences(tx) == []
    opened = await _journal_balances(database)
    stripes = ("bank", "disputes", "fees", "stripe_balance", "stripe_clearing")
    known = {key: amount for key, amount in balances.items() if key[0] not in stripes}
    assert {key: amount for key, amount in opened.items() if key[0] not in stripes} == known
    assert {key[0] for key in opened} >= {"receivable", "income", "cash", "bank", "fees"}


async def _journal_balances(database: Database) -> dict[tuple[str, str, int | None], Decimal]:
    """The balances that are not zero, by account, currency and client."""
    statement = select(
        JOURNAL_LINES.c.account, ENTRIES.c.currency_iso, JOURNAL_LINES.c.client_id,
        JOURNAL_LINES.c.amount,
    ).where(JOURNAL_LINES.c.entry_id == ENTRIES.c.id)  # fmt: skip
    found: dict[tuple[str, str, int | None], Decimal] = {}
    async with database.snapshot() as tx:
        for account, currency, client, amount in await tx.execute(statement):
            key = account, currency, client
            found[key] = found.get(key, Decimal(0)) + amount
    return {key: amount for key, amount in found.items() if amount}


async def _own_methods(database: Database) -> list[str | None]:
    return [one.stripe_payment_method_id for one in await _rows(database, CLIENTS)]


async def test_nothing_is_left_after_the_last_step_down(empty: Database) -> None:
    async with empty.snapshot() as tx:
        left = await tx.run_sync(lambda connection: inspect(connection).get_table_names())

    assert set(left) <= {"alembic_version"}
    assert await schema.revision(empty) is None


async def test_the_migrated_schema_is_the_models(database: Database) -> None:
    async with database.snapshot() as tx:
        differences = await tx.run_sync(_differences)

    assert differences == []


def test_a_migration_imports_nothing_that_may_change_after_it() -> None:
    files = sorted(Path(versions.__file__).parent.glob("[0-9]*.py"))

    imported = {
        file.name: [one for one in _imports(file) if one.startswith("app")] for file in files
    }

    assert imported == {file.name: [] for file in files}
    assert len(files) == len(list(_scripts().walk_revisions()))


async def test_up_again_changes_nothing(database: Database) -> None:
    await _filled(database)
    name = await schema.installation(database)

    await schema.upgrade(database)

    assert await schema.installation(database) == name
    assert await _count(database, INVOICES) == 1


async def test_five_nodes_that_start_at_once_upgrade_once(
    empty: Database, database_url: str
) -> None:
    nodes = [Database(database_url) for _ in range(FIVE)]

    await asyncio.gather(*(schema.upgrade(node) for node in nodes))

    names = {await schema.installation(node) for node in nodes}
    revisions = {await schema.revision(node) for node in nodes}
    for node in nodes:
        await node.close()
    assert (len(names), revisions) == (1, {schema.head()})


async def test_a_node_waits_for_another_ones_long_migration(
    empty: Database, database_url: str
) -> None:
    other = Database(database_url)
    began = asyncio.Event()

    async def migrates_long() -> None:
        async with schema.turn_to_migrate(other):
            began.set()
            await asyncio.sleep(engines.WAIT_S + 0.5)

    holder = asyncio.create_task(migrates_long())
    await began.wait()

    await schema.upgrade(empty)

    assert holder.done(), "it was this one's turn before the other had ended"
    assert await schema.revision(empty) == schema.head()
    await holder
    await other.close()


# --- the schema that is expected -------------------------------------------------------------


async def test_an_empty_database_is_refused_with_the_mend(empty: Database) -> None:
    with pytest.raises(ConfigurationError, match="is empty; run: paydue db upgrade"):
        await schema.expect_usable(empty)


async def test_another_versions_schema_is_refused_with_the_mend(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '0001'"))

    with pytest.raises(ConfigurationError) as said:
        await schema.expect_usable(database)

    assert f"at schema 0001, this version needs {schema.head()}" in str(said.value)
    assert "paydue db upgrade" in str(said.value)


async def test_a_newer_schema_that_only_adds_is_used_and_any_other_is_refused_in_words(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        await tx.execute(delete(FACTS).where(FACTS.c.name == schema.OLDEST_CODE))
    with pytest.raises(ConfigurationError) as said:
        await schema.expect_usable(database)
    refused = str(said.value)
    async with database.transaction() as tx:
        value = {"name": schema.OLDEST_CODE, "value": schema.head()}
        await tx.execute(insert(FACTS).values(value))

    found = await schema.expect_usable(database)
    await schema.upgrade(database)

    assert "at schema 9999, which a newer version of Paydue has made" in refused
    assert f"paydue db downgrade {schema.head()}" in refused
    assert (found.at, found.is_newer, found.is_usable) == ("9999", True, True)
    assert "can work with it" in found.words()
    assert await schema.revision(database) == "9999"


async def test_the_database_names_the_oldest_code_that_can_work_with_it(
    database: Database,
) -> None:
    found = {}
    for revision in ("0024", "0023", "0022"):
        await schema.downgrade(database, revision)
        found[revision] = await _oldest_code(database)
    await schema.upgrade(database, "0024")

    assert found == {"0024": "0022", "0023": "0022", "0022": None}
    assert await _oldest_code(database) == "0022"


async def _oldest_code(database: Database) -> str | None:
    async with database.snapshot() as tx:
        named = FACTS.c.name == schema.OLDEST_CODE
        found: str | None = await tx.scalar(select(FACTS.c.value).where(named))
        return found


async def test_a_migration_that_says_so_only_adds(database: Database) -> None:
    scripts = [one for one in _scripts().walk_revisions() if schema.expands(one)]

    for script in scripts:
        assert isinstance(script.down_revision, str)
        await schema.downgrade(database, script.down_revision)
        before = await _shape(database)
        await schema.upgrade(database, script.revision)
        after = await _shape(database)

        assert before.keys() <= after.keys(), script.revision
        for table, shape in before.items():
            added = after[table].columns.keys() - shape.columns.keys()
            kept = {name: after[table].columns[name] for name in shape.columns}
            assert kept == shape.columns, (script.revision, table)
            assert all(after[table].columns[name].may_be_left_out for name in added), script
            assert after[table].rules <= shape.rules, (script.revision, table)
    assert len(scripts) >= 2


@dataclass(frozen=True)
class ColumnShape:
    type: str
    nullable: bool
    may_be_left_out: bool


@dataclass(frozen=True)
class TableShape:
    """A table's columns, and the rules that refuse rows of it."""

    columns: dict[str, ColumnShape]
    rules: set[str]


async def _shape(database: Database) -> dict[str, TableShape]:
    def read(connection: Connection) -> dict[str, TableShape]:
        found = inspect(connection)
        return {
            table: TableShape(
                {one["name"]: _column_shape(one) for one in found.get_columns(table)},
                {str(one["name"]) for one in found.get_indexes(table) if one["unique"]}
                | {str(one["name"]) for one in found.get_unique_constraints(table)}
                | {str(one["constrained_columns"]) for one in found.get_foreign_keys(table)}
                | {str(one["sqltext"]) for one in found.get_check_constraints(table)},
            )
            for table in found.get_table_names()
        }

    async with database.snapshot() as tx:
        return await tx.run_sync(read)


def _column_shape(column: Any) -> ColumnShape:
    optional = column["nullable"] or column["default"] is not None
    return ColumnShape(str(column["type"]), column["nullable"], optional)


async def test_the_current_schema_is_taken(database: Database) -> None:
    await schema.expect_usable(database)

    assert len(await schema.installation(database)) == 8


async def test_two_installations_have_two_names(database: Database) -> None:
    before = await schema.installation(database)

    await schema.downgrade(database, "base")
    await schema.upgrade(database)

    assert await schema.installation(database) != before


# --- indexes ---------------------------------------------------------------------------------

Ask = Callable[[Tx], Awaitable[Any]]


async def _due(tx: Tx) -> Any:
    return await candidates.list_due(tx, TODAY, None)


async def _due_further(tx: Tx) -> Any:
    return await candidates.list_due(tx, TODAY, (TODAY, 17))


async def _due_unflagged(tx: Tx) -> Any:
    return await candidates.list_due(tx, TODAY, (TODAY, 17), flagged=False)


async def _taken_of_a_day(tx: Tx) -> Any:
    day = TODAY + timedelta(days=1)
    return await spending_limits._OF_DAY.all(tx, day=day, currency="usd", states=["succeeded"])


async def _story(tx: Tx) -> Any:
    return await lookup.find_intents(tx, "pi_17")


async def _charge(tx: Tx) -> Any:
    return await lookup.find_intents(tx, "ch_17")


async def _number(tx: Tx) -> Any:
    return await lookup.find_intents(tx, "INV-17")


async def _status(tx: Tx) -> Any:
    return await status(tx, now=NOW, timezone="UTC")


async def _owners(tx: Tx) -> Any:
    return await payout_lines.load_owners(tx, ["ch_17", "re_17"])


async def _fees(tx: Tx) -> Any:
    return await payout_lines.list_movements(tx, ["pi_17"])


async def _payout(tx: Tx) -> Any:
    await payout_lines.list_payouts(tx, 2)
    return [one async for one in payout_lines.iterate_lines(tx, "po_17")]


@pytest.mark.parametrize(
    ("ask", "table", "index"),
    [
        (_due, "FROM invoice", "ix_invoice_autopay_due"),
        (_due_further, "FROM invoice", "ix_invoice_autopay_due"),
        (_due_unflagged, "FROM invoice", "ix_invoice_unflagged_due"),
        (_taken_of_a_day, "FROM charge_attempt", "ix_charge_attempt_business_day"),
        (_story, "FROM invoice_payment", "uq_invoice_payment_intent_invoice"),
        (_story, "FROM stripe_event", "ix_stripe_event_intent_id"),
        (_charge, "charge_id =", "ix_stripe_payment_charge_id"),
        (_number, "invoicenumber =", "ix_invoice_invoicenumber"),
        (_status, "FROM stripe_event", "ix_stripe_event_open"),
        (_status, "count(*)", "ix_invoice_autopay_due"),
        (_status, "datepaid >=", "ix_invoice_datepaid"),
        (_status, "'refused'", "ix_charge_attempt_refused"),
        (_status, "FROM stripe_reversal", "ix_stripe_reversal_dispute"),
        (_status, "FROM refund_request", "ix_refund_request_check"),
        (_story, "FROM stripe_reversal", "ix_stripe_reversal_intent_id"),
        (_story, "FROM refund_request", "ix_refund_request_intent_id"),
        (_owners, "FROM stripe_payment", "ix_stripe_payment_charge_id"),
        (_owners, "invoice_payment", "uq_invoice_payment_intent_invoice"),
        (_fees, "balance_transaction", "uq_stripe_payment_intent_id"),
        (_fees, "balance_transaction", "ix_balance_transaction_source_id"),
        (_payout, "FROM payout", "ix_payout_arrival_date"),
        (_payout, "FROM balance_transaction", "ix_balance_transaction_payout_id"),
        (_status, "FROM charge_attempt", "uq_charge_attempt_unresolved|ix_charge_attempt_check"),
    ],
)
async def test_a_query_uses_the_index_that_is_made_for_it(
    full: Database, ask: Ask, table: str, index: str
) -> None:
    plans = await _plans(full, ask)

    asked = [plan for statement, plan in plans if table in statement]
    assert asked
    assert any(one in plan for plan in asked for one in index.split("|")), asked


async def test_due_parked_events_are_found_by_their_small_index(full: Database) -> None:
    plans = await _plans_of(full, dead_letters.retry_due(full, "tests", NOW - timedelta(days=1)))

    ((_, plan),) = plans
    assert "ix_stripe_event_open" in plan


async def test_intents_to_ask_about_are_found_by_their_small_index(
    full: Database, database_url: str, stripe_url: str
) -> None:
    async with open_stripe_node(settings_for(database_url, stripe_url)) as node:
        work = node.reconciliation().run()
        plans = await _plans_of(node.database, work, about="stripe_payment.check_at <= ")

    assert plans
    assert all("ix_stripe_payment_check" in plan for _, plan in plans), plans


# --- what the tests are made of --------------------------------------------------------------


def _imports(file: Path) -> list[str]:
    """The modules that a file imports, at its top or within a function."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = [alias.name for one in nodes if isinstance(one, ast.Import) for alias in one.names]
    return [*plain, *(one.module or "app" for one in nodes if isinstance(one, ast.ImportFrom))]


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(schema._config())


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "include_name": _is_declared}
    )
    return list(compare_metadata(context, schema.METADATA))


def _is_declared(name: str | None, kind: str, _: Any) -> bool:
    """Search indexes are made by hand, FTS5's own tables with them; test_search looks at those."""
    return not (kind in ("table", "index") and "_search" in (name or ""))


async def _count(database: Database, table: Any) -> int:
    async with database.snapshot() as tx:
        return int(await tx.scalar(select(func.count()).select_from(table)) or 0)


async def _rows(database: Database, table: Table, *names: str) -> list[Any]:
    async with database.snapshot() as tx:
        present = await _present(tx, table)
        columns = [present.c[name] for name in names or present.c.keys()]
        return list(await tx.execute(select(*columns).order_by(present.c.id)))


async def _present(tx: Tx, table: Table) -> Table:
    """The table with those columns alone that the database has at its present revision."""
    found = await tx.run_sync(lambda connection: inspect(connection).get_columns(table.name))
    names = {one["name"] for one in found}
    columns = (
        Column(
            one.name, one.type, primary_key=one.primary_key, default=one.default and one.default.arg
        )
        for one in table.c
        if one.name in names
    )
    return Table(table.name, MetaData(), *columns)


async def _filled(database: Database, number: int = 0) -> None:
    async with database.transaction() as tx:
        client = await tx.scalar(
            insert(CLIENTS).values(name="A", inactive=False).returning(CLIENTS.c.id)
        )
        invoice = await tx.scalar(
            insert(INVOICES).values(_invoice(number, client_id=client)).returning(INVOICES.c.id)
        )
        await tx.execute(insert(EVENTS).values(_event(number)))
        await tx.execute(insert(INTENTS).values(_intent(number)))
        await tx.execute(insert(PAYMENTS).values(_payment(number, invoice_id=invoice)))
        await tx.execute(insert(PAYOUTS).values(_a_payout(number)))
        await tx.execute(insert(TRANSACTIONS).values(_transaction(number)))


@pytest.fixture
async def full(database: Database) -> Database:
    """So many rows, few of them open, that an engine has reason to use an index."""
    async with database.transaction() as tx:
        await tx.execute(insert(INVOICES), [_invoice(number) for number in range(MANY)])
        await tx.execute(insert(EVENTS), [_event(number) for number in range(MANY)])
        await tx.execute(insert(INTENTS), [_intent(number) for number in range(MANY)])
        await tx.execute(insert(PAYMENTS), [_payment(number) for number in range(MANY)])
        await tx.execute(insert(ATTEMPTS), [_attempt(number) for number in range(MANY)])
        await tx.execute(insert(PAYOUTS), [_a_payout(number) for number in range(MANY)])
        await tx.execute(insert(TRANSACTIONS), [_transaction(number) for number in range(MANY)])
        await tx.execute(insert(REVERSALS), [_a_reversal(number) for number in range(MANY)])
        await tx.execute(insert(REQUESTS), [_a_request(number) for number in range(MANY)])
        if not database.is_sqlite:
            await tx.execute(text("ANALYZE"))
    return database


def _is_rare(number: int) -> bool:
    return number % 100 == 17


def _invoice(number: int, **more: Any) -> dict[str, Any]:
    owed = Decimal(10) if _is_rare(number) else Decimal(0)
    return {
        "invoicenumber": f"INV-{number}",
        "invoice_date": NOW,
        "duedate": TODAY - timedelta(days=number % 60),
        "total": Decimal(10),
        "amountdue": owed,
        "amountpaid": 10 - owed,
        "take_auto_payment": True,
        "datepaid": None if owed else NOW - timedelta(hours=number),
        "paymentstatus": 0 if owed else 2,
        **more,
    }


def _a_reversal(number: int) -> dict[str, Any]:
    is_dispute = _is_rare(number)
    return {
        "id": f"re_{number}",
        "kind": "dispute" if is_dispute else "refund",
        "intent_id": f"pi_{number}",
        "amount": Decimal(1),
        "status": "needs_response" if is_dispute else "succeeded",
        "evidence_due_at": NOW if is_dispute else None,
    }


def _a_request(number: int) -> dict[str, Any]:
    return {
        "intent_id": f"pi_{number}",
        "amount_minor": 100,
        "currency": "usd",
        "reason": "too much",
        "who": "tests",
        "state": "unknown" if _is_rare(number) else "succeeded",
        "params": {},
        "created_at": NOW,
        "check_at": NOW if _is_rare(number) else None,
    }


def _event(number: int) -> dict[str, Any]:
    return {
        "event_id": f"evt_{number}",
        "type": "payment_intent.succeeded",
        "object_id": f"pi_{number}",
        "intent_id": f"pi_{number}",
        "created_at": NOW,
        "received_at": NOW,
        "source": "webhook",
        "payload": b"{}",
        "state": "parked" if _is_rare(number) else "applied",
        "tries": 1,
        "next_try_at": NOW if _is_rare(number) else None,
    }


def _intent(number: int) -> dict[str, Any]:
    return {
        "intent_id": f"pi_{number}",
        "state": 5,
        "state_at": NOW,
        "amount": Decimal(number + 1),
        "currency_iso": "usd",
        "charge_id": f"ch_{number}",
        "check_at": NOW if _is_rare(number) else None,
    }


def _payment(number: int, **more: Any) -> dict[str, Any]:
    return {"date": NOW, "amount": Decimal(number + 1), "intent_id": f"pi_{number}", **more}


def _attempt(number: int) -> dict[str, Any]:
    return {
        "invoice_id": number + 1,
        "number": 1,
        "state": "unknown" if _is_rare(number) else "succeeded",
        "step": "confirming" if _is_rare(number) else "ended",
        "business_day": TODAY,
        "amount_minor": 1000,
        "currency": "usd",
        "customer_id": f"cus_{number}",
        "intent_id": f"pi_{number}",
        "created_at": NOW,
    }


def _a_payout(number: int) -> dict[str, Any]:
    return {
        "payout_id": f"po_{number}",
        "status": "paid",
        "amount": Decimal(1),
        "currency_iso": "usd",
        "automatic": True,
        "arrival_date": TODAY - timedelta(days=number),
        "created_at": NOW,
    }


def _transaction(number: int) -> dict[str, Any]:
    return {
        "transaction_id": f"txn_{number}",
        "type": "charge",
        "source_id": f"ch_{number}",
        "currency_iso": "usd",
        "amount": Decimal(number + 1),
        "fee": Decimal("0.59"),
        "net": number + 1 - Decimal("0.59"),
        "created_at": NOW,
        "available_at": NOW,
        "payout_id": f"po_{number // 10}",
    }


async def _plans(database: Database, ask: Ask) -> list[tuple[str, str]]:
    async def asked() -> None:
        async with database.snapshot() as tx:
            await ask(tx)

    return await _plans_of(database, asked())


async def _plans_of(
    database: Database, work: Awaitable[Any], about: str = ""
) -> list[tuple[str, str]]:
    """Each SELECT about something that some work sends, with the engine's plan for it."""
    sent: list[tuple[str, Any]] = []

    def note(statement: str, values: Any) -> None:
        if statement.startswith("SELECT") and about in statement:
            sent.append((statement, tuple(values) if isinstance(values, list) else values))

    with watched(database, note):
        await work
    verb = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    plans = []
    async with database.snapshot() as tx:
        for statement, values in sent:
            rows = await tx.exec_driver_sql(f"{verb} {statement}", values)
            plans.append((statement, "\n".join(str(row) for row in rows)))
    return plans
