"""A whole Paydue for tests: served over real HTTP, its runs called as the worker calls them."""

import contextlib
import hashlib
import hmac
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
from sqlalchemy import insert, select
from sqlalchemy.event import listen, remove

from app.halo.access.api_credentials import create_credential
from app.node import Node, open_node, open_stripe_node
from app.payments.autopay.report import RunReport
from app.payments.reconciliation.reconcile_pass import ReconcileResult
from app.payments.webhook import dead_letters, inbox
from app.payments.webhook.dead_letters import RetryResult
from app.sandbox.server import Sandbox
from app.serving import serve_in_loop
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_events import StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from tests import leaks
from tests.patience import wait_limit

SECRET = leaks.SIGNING_SECRET
KEY = leaks.STRIPE_KEY
NO_STRIPE = "http://127.0.0.1:9"  # nobody listens there
# As production's, but a busy machine that is given patience has it here as well.
ANSWER_LIMIT_S = wait_limit(inbox.ANSWER_S)
FAST = 10_000  # requests/s: the tests do not wait for Stripe's pace

INVOICES = table_of(Invoice)
PAYMENTS = table_of(InvoicePayment)
ATTEMPTS = table_of(ChargeAttempt)
EVENTS = table_of(StripeEvent)
CLIENTS = table_of(Client)
INTENTS = table_of(StripePayment)
_numbers = itertools.count(1)


def settings_for(database_url: str, stripe_url: str, **more: Any) -> Settings:
    return Settings(
        _env_file=None,
        PAYDUE_DATABASE_URL=database_url,
        PAYDUE_CREATE_DATABASE=True,
        PAYDUE_STRIPE_API_BASE=stripe_url,
        STRIPE_WEBHOOK_SECRET=SECRET,
        **{
            "STRIPE_API_KEY": KEY,
            "PAYDUE_STRIPE_PACE": FAST,
            "PAYDUE_STRIPE_TIMEOUT": 5,
            "PAYDUE_RATE_LIMIT": 0,
            **more,
        },
    )


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> str:
    """The header Stripe would send with this body."""
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def intent(invoice_id: int | None, status: str = "succeeded", **more: Any) -> dict[str, Any]:
    """A PaymentIntent as an event carries it."""
    amount = more.pop("amount", 12000)
    return {
        "id": more.pop("id", f"pi_{next(_numbers)}"),
        "object": "payment_intent",
        "amount": amount,
        "amount_received": amount if status == "succeeded" else 0,
        "currency": "usd",
        "status": status,
        "created": int(time.time()),
        "customer": None,
        "latest_charge": f"ch_{next(_numbers)}",
        "last_payment_error": None,
        "metadata": {} if invoice_id is None else {"invoice_id": str(invoice_id)},
        "livemode": False,
        **more,
    }


def event(kind: str, thing: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": more.pop("id", f"evt_{next(_numbers)}"),
        "object": "event",
        "type": kind,
        "created": more.pop("created", int(time.time())),
        "livemode": False,
        "api_version": "2026-10-28.endive",
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": dict(thing)},
        **more,
    }


@dataclass
class Paydue:
    """What a test needs at hand; everything enters by a front door except the rows it sets up."""

    node: Node
    sandbox: Sandbox
    http: aiohttp.ClientSession
    url: str

    @property
    def database(self) -> Database:
        return self.node.database

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, settings: Settings, sandbox: Sandbox) -> AsyncIterator["Paydue"]:
        async with (
            open_node(settings, answer_limit_s=ANSWER_LIMIT_S) as served,
            serve_in_loop(served.web_application(), settings) as url,
            open_stripe_node(settings) as node,
            aiohttp.ClientSession(url) as http,
        ):
            yield cls(node, sandbox, http, url)

    # --- what there is -----------------------------------------------------------------------

    async def a_client(self, behaviour: Any = "succeed", **columns: Any) -> int:
        """A client with a Stripe customer whose card behaves as told; `card=None` for none."""
        count = next(_numbers)
        customer, method = f"cus_{count}", f"pm_{count}"
        self.sandbox.add_customer(customer, payment_method=method, behaviour=behaviour)
        values = {
            "name": f"Client {count}",
            "inactive": False,
            "stripe_customer_id": customer,
            "stripe_payment_method_id": method,
            **columns,
        }
        async with self.database.transaction() as tx:
            found = await tx.scalar(insert(CLIENTS).values(values).returning(CLIENTS.c.id))
        assert isinstance(found, int)
        return found

    async def an_invoice(
        self, total: str = "120.00", *, due: date | None = None, client: int | None = None,
        **columns: Any,
    ) -> int:  # fmt: skip
        """An invoice flagged for autopay, due today, of a client whose card pays."""
        client_id = client if client is not None else await self.a_client()
        values = {
            "client_id": client_id,
            "invoicenumber": f"INV-{next(_numbers)}",
            "invoice_date": datetime.now(UTC),
            "duedate": due or today(),
            "total": Decimal(total),
            "amountdue": Decimal(total),
            "take_auto_payment": True,
            "extra": {"address1": leaks.STREET},
            **columns,
        }
        async with self.database.transaction() as tx:
            found = await tx.scalar(insert(INVOICES).values(values).returning(INVOICES.c.id))
        assert isinstance(found, int)
        return found

    # --- what is done ------------------------------------------------------------------------

    async def autopay(self, day: date | None = None) -> dict[str, Any]:
        """One run, as `paydue autopay run --json` prints it."""
        return as_dict(await self.node.autopay().run(day))

    async def foresee(self, day: date | None = None) -> dict[str, Any]:
        return as_dict(await self.node.autopay().dry_run(day))

    async def recover(self) -> int:
        return await self.node.autopay().recover()

    async def reconcile(self) -> ReconcileResult:
        return await self.node.reconciliation().run()

    async def replay(self, *, later: timedelta = timedelta(days=1)) -> RetryResult:
        """Parked events again, as if so much time had passed."""
        now = datetime.now(UTC) + later
        return await dead_letters.retry_due(
            self.database, self.node.installation, now, self.node.gateway
        )

    async def deliver(self, *events: Mapping[str, Any]) -> list[int]:
        """Post events as Stripe does; answers the statuses."""
        return [await self.deliver_body(orjson.dumps(one)) for one in events]

    async def deliver_body(self, body: bytes) -> int:
        """Post a signed body as it stands; answers the status."""
        headers = {"Stripe-Signature": signed(body)}
        async with self.http.post("/stripe/webhook", data=body, headers=headers) as answer:
            await answer.read()
            return answer.status

    # --- what came of it ---------------------------------------------------------------------

    async def invoice(self, invoice_id: int) -> Any:
        return (await self.rows(INVOICES, INVOICES.c.id == invoice_id))[0]

    async def payments(self, invoice_id: int | None = None) -> list[Any]:
        """Shares of payments, each with what Stripe says of its PaymentIntent."""
        where = PAYMENTS.c.invoice_id == invoice_id if invoice_id else PAYMENTS.c.id > 0
        own = {column.name for column in PAYMENTS.c}
        of_intent = [column for column in INTENTS.c if column.name not in own]
        joined = PAYMENTS.outerjoin(INTENTS, INTENTS.c.intent_id == PAYMENTS.c.intent_id)
        statement = select(PAYMENTS, *of_intent).select_from(joined)
        async with self.database.snapshot() as tx:
            return list(await tx.execute(statement.where(where).order_by(PAYMENTS.c.id)))

    async def own_intent(
        self, invoice_id: int, status: str = "succeeded", **more: Any
    ) -> dict[str, Any]:
        """An intent for the invoice whose Stripe customer is the client's own."""
        client = CLIENTS.c.id == (await self.invoice(invoice_id)).client_id
        (row,) = await self.rows(CLIENTS, client)
        return intent(invoice_id, status, customer=row.stripe_customer_id, **more)

    async def attempts(self, invoice_id: int) -> list[Any]:
        return await self.rows(ATTEMPTS, ATTEMPTS.c.invoice_id == invoice_id)

    async def events(self) -> list[Any]:
        return await self.rows(EVENTS, EVENTS.c.id > 0)

    async def rows(self, table: Any, where: Any) -> list[Any]:
        async with self.database.snapshot() as tx:
            return list(await tx.execute(select(table).where(where).order_by(table.c.id)))

    async def access(self, *scopes: str) -> dict[str, str]:
        """Headers of somebody who may do everything, or what these scopes open."""
        async with self.database.transaction() as tx:
            client_id, secret = await create_credential(
                tx, "tests", scopes or ["all"], datetime.now(UTC)
            )
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        async with self.http.post("/auth/token", data=form) as answer:
            return {"Authorization": f"Bearer {(await answer.json())['access_token']}"}


def as_dict(report: RunReport) -> dict[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads("".join(report.json_lines()))
        return found
    finally:
        report.close()


def today() -> date:
    return datetime.now(UTC).date()


@contextmanager
def watched(database: Database, note: Callable[[str, Any], None]) -> Iterator[None]:
    """Notes each statement that is sent meanwhile, as SQLAlchemy's listeners see it."""

    def before(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        note(statement, values)

    engines = {database._reader.sync_engine, database._writer.sync_engine}
    for engine in engines:
        listen(engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        for engine in engines:
            remove(engine, "before_cursor_execute", before)
