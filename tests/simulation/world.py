"""One small world: a Stripe of its own, a database of its own, a few clients and invoices."""

import asyncio
import contextlib
import itertools
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Date, bindparam, insert, select, text

from app.ledger import invoicing
from app.node import Node, open_node, unlimited_gateway
from app.payments import payouts
from app.payments.reconciliation.cursor import COMPLETED, CURSOR
from app.payments.webhook import endpoint
from app.payments.webhook.inbox import Arrival, interpret
from app.rules.home import Home
from app.rules.invoice import InvoiceKind
from app.sandbox.account.account_state import AccountEvent
from app.sandbox.account.event_rendering import render_event
from app.sandbox.account.reproducible_ids import reproducible_random
from app.sandbox.server import Sandbox
from app.storage import schema
from app.storage.column_types import Instant, table_of
from app.storage.engines import Database, Tx
from app.storage.prepared import PreparedStatement, projection
from app.storage.tables.clients import Client
from app.storage.tables.invoices import Invoice
from tests.harness import settings_for, today
from tests.simulation import stripe_in_process
from tests.simulation.inline_sqlite import run_inline
from tests.simulation.skipping_loop import SkippingLoop

HOME = Home("usd", "UTC")
CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)

CARDS = (
    ["succeed"],
    ["insufficient_funds", "succeed"],
    ["insufficient_funds", "do_not_honor", "processing_error", "succeed"],
    ["stolen_card"],
    ["authentication_required"],
    ["dispute"],
    ["bank_debit_succeeds"],
    ["bank_debit_fails:insufficient_funds", "bank_debit_succeeds"],
    ["bank_debit_fails:account_closed"],
)
# A debit of some banks takes days: longer than what a pass of reconciliation reads back.
SLOW_BANKS = 0.3
BANK_DAYS = 4 * 86_400.0
_MILLIONTHS = 10**6
NEVER_MADE = "sandbox.never_made"


class InvoiceRow(NamedTuple):
    """An invoice as far as a step looks at it."""

    id: int
    client_id: int
    total: Decimal
    amountpaid: Decimal
    amountdue: Decimal
    currency_iso: str
    voided: bool
    payments_pending: int
    payments_reversed: int


_INVOICE = PreparedStatement(
    select(*projection(INVOICES, InvoiceRow)).where(INVOICES.c.id == bindparam("id")), InvoiceRow
)


@dataclass
class World:
    """Everything a schedule acts on, and what it did by itself that Stripe does not know."""

    seed: int
    random: random.Random
    node: Node
    sandbox: Sandbox
    raw: sqlite3.Connection | None
    pattern: "Pattern"
    switch: "Switch"
    day: date = field(default_factory=today)  # it stays today; all that was moves back
    days: int = 0
    invoices: list[int] = field(default_factory=list)
    customer_of: dict[int, str] = field(default_factory=dict)
    later: list[int] = field(default_factory=list)
    notes: list[int] = field(default_factory=list)  # credit notes, whose ids are invoices' too
    by_hand: dict[int, Decimal] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    told_of: dict[str, int] = field(default_factory=dict)  # sessions and intents: which invoice
    waiting: list[AccountEvent] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    aside: set[str] = field(default_factory=set)  # intents that others made for our invoices
    never_fits: set[str] = field(default_factory=set)  # of those, the ones in another currency
    unbelieved: set[str] = field(default_factory=set)  # those that nothing but a number claims
    guests: set[str] = field(default_factory=set)  # sessions and intents without a customer
    unnamed: dict[str, str] = field(default_factory=dict)  # customers' intents for nothing named
    foreign: set[str] = field(default_factory=set)  # intents of a second installation
    assigned: set[str] = field(default_factory=set)  # intents that a person gave their invoice
    aged: int = 0
    copy: Any = None  # an older copy of the database, waiting to be restored
    # What the judge remembers: amounts due at the last look, in millionths, and who moved money.
    due: dict[int, int] = field(default_factory=dict)
    totals: dict[int, int] = field(default_factory=dict)  # the highest that each invoice ever had
    moved: set[str] = field(default_factory=set)
    charges_seen: int = 0
    declined_on: dict[tuple[int, str, int], int] = field(default_factory=dict)
    paid_by_client: set[str] = field(default_factory=set)  # intents of ours, confirmed by hand
    forgotten: set[str] = field(default_factory=set)  # intents of ours that a restore forgot
    retried: set[str] = field(default_factory=set)  # declined intents that a person had tried again
    shown: set[str] = field(default_factory=set)  # sessions of links that a visitor was shown
    secrets: set[str] = field(default_factory=set)  # intents whose secret a screen was given
    did: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)
    _seen: int = 0

    @property
    def database(self) -> Database:
        return self.node.database

    # --- doing what the service does ---------------------------------------------------------

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self.database.transaction() as tx:
            yield tx

    async def receive(self, event: AccountEvent) -> None:
        """As the webhook does with a body whose signature fits."""
        body = self._body(event)
        await self.node.inbox.receive(endpoint.parse_event(body), body, "webhook")

    def arrival(self, event: AccountEvent) -> Arrival:
        """The same, to be committed with others in one batch."""
        body = self._body(event)
        return interpret(
            endpoint.parse_event(body), body, "webhook", installation=self.node.installation
        )

    def _body(self, event: AccountEvent) -> bytes:
        return orjson.dumps(render_event(event, self.random.choice(("new", "old"))))

    def collect(self) -> None:
        """What Stripe has made since we looked waits to be delivered."""
        made = self.sandbox.state.events
        self.waiting += [made.at(place) for place in range(self._seen, len(made))]
        self._seen = len(made)

    # --- setting up --------------------------------------------------------------------------

    async def clients(self, count: int) -> None:
        rows = [self._a_client(number) for number in range(1, count + 1)]
        async with self.transaction() as tx:
            await tx.execute(insert(CLIENTS), rows)
        self.customer_of = {row["id"]: row["stripe_customer_id"] for row in rows}

    def _a_client(self, number: int) -> dict[str, Any]:
        customer, method = f"cus_{self.seed}_{number}", f"pm_{self.seed}_{number}"
        self.sandbox.add_customer(
            customer,
            payment_method=method,
            behaviour=self.random.choice(CARDS),
            refund=self.random.choice(("succeeded", "succeeded", "pending", "fails")),
        )
        known = self.random.random() < 0.8  # otherwise Stripe's default method is asked for
        return {
            "id": number,
            "name": f"Client {number}",
            "stripe_customer_id": customer,
            "stripe_payment_method_id": method if known else None,
            "consolidate": self.random.choice((True, False, None)),
        }

    @property
    def next_invoice(self) -> int:
        """Ids are given in turn, also to credit notes."""
        return len(self.invoices) + len(self.notes) + len(self.later) + 1

    async def save_credit_note(self, client: int, amount: Decimal) -> int:
        record = {
            "client_id": client,
            "invoicetype": InvoiceKind.CREDIT_NOTE,
            "lines": [line(-amount)],
        }
        (note,) = await self._save(record)
        self.notes.append(note)
        return note

    async def save_invoice(self, price: Decimal) -> None:
        """One more, entered as the API enters it."""
        record = {
            "client_id": self.random.choice(sorted(self.customer_of)),
            "duedate": self.day + timedelta(days=self.random.choice((0, 0, 0, 1, 3))),
            "take_auto_payment": True,
            "lines": [line(price)],
        }
        self.invoices += await self._save(record)

    async def _save(self, record: Mapping[str, Any]) -> list[int]:
        async with self.transaction() as tx:
            return await invoicing.save(tx, [record], now=now(), who="simulation", home=HOME)

    async def add_invoices(self, *prices: Decimal) -> None:
        """The first ones: each is like the one that the API entered, but for these columns."""
        for price in prices:
            due = self.day + timedelta(days=self.random.choice((0, 0, 0, 1, 3)))
            invoice = len(self.invoices) + 1
            owed = int(price * _MILLIONTHS)
            own = {
                "client_id": self.random.choice(sorted(self.customer_of)),
                "duedate": due if self.raw is None else due.isoformat(),
                "total": owed,
                "revenue": owed,
                "amountdue": owed,
            }
            await self._insert("invoice", {**self.pattern.invoice, **own})
            of_line = {"ihid": invoice, "unit_price": owed}
            await self._insert("invoice_line", {**self.pattern.line, **of_line})
            await self._insert_entry(invoice, own["client_id"], owed)
            self.invoices.append(invoice)

    async def _insert_entry(self, invoice: int, client: int, owed: int) -> None:
        """The journal's entry of such an invoice, like the pattern's."""
        await self._insert("journal_entry", {**self.pattern.entry, "source": str(invoice)})
        ((entry,),) = await self.look("SELECT max(id) FROM journal_entry")
        for one in self.pattern.entry_lines:
            own = {
                "entry_id": entry,
                "client_id": one["client_id"] and client,
                "invoice_id": one["invoice_id"] and invoice,
                "amount": owed if one["amount"] > 0 else -owed,
            }
            await self._insert("journal_line", {**one, **own})

    async def _insert(self, table: str, row: Mapping[str, Any]) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        values = ", ".join(f":{name}" for name in row)
        await self.write(f"INSERT INTO {table} ({names}) VALUES ({values})", **row)

    async def look(self, sql: str, **values: Any) -> Sequence[Any]:
        """The rows of the database itself, past all types of ours: money is seen as integers."""
        if self.raw is not None:
            return self.raw.execute(sql, values).fetchall()
        async with self.database.snapshot() as tx:
            return (await tx.execute(text(sql), values)).all()

    async def note_due(self) -> None:
        """Later charges are compared with what is due now."""
        self.due = dict(iter(await self.look("SELECT id, amountdue FROM invoice")))

    async def write(self, *statements: str, **values: Any) -> None:
        """Writes past the service, in one transaction; every statement is given all values."""
        if self.raw is not None:
            self.raw.execute("BEGIN IMMEDIATE")
            for sql in statements:
                self.raw.execute(sql, values)
            self.raw.execute("COMMIT")
            return
        async with self.transaction() as tx:
            for sql in statements:
                await tx.execute(text(sql), values)

    async def row(self, invoice: int) -> InvoiceRow:
        async with self.database.snapshot() as tx:
            (row,) = await _INVOICE.all(tx, id=invoice)
        return row

    # --- time --------------------------------------------------------------------------------

    async def pass_time(self, seconds: int) -> None:
        """Moves everything that has happened into the past, here and at Stripe alike.

        Both clocks agree at any moment, as in life; moving only one of them would not be time.
        """
        await self.age_database(seconds)
        self.aged += seconds
        age_sandbox(self.sandbox, seconds)
        self.sandbox.clock.run_due()
        self.collect()

    async def pass_day(self, seconds: int) -> None:
        """Midnight was among these seconds: every date is one day longer ago as well."""
        await self.pass_time(seconds)
        await self.age_dates(1)
        self.days += 1

    async def age_dates(self, days: int) -> None:
        await self._age(_AGED_DATES[self.database.is_sqlite], days=days)

    async def _age(self, statements: Mapping[str, str], **values: int) -> None:
        """Most tables are empty, and to look costs less than to update nothing."""
        filled = [statements[table] for (table,) in await self.look(_any_rows(*statements))]
        await self.write(*filled, **values)

    async def age_database(self, seconds: int) -> None:
        await self._age(_AGED[self.database.is_sqlite], seconds=seconds)
        for name in (CURSOR, COMPLETED, payouts.CURSOR):
            for (cursor,) in await self.look(_CURSOR_SQL, cursor=name):
                moved = datetime.fromisoformat(cursor) - timedelta(seconds=seconds)
                await self.write(_MOVE_CURSOR_SQL, cursor=name, moved=moved.isoformat())
        await self._age_parked(seconds)

    async def _age_parked(self, seconds: int) -> None:
        """The time that a parked event tells is read again when the event is replayed."""
        for row_id, payload in await self.look(_PARKED_SQL):
            event = orjson.loads(payload)
            event["created"] -= seconds
            await self.write(_REWRITE_SQL, id=row_id, payload=orjson.dumps(event))


_CURSOR_SQL = "SELECT value FROM fact WHERE name = :cursor"
_MOVE_CURSOR_SQL = "UPDATE fact SET value = :moved WHERE name = :cursor"
_PARKED_SQL = "SELECT id, payload FROM stripe_event WHERE state = 'parked'"
_REWRITE_SQL = "UPDATE stripe_event SET payload = :payload WHERE id = :id"


def line(price: Decimal) -> dict[str, Any]:
    return {"qty_order": Decimal(1), "unit_price": price, "item_shortdescription": "Service"}


def now() -> datetime:
    return datetime.now(UTC)


def _moved(kind: type[Any], moved: str) -> dict[str, str]:
    """Every column of a kind in every table: one that is added later ages with the others."""
    of_table = {
        table.name: [one.name for one in table.columns if isinstance(one.type, kind)]
        for table in schema.METADATA.sorted_tables
    }
    return {
        table: f"UPDATE {table} SET "
        + ", ".join(f"{name} = {moved.format(name)}" for name in names)
        for table, names in of_table.items()
        if names
    }


@cache
def _any_rows(*tables: str) -> str:
    """The statement that answers which of these tables are not empty."""
    return " UNION ALL ".join(
        f"SELECT '{one}' WHERE EXISTS (SELECT 1 FROM {one})" for one in tables
    )


# By whether the database is SQLite.
_AGED = {
    True: _moved(Instant, "strftime('%Y-%m-%dT%H:%M:%f000Z', {0}, '-' || :seconds || ' seconds')"),
    False: _moved(Instant, "{0} - make_interval(secs => :seconds)"),
}
_AGED_DATES = {
    True: _moved(Date, "date({0}, '-' || :days || ' days')"),
    False: _moved(Date, "{0} - CAST(:days AS integer)"),
}


_MOMENTS = ("created", "expires_at")


def age_sandbox(sandbox: Sandbox, seconds: int) -> None:
    state, clock = sandbox.state, sandbox.clock
    for table in state.tables.values():
        for place in range(len(table)):
            row = table.at(place)
            if "created" in row:
                moved = {name: row[name] - seconds for name in _MOMENTS if row.get(name)}
                table.replace(row["id"], {**row, **moved})
    for event in state.events.rows():
        event.created -= seconds
    for saved in sandbox.pipeline.keys._saved.values():
        saved.at -= seconds
    clock._timers = [(moment - seconds, turn, action) for moment, turn, action in clock._timers]


@dataclass(frozen=True)
class Place:
    """A database and a way to a Stripe, used by one world after the other.

    Opening both costs more than a schedule does, most of it for statements compiled anew.
    """

    node: Node
    switch: "Switch"
    raw: sqlite3.Connection | None
    pattern: "Pattern"


@dataclass(frozen=True)
class Pattern:
    """An invoice of one line as the API's own way enters it, column by column."""

    invoice: Mapping[str, Any]
    line: Mapping[str, Any]
    entry: Mapping[str, Any]
    entry_lines: Sequence[Mapping[Any, Any]]


async def _pattern(database: Database) -> Pattern:
    """Entered once a place: a world's invoices differ in few columns, and saving takes long."""
    record = {"duedate": today(), "take_auto_payment": True, "lines": [line(Decimal(1))]}
    async with database.transaction() as tx:
        client = await tx.scalar(insert(CLIENTS).values(name="Pattern").returning(CLIENTS.c.id))
        given = [{**record, "client_id": client}]
        await invoicing.save(tx, given, now=now(), who="simulation", home=HOME)
        (invoice,) = (await tx.execute(text("SELECT * FROM invoice"))).mappings()
        (one,) = (await tx.execute(text("SELECT * FROM invoice_line"))).mappings()
        (entry,) = (await tx.execute(text("SELECT * FROM journal_entry"))).mappings()
        lines = (await tx.execute(text("SELECT * FROM journal_line"))).mappings().all()
    return Pattern(_without_id(invoice), _without_id(one), _without_id(entry), lines)


def _without_id(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The database gives ids in turn."""
    return {str(name): value for name, value in row.items() if name != "id"}


class Switch:
    """Leads to the sandbox of the world that is played now; other things happen in between."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.calls_before = 0
        # Lets tasks that ask Stripe at once take turns.
        self.before_call: Callable[[], Awaitable[None]] | None = None

    async def for_a_call(self) -> Sandbox:
        """The sandbox of a call, after what happens meanwhile: once, before one call of several."""
        if self.before_call is not None:
            await self.before_call()
        if self.meanwhile is not None and self.calls_before == 0:
            act, self.meanwhile = self.meanwhile, None
            await act()
        self.calls_before -= 1
        return self.sandbox


@contextlib.asynccontextmanager
async def place(database_url: str) -> AsyncIterator[Place]:
    """A node on a migrated database. It has no pace: nobody waits for an account of its own."""
    settings = settings_for(database_url, "http://sandbox", PAYDUE_STRIPE_CONCURRENCY=1)
    async with open_node(settings) as opened, unlimited_gateway(settings) as gateway:
        node = replace(opened, gateway=gateway)
        database, switch = node.database, Switch()
        stripe_in_process.connect(gateway, switch.for_a_call)
        if database.is_sqlite:
            await _work_alone(database)
        pattern = await _pattern(database)
        with _raw_connection(database) as raw:
            yield Place(node, switch, raw, pattern)


async def _work_alone(database: Database) -> None:
    """Without threads, so that a loop that can skip its waits may do so."""
    await run_inline(database)
    loop = asyncio.get_running_loop()
    if isinstance(loop, SkippingLoop):
        loop.skip()


@contextlib.contextmanager
def _raw_connection(database: Database) -> Iterator[sqlite3.Connection | None]:
    if not database.is_sqlite:
        yield None
        return
    opened = sqlite3.connect(str(database.url.database), isolation_level=None)
    with contextlib.closing(opened) as raw:
        yield raw


async def world(seed: int, here: Place) -> World:
    """A world with three to six invoices of two to four clients."""
    sandbox = here.switch.sandbox = Sandbox(seed=seed)
    here.node.gateway._account_name = None  # the first run of a world asks for it, as after a start
    chance = reproducible_random(f"schedule {seed}")
    made = World(seed, chance, here.node, sandbox, here.raw, here.pattern, here.switch)
    if chance.random() < SLOW_BANKS:
        sandbox.state.delays.bank_debit = BANK_DAYS
    await _empty(made)
    await _populate(made)
    return made


_FILLED = (
    "invoice_change invoice_line invoice_payment charge_attempt stripe_reversal stripe_event"
    " charge_attempt_share refund_request journal_line journal_entry balance_transaction payout"
    " customer_turn stripe_payment autopay_pause pay_link invoice_number autopay_run_page"
    " autopay_run invoice client"
).split()


_FACTS_OF_MIGRATIONS = "'installation', 'schema_oldest_code'"
_JOURNAL_IDS = itertools.count(1_000_000, 1_000_000)


async def _empty(made: World) -> None:
    """As migrated, with ids from one, so that a seed says the same alone and among others."""
    if made.database.is_sqlite:
        await made.write(*(f"DELETE FROM {table}" for table in (*_FILLED, "sqlite_sequence")))
    else:
        await made.write(f"TRUNCATE {', '.join(_FILLED)} RESTART IDENTITY CASCADE")
        # Connections have reserved ids of it; who else starts a sequence anew closes them first.
        await made.write(f"SELECT setval('journal_entry_id_seq', {next(_JOURNAL_IDS)})")


async def _populate(made: World) -> None:
    chance = made.random
    await made.clients(chance.randint(2, 4))
    prices = [Decimal(chance.randint(100, 99999)) / 100 for _ in range(chance.randint(3, 6))]
    await made.add_invoices(*prices)
    made.collect()
    # As a worker that has just looked.
    await made.write(f"DELETE FROM fact WHERE name NOT IN ({_FACTS_OF_MIGRATIONS})")
    await made.write(
        "INSERT INTO fact (name, value) VALUES (:cursor, :now)",
        cursor=CURSOR,
        now=now().isoformat(),
    )


Step = Callable[[World], Awaitable[bool]]
