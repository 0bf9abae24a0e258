"""The personal data of a client: given out, or erased without a change of any sum.

Erased are the names, addresses and ids by which the client can be known: its record and its sites,
the bodies of its events but for their hashes, answers of Stripe, and mails. Invoices with their
lines, payments, charge attempts, the journal and the audit stay, for the law wants them kept, and
so does every amount. Nothing is erased while money of the client is still under way.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Select,
    Table,
    bindparam,
    null,
    or_,
    select,
    type_coerce,
    update,
)

from app.errors import NotFound, Refused
from app.ledger import audit
from app.ledger.audit import AuditChange
from app.rules.payment import DISPUTE_OPEN, INQUIRY_OPEN
from app.storage import event_bodies
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.charge_attempts import IS_UNRESOLVED, ChargeAttempt
from app.storage.tables.clients import Client, Site
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice, InvoiceChange, InvoiceLine
from app.storage.tables.outbox_messages import OutboxMessage, OutboxState
from app.storage.tables.stripe_events import EventState, StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_refund_requests import RefundRequest
from app.storage.tables.stripe_reversals import StripeReversal

CLIENTS, SITES = table_of(Client), table_of(Site)
INVOICES, LINES, CHANGES = table_of(Invoice), table_of(InvoiceLine), table_of(InvoiceChange)
PAYMENTS, ATTEMPTS = table_of(InvoicePayment), table_of(ChargeAttempt)
INTENTS, EVENTS = table_of(StripePayment), table_of(StripeEvent)
REVERSALS, REFUNDS = table_of(StripeReversal), table_of(RefundRequest)
MESSAGES = table_of(OutboxMessage)

# Rows that are read, or bodies that are written, at a time: a webhook waits for one batch at most.
BATCH = 200
# Columns of a client that say nothing of a person, and are needed to keep the books.
_KEPT_OF_CLIENT = {"id", "name", "inactive", "currency_code", "timezone", "toplevel_id",
                   "date_created", "last_modified"}  # fmt: skip
_ERASED_OF: Mapping[Table, Sequence[str]] = {
    INTENTS: ("stripe_customer_id", "payment_method_name", "intent_response"),
    PAYMENTS: ("payment_method_name", "extra"),
    MESSAGES: ("recipient", "subject", "text_body", "html_body", "facts"),
}
_BODY = type_coerce(EVENTS.c.payload, LargeBinary).label("body")  # as it is stored


@dataclass(frozen=True, slots=True)
class Erasure:
    """A client that was erased, and the bodies of events and the invoices that it had."""

    client_id: int
    events: int
    invoices: int

    def __str__(self) -> str:
        return (
            f"client {self.client_id} is erased: {self.events} bodies of events dropped, "
            f"{self.invoices} invoices kept with their sums"
        )


class _KnownClient(NamedTuple):
    id: int
    stripe_customer_id: str | None


# --- given out -------------------------------------------------------------------------------


async def export(database: Database, client_id: int) -> AsyncIterator[dict[str, object]]:
    """Each row that is about the client, as a JSON object that names its table.

    Read page by page, each of one moment; rows that are written meanwhile may be missing.
    """
    async with database.snapshot() as tx:
        client = await _load_client(tx, client_id)
    for table, condition in _rows_about(client_id):
        last: int | None = None
        while True:
            page = select(table).where(condition).order_by(table.c.id).limit(BATCH)
            page = page if last is None else page.where(table.c.id > last)
            async with database.snapshot() as tx:
                rows = (await tx.execute(page)).mappings().all()
            for row in rows:
                if table is EVENTS and not _is_about(row["intent_id"], row["payload"], client):
                    continue
                yield {"table": table.name, **{name: _as_json(row[name]) for name in row}}
            if len(rows) < BATCH:
                break
            last = int(rows[-1]["id"])


def _rows_about(client_id: int) -> Sequence[tuple[Table, ColumnElement[bool]]]:
    invoices = select(INVOICES.c.id).where(INVOICES.c.client_id == client_id)
    return (
        (CLIENTS, CLIENTS.c.id == client_id),
        (SITES, SITES.c.client_id == client_id),
        (INVOICES, INVOICES.c.client_id == client_id),
        (LINES, LINES.c.ihid.in_(invoices)),
        (CHANGES, CHANGES.c.invoice_id.in_(invoices)),
        (PAYMENTS, PAYMENTS.c.client_id == client_id),
        (INTENTS, INTENTS.c.client_id == client_id),
        (ATTEMPTS, ATTEMPTS.c.invoice_id.in_(invoices)),
        (MESSAGES, MESSAGES.c.client_id == client_id),
        (EVENTS, _may_be_event_of(client_id)),
    )


def _may_be_event_of(client_id: int) -> ColumnElement[bool]:
    """Events of the client's intents, and those of no intent, whose bodies have to be read."""
    intents = select(INTENTS.c.intent_id).where(INTENTS.c.client_id == client_id)
    return or_(EVENTS.c.intent_id.in_(intents), EVENTS.c.intent_id.is_(None))


def _names(body: bytes, customer_id: str | None) -> bool:
    """Whether an event of no intent, such as one of a saved card, is about that customer."""
    return bool(customer_id) and f'"{customer_id}"'.encode() in body


def _as_json(value: object) -> object:
    """Amounts and instants as text, a body as the JSON that it is."""
    match value:
        case bytes():
            body: object = orjson.loads(value)
            return body
        case None | bool() | int() | str() | dict() | list():
            return value
        case _:
            return str(value)


# --- erased ----------------------------------------------------------------------------------


async def erase(
    database: Database, client_id: int, *, who: str, reason: str, now: datetime
) -> Erasure:
    """Erase a client's personal data; Refused, with each reason, while money is under way.

    Where it is interrupted, it is to be called again.
    """
    async with database.snapshot() as tx:
        client = await _load_client(tx, client_id)
        await _expect_at_rest(tx, client_id)
    events = await _drop_bodies(database, client)

    async def work(tx: Tx) -> int:
        await tx.execute(select(CLIENTS.c.id).where(CLIENTS.c.id == client_id).with_for_update())
        await _expect_at_rest(tx, client_id)
        await _erase_rows(tx, client_id, now)
        return await _audit(tx, client_id, who=who, reason=reason, now=now)

    return Erasure(client_id, events, await database.with_retry(work))


async def _load_client(tx: Tx, client_id: int) -> _KnownClient:
    columns = (CLIENTS.c.id, CLIENTS.c.stripe_customer_id)
    found = (await tx.execute(select(*columns).where(CLIENTS.c.id == client_id))).first()
    if found is None:
        raise NotFound("client", client_id)
    return _KnownClient(*found)


async def _expect_at_rest(tx: Tx, client_id: int) -> None:
    """Refused while something may still need to know who the client is."""
    reasons = []
    for words, rows in _obstacles(client_id).items():
        first = await tx.scalar(rows.limit(1))
        if first is not None:
            reasons.append(f"{words}: {first}")
    if reasons:
        raise Refused(f"client {client_id} cannot be erased yet; {'; '.join(reasons)}")


def _obstacles(client_id: int) -> Mapping[str, Select[int] | Select[str]]:
    """Each reason to wait, with the rows that give it."""
    invoices = select(INVOICES.c.id).where(INVOICES.c.client_id == client_id)
    intents = select(INTENTS.c.intent_id).where(INTENTS.c.client_id == client_id)
    owed = INVOICES.c.client_id == client_id
    dispute_open = REVERSALS.c.status.in_([*DISPUTE_OPEN, *INQUIRY_OPEN])
    return {
        "an invoice is not paid": select(INVOICES.c.id).where(
            owed, INVOICES.c.amountdue > 0, ~INVOICES.c.is_recurring_invoice
        ),
        "a template still bills": select(INVOICES.c.id).where(
            owed, INVOICES.c.is_recurring_invoice, ~INVOICES.c.disabled
        ),
        "a charge attempt has no end": select(ATTEMPTS.c.id).where(
            ATTEMPTS.c.invoice_id.in_(invoices), IS_UNRESOLVED
        ),
        "Stripe is still asked about": select(INTENTS.c.intent_id).where(
            INTENTS.c.client_id == client_id, INTENTS.c.check_at.is_not(None)
        ),
        "a payment is applied to no invoice": select(PAYMENTS.c.id).where(
            PAYMENTS.c.client_id == client_id, PAYMENTS.c.invoice_id.is_(None),
            PAYMENTS.c.counted > 0,
        ),
        "a dispute is open": select(REVERSALS.c.intent_id).where(
            REVERSALS.c.intent_id.in_(intents), REVERSALS.c.kind == "dispute", dispute_open
        ),
        "a refund is under way": select(REFUNDS.c.id).where(
            REFUNDS.c.intent_id.in_(intents), REFUNDS.c.state.in_(["open", "unknown"])
        ),
        "an event is not applied": select(EVENTS.c.event_id).where(
            EVENTS.c.intent_id.in_(intents),
            EVENTS.c.state.in_([EventState.PARKED, EventState.DEAD]),
        ),
        "a mail is to be sent": select(MESSAGES.c.id).where(
            MESSAGES.c.client_id == client_id,
            MESSAGES.c.state.in_([OutboxState.QUEUED, OutboxState.SENDING]),
        ),
    }  # fmt: skip


async def _drop_bodies(database: Database, client: _KnownClient) -> int:
    """Keep of each body its hash and its size, batch by batch; only a batch to write is locked."""
    last, dropped = 0, 0
    columns = (EVENTS.c.id, EVENTS.c.intent_id, EVENTS.c.payload, _BODY)
    page = select(*columns).where(_may_be_event_of(client.id)).order_by(EVENTS.c.id).limit(BATCH)
    while True:
        async with database.snapshot() as tx:
            rows = (await tx.execute(page.where(EVENTS.c.id > last))).all()
        ids = [
            row.id
            for row in rows
            if _is_about(row.intent_id, row.payload, client)
            and not event_bodies.is_digest(row.body)
        ]
        if ids:
            await _drop(database, ids)
        dropped += len(ids)
        if len(rows) < BATCH:
            return dropped
        last = rows[-1].id


def _is_about(intent_id: str | None, body: bytes, client: _KnownClient) -> bool:
    return intent_id is not None or _names(body, client.stripe_customer_id)


async def _drop(database: Database, ids: Sequence[int]) -> None:
    """A purge may have compressed a body meanwhile, so that it is read again under the lock."""
    rows = select(EVENTS.c.id, _BODY).where(EVENTS.c.id.in_(ids)).with_for_update()
    async with database.clients_turn(), database.transaction() as tx:
        found = (await tx.execute(rows)).all()
        await tx.execute(
            _REPLACE,
            [{"b_id": row.id, "b_body": event_bodies.digest(row.body)} for row in found],
        )


_REPLACE = (
    update(EVENTS)
    .where(EVENTS.c.id == bindparam("b_id"))
    .values(payload=bindparam("b_body", type_=LargeBinary))
)


async def _erase_rows(tx: Tx, client_id: int, now: datetime) -> None:
    # Iterated, a collection of columns gives columns; its keys are their names.
    empty = {name: null() for name in CLIENTS.c.keys() if name not in _KEPT_OF_CLIENT}  # noqa: SIM118
    values = {**empty, "name": f"Erased client {client_id}", "inactive": True, "last_modified": now}
    await tx.execute(update(CLIENTS).where(CLIENTS.c.id == client_id).values(values))
    sites = {"name": f"Erased site of client {client_id}", "phonenumber": None, "extra": null()}
    await tx.execute(update(SITES).where(SITES.c.client_id == client_id).values(sites))
    for table, names in _ERASED_OF.items():
        nothing = {name: null() for name in names}
        await tx.execute(update(table).where(table.c.client_id == client_id).values(nothing))


async def _audit(tx: Tx, client_id: int, *, who: str, reason: str, now: datetime) -> int:
    """The history of each invoice says why its buyer has no name; of a client without any, one."""
    statement = select(INVOICES.c.id).where(INVOICES.c.client_id == client_id)
    found: list[int | None] = list(await tx.scalars(statement))
    said = f"client {client_id} erased: {reason}"
    changes = [AuditChange(one, "personal_data", None, said) for one in found or [None]]
    await audit.write(tx, changes, who=who, now=now)
    return len(found)
