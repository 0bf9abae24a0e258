"""Messages of the outbox: queued in the transaction of what they tell, each at most once.

A kind of mail that is not switched on writes nothing. Texts, languages and addresses are found when
a message is sent; its facts are as they were.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypedDict

from sqlalchemy import delete, select, update

from app.errors import NotFound, Refused
from app.ledger.allocations import Allocations, Stored
from app.ledger.balances import InvoiceRow
from app.rules import money
from app.rules.mail_kind import MailKind, kind_of_decline
from app.rules.payment import Payment
from app.storage.bulk_writes import BulkInsertOnce, TableWrite
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import upsert
from app.storage.tables.cluster import MAIL_KINDS, InstallationValue
from app.storage.tables.outbox_messages import OutboxChannel, OutboxMessage, OutboxState

OUTBOX = table_of(OutboxMessage)
FACTS = table_of(InstallationValue)

# A payment that Stripe took longer ago comes from a history that was read: nobody is told of it.
RECENT = timedelta(days=3)
RESTORED = "a backup was restored: it may have been sent before"

JsonValue = str | int | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


class OutboxColumns(TypedDict):
    """The columns of a message that waits."""

    key: str
    channel: OutboxChannel
    kind: str
    client_id: int | None
    invoice_id: int | None
    facts: Mapping[str, JsonValue]
    state: OutboxState
    created_at: datetime
    next_try_at: datetime
    tries: int


_INSERT = BulkInsertOnce(OUTBOX, "key", OutboxColumns.__annotations__)


class Charged(NamedTuple):
    """The amount that a message is about, with the part of each invoice."""

    amount: Decimal
    currency: str
    invoices: Mapping[int, Decimal]

    def facts(self) -> dict[str, JsonValue]:
        parts = sorted(self.invoices.items())
        return {
            "amount": money.text(self.amount, self.currency),
            "currency": self.currency,
            "invoices": [
                {"id": one, "amount": money.text(part, self.currency)} for one, part in parts
            ],
        }


# --- switches ----------------------------------------------------------------------------------


def kinds_in(value: str | None) -> frozenset[str]:
    """The kinds of a comma-separated list."""
    return frozenset(one for one in (value or "").split(",") if one)


async def load_kinds(tx: Tx) -> frozenset[str]:
    """The kinds of mail that are switched on."""
    return kinds_in(await tx.scalar(select(FACTS.c.value).where(FACTS.c.name == MAIL_KINDS)))


async def switch(tx: Tx, kinds: Collection[MailKind], *, is_on: bool) -> frozenset[str]:
    """Switch kinds on or off for all clients; answers those that are on then."""
    known = await load_kinds(tx)
    now_on = known | set(kinds) if is_on else known - set(kinds)
    value = ",".join(sorted(now_on))
    await upsert(tx, FACTS, [{"name": MAIL_KINDS, "value": value}], key=[FACTS.c.name])
    return frozenset(now_on)


async def stop_after_restore(tx: Tx) -> None:
    """Send nothing of a restored copy: it may have been sent, and receipts come anew from Stripe.

    Every kind is off until a person switches it on.
    """
    await tx.execute(delete(FACTS).where(FACTS.c.name == MAIL_KINDS))
    is_due = OUTBOX.c.state.in_((OutboxState.QUEUED, OutboxState.SENDING))
    await tx.execute(update(OUTBOX).where(is_due).values(state=OutboxState.UNKNOWN, error=RESTORED))


# --- queueing ----------------------------------------------------------------------------------


def message(
    kind: str,
    occasion: str,
    facts: Mapping[str, JsonValue],
    *,
    now: datetime,
    client_id: int | None = None,
    invoice_id: int | None = None,
    channel: OutboxChannel = OutboxChannel.MAIL,
) -> OutboxColumns:
    """A message that waits; `occasion` names what it tells, and allows it once."""
    return {
        "key": f"{channel}:{kind}:{occasion}",
        "channel": channel,
        "kind": kind,
        "client_id": client_id,
        "invoice_id": invoice_id,
        "facts": facts,
        "state": OutboxState.QUEUED,
        "created_at": now,
        "next_try_at": now,
        "tries": 0,
    }


async def queue(tx: Tx, messages: Sequence[OutboxColumns]) -> set[str]:
    """Queue messages; answers the keys of those that had not been queued before."""
    return await _INSERT.insert_new(tx, messages)


def receipt_writes(
    invoices: Mapping[int, InvoiceRow],
    after: Mapping[str, Payment],
    stored: Stored,
    shares: Allocations,
    now: datetime,
) -> list[TableWrite]:
    """A receipt for each payment that begins to count for an invoice; mostly none is wanted."""
    if not any(MailKind.RECEIPT in kinds_in(row.mail_kinds) for row in invoices.values()):
        return []
    receipts = []
    for intent, parts in shares.items():
        counted = {key: one.counted for key, one in parts.items() if key and one.counted > 0}
        had = any(one.counted for key, one in stored.of(intent).items() if key)
        payment = after[intent]
        if counted and not had and now - (payment.intent_at or payment.state_at) < RECENT:
            client_id = invoices[min(counted)].client_id
            receipts.append(_receipt(payment, counted, client_id, now))
    return [(_INSERT, receipts)]


def _receipt(
    payment: Payment,
    counted: Mapping[int, Decimal],
    client_id: int | None,
    now: datetime,
) -> OutboxColumns:
    charged = Charged(sum(counted.values(), Decimal(0)), payment.currency, counted)
    paid_at = payment.intent_at or payment.state_at
    facts = {**charged.facts(), "method": payment.method, "at": paid_at.isoformat()}
    return message(
        MailKind.RECEIPT,
        payment.intent_id,
        facts,
        now=now,
        client_id=client_id,
        invoice_id=min(counted),
    )


async def queue_decline(
    tx: Tx,
    attempt_id: int,
    charged: Charged,
    *,
    client_id: int | None,
    was_processing: bool,
    next_try_on: date | None,
    now: datetime,
) -> None:
    """Tell the client of a decline, by the kind that fits, where that kind is on."""
    kind = kind_of_decline(was_processing=was_processing, next_try_on=next_try_on)
    if kind not in await load_kinds(tx):
        return
    facts = {**charged.facts(), "next_try_on": next_try_on.isoformat() if next_try_on else None}
    told = message(
        kind,
        f"attempt {attempt_id}",
        facts,
        now=now,
        client_id=client_id,
        invoice_id=min(charged.invoices),
    )
    await queue(tx, [told])


class OpenedDispute(NamedTuple):
    """A dispute that Stripe reports for the first time."""

    id: str
    intent_id: str
    amount: Decimal
    currency: str
    reason: str | None
    evidence_due_at: datetime | None


async def queue_disputes(tx: Tx, opened: Sequence[OpenedDispute], *, now: datetime) -> None:
    """Tell finance of new disputes, where that is on."""
    if not opened or MailKind.DISPUTE not in await load_kinds(tx):
        return
    await queue(tx, [_dispute(one, now) for one in opened])


def _dispute(one: OpenedDispute, now: datetime) -> OutboxColumns:
    due = one.evidence_due_at.isoformat() if one.evidence_due_at else None
    facts: dict[str, JsonValue] = {
        "dispute": one.id,
        "intent_id": one.intent_id,
        "amount": money.text(one.amount, one.currency),
        "currency": one.currency,
        "reason": one.reason,
        "evidence_due_at": due,
    }
    return message(MailKind.DISPUTE, one.id, facts, now=now)


# --- a person's word ----------------------------------------------------------------------------

_MAY_BE_RETRIED = (OutboxState.UNKNOWN, OutboxState.FAILED, OutboxState.SKIPPED)


async def retry(tx: Tx, message_id: int, *, now: datetime) -> None:
    """Queue a message again because a person says so; one that was sent is sent no second time."""
    state = await tx.scalar(select(OUTBOX.c.state).where(OUTBOX.c.id == message_id))
    if state is None:
        raise NotFound("message", message_id)
    changed = await tx.execute(
        update(OUTBOX)
        .where(OUTBOX.c.id == message_id, OUTBOX.c.state.in_(_MAY_BE_RETRIED))
        .values(
            state=OutboxState.QUEUED,
            lease_token=None,
            lease_until=None,
            created_at=now,
            next_try_at=now,
            tries=0,
            error=None,
        )
    )
    if not changed.rowcount:
        raise Refused(f"message {message_id} is {state}; it is not sent again")
