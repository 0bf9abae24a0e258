"""One small world: a Stripe of its own, a database of its own, a few clients and invoices."""

import contextlib
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import insert, select, text, update
from starlette.types import Receive, Scope, Send

from app.ledger import invoicing
from app.node import Node, open_stripe_node
from app.payments.reconciliation.cursor import COMPLETED, CURSOR
from app.payments.webhook import endpoint
from app.payments.webhook.inbox import Arrival, interpret
from app.sandbox.account.account_state import AccountEvent
from app.sandbox.account.event_rendering import render_event
from app.sandbox.account.reproducible_ids import reproducible_random
from app.sandbox.server import Sandbox
from app.sandbox.transport import asgi_server
from app.storage import schema
from app.storage.column_types import Instant, table_of
from app.storage.engines import Database, Tx
from app.storage.tables.clients import Client
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_events import EventState, StripeEvent
from tests.harness import settings_for, today

CLIENTS = table_of(Client)
INVOICES = table_of(Invoice)
EVENTS = table_of(StripeEvent)
FACTS = table_of(InstallationValue)

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
NEVER_MADE = "sandbox.never_made"
# Requests a second: too many to wait for, few enough that a node does not reserve thousands.
PACE = 2000


class Switchboard:
    """One listening socket for all worlds: the API key says which Stripe is meant."""

    def __init__(self) -> None:
        self.sandboxes: dict[bytes, Sandbox] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        key = dict(scope["headers"])[b"authorization"].removeprefix(b"Bearer ")
        await self.sandboxes[key].pipeline(scope, receive, send)


@contextlib.asynccontextmanager
async def switchboard() -> AsyncIterator[tuple[Switchboard, str]]:
    board = Switchboard()
    async with asgi_server.serve(board, 0, "127.0.0.1") as url:
        yield board, url


@dataclass
class World:
    """Everything a schedule acts on, and what it did by itself that Stripe does not know."""

    seed: int
    random: random.Random
    node: Node
    sandbox: Sandbox
    raw: sqlite3.Connection | None
    day: date = field(default_factory=today)
    invoices: list[int] = field(default_factory=list)
    customer_of: dict[int, str] = field(default_factory=dict)
    later: list[int] = field(default_factory=list)
    by_hand: dict[int, Decimal] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    told_of: dict[str, int] = field(default_factory=dict)  # sessions and intents: which invoice
    waiting: list[AccountEvent] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
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
            for row in rows:
                found = await tx.scalar(insert(CLIENTS).values(row).returning(CLIENTS.c.id))
                self.customer_of[found or 0] = row["stripe_customer_id"]

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
            "name": f"Client {number}",
            "stripe_customer_id": customer,
            "stripe_payment_method_id": method if known else None,
        }

    async def add_invoices(self, *prices: Decimal) -> None:
        """Entered as the API enters them; ids are given in turn."""
        records = [
            {
                "client_id": self.random.choice(sorted(self.customer_of)),
                "duedate": self.day + timedelta(days=self.random.choice((0, 0, 0, 1, 3))),
                "take_auto_payment": True,
                "lines": [line(price)],
            }
            for price in prices
        ]
        async with self.transaction() as tx:
            self.invoices += await invoicing.save(
                tx, records, now=now(), who="simulation", home="usd"
            )

    async def look(self, sql: str) -> Sequence[Any]:
        """What the database holds itself, past all types of ours: money is seen as integers."""
        if self.raw is not None:
            return self.raw.execute(sql).fetchall()
        async with self.database.snapshot() as tx:
            return (await tx.execute(text(sql))).all()

    async def rows(self, table: Any, *where: Any) -> Sequence[Any]:
        async with self.database.snapshot() as tx:
            return await read(tx, table, *where)

    async def row(self, invoice: int) -> Any:
        return (await self.rows(INVOICES, INVOICES.c.id == invoice))[0]

    # --- time --------------------------------------------------------------------------------

    async def pass_time(self, seconds: int) -> None:
        """Moves everything that has happened into the past, here and at Stripe alike.

        Both clocks agree at any moment, as in life; moving only one of them would not be time.
        """
        await self._age_database(seconds)
        age_sandbox(self.sandbox, seconds)
        self.sandbox.clock.run_due()
        self.collect()

    async def _age_database(self, seconds: int) -> None:
        async with self.transaction() as tx:
            for table, columns in _INSTANTS.items():
                await tx.execute(text(_aged(tx, table, columns, seconds)))
            for name in (CURSOR, COMPLETED):
                moment = await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == name))
                if moment:
                    moved = datetime.fromisoformat(moment) - timedelta(seconds=seconds)
                    await tx.execute(
                        update(FACTS).where(FACTS.c.name == name).values(value=moved.isoformat())
                    )
            await _age_parked(tx, seconds)


async def read(tx: Tx, table: Any, *where: Any) -> Sequence[Any]:
    return (await tx.execute(select(table).where(*where).order_by(table.c.id))).all()


def line(price: Decimal) -> dict[str, Any]:
    return {"qty_order": Decimal(1), "unit_price": price, "item_shortdescription": "Service"}


def now() -> datetime:
    return datetime.now(UTC)


# Every instant of every table: a column that is added later ages with the others.
_INSTANTS: dict[str, list[str]] = {
    table.name: names
    for table in schema.METADATA.sorted_tables
    if (names := [one.name for one in table.columns if isinstance(one.type, Instant)])
}


def _aged(tx: Tx, table: str, columns: Sequence[str], seconds: int) -> str:
    if tx.dialect.name == "sqlite":
        moved = "strftime('%Y-%m-%dT%H:%M:%f000Z', {0}, '-{1} seconds')"
    else:
        moved = "{0} - interval '{1} seconds'"
    sets = ", ".join(f"{name} = {moved.format(name, seconds)}" for name in columns)
    return f"UPDATE {table} SET {sets}"


async def _age_parked(tx: Tx, seconds: int) -> None:
    """What a parked event says of its time is read again when it is replayed."""
    parked = await tx.execute(select(EVENTS).where(EVENTS.c.state == EventState.PARKED))
    for row in parked.all():
        event = orjson.loads(row.payload)
        event["created"] -= seconds
        await tx.execute(
            update(EVENTS).where(EVENTS.c.id == row.id).values(payload=orjson.dumps(event))
        )


def age_sandbox(sandbox: Sandbox, seconds: int) -> None:
    state, clock = sandbox.state, sandbox.clock
    for table in state.tables.values():
        for place in range(len(table)):
            row = table.at(place)
            if "created" in row:
                table.replace(row["id"], {**row, "created": row["created"] - seconds})
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
    board: Switchboard
    key: str
    raw: sqlite3.Connection | None


@contextlib.asynccontextmanager
async def place(name: str, database_url: str, board: Switchboard, url: str) -> AsyncIterator[Place]:
    key = f"sk_test_{name}"
    settings = settings_for(
        database_url,
        url,
        STRIPE_API_KEY=key,
        PAYDUE_STRIPE_CONCURRENCY=1,
        PAYDUE_STRIPE_PACE=PACE,
    )
    async with open_stripe_node(settings) as node:
        with _raw_connection(node.database) as raw:
            yield Place(node, board, key, raw)


@contextlib.contextmanager
def _raw_connection(database: Database) -> Iterator[sqlite3.Connection | None]:
    if not database.is_sqlite:
        yield None
        return
    with contextlib.closing(sqlite3.connect(str(database.url.database))) as raw:
        yield raw


async def world(seed: int, here: Place) -> World:
    """A world with three to six invoices of two to four clients."""
    await _emptied(here.node.database)
    sandbox = here.board.sandboxes[here.key.encode()] = Sandbox(seed=seed)
    made = World(
        seed,
        reproducible_random(f"schedule {seed}"),
        here.node,
        sandbox,
        here.raw,
    )
    await _populate(made)
    return made


_FILLED = (
    "invoice_change invoice_line invoice_payment charge_attempt stripe_reversal stripe_event"
    " customer_turn invoice client"
).split()


async def _emptied(database: Database) -> None:
    """As migrated, with ids from one, so that a seed says the same alone and among others."""
    async with database.transaction() as tx:
        if database.is_sqlite:
            for table in (*_FILLED, "sqlite_sequence"):
                await tx.execute(text(f"DELETE FROM {table}"))
        else:
            await tx.execute(text(f"TRUNCATE {', '.join(_FILLED)} RESTART IDENTITY CASCADE"))
        await tx.execute(FACTS.delete().where(FACTS.c.name.in_([CURSOR, COMPLETED])))


async def _populate(made: World) -> None:
    chance = made.random
    await made.clients(chance.randint(2, 4))
    prices = [Decimal(chance.randint(100, 99999)) / 100 for _ in range(chance.randint(3, 6))]
    await made.add_invoices(*prices)
    made.collect()
    async with made.transaction() as tx:  # as a worker that has just looked
        await tx.execute(insert(FACTS).values(name=CURSOR, value=now().isoformat()))


Step = Callable[[World], Awaitable[bool]]
