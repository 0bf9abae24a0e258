"""Support's question: what happened to this payment? Answered from indexes."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from sqlalchemy import or_, select

from app.errors import NotFound
from app.ledger.money_back import MoneyBack, load_money_back
from app.rules import money
from app.rules.payment import PaymentStatus
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.tables.charge_attempts import ChargeAttempt, ChargeAttemptShare
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_events import StripeEvent
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_reversals import StripeReversal

PAYMENTS = table_of(InvoicePayment)
INTENTS = table_of(StripePayment)
INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)
ATTEMPTS = table_of(ChargeAttempt)
SHARES = table_of(ChargeAttemptShare)
EVENTS = table_of(StripeEvent)
REVERSALS = table_of(StripeReversal)

# More answers than a person reads; the question is then too wide.
FOUND_MAX = 100
_BIGINT_MAX = 2**63 - 1


class PaymentShare(NamedTuple):
    """The part of a payment that one invoice has, or none has."""

    payment_id: int
    invoice_id: int | None
    invoicenumber: str | None
    amount: Decimal
    counted: Decimal
    status: str


@dataclass(slots=True)
class PaymentStory:
    """One PaymentIntent, or one invoice that has none yet, with all that happened to it."""

    invoice_id: int | None
    invoicenumber: str | None
    client_id: int | None
    intent_id: str | None
    status: str
    amount: Decimal
    currency: str
    shares: list[PaymentShare] = field(default_factory=list)
    money_back: MoneyBack = field(default_factory=MoneyBack)
    attempts: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)

    @property
    def unapplied(self) -> Decimal:
        """Money that no invoice has: the client's credit, or nobody's yet."""
        return sum((one.counted for one in self.shares if one.invoice_id is None), Decimal(0))

    def as_dict(self) -> dict[str, Any]:
        return {
            "invoice_id": self.invoice_id,
            "invoicenumber": self.invoicenumber,
            "client_id": self.client_id,
            "intent_id": self.intent_id,
            "status": self.status,
            "amount": money.text(self.amount, self.currency),
            "currency": self.currency,
            "unapplied": money.text(self.unapplied, self.currency),
            "shares": [_share(one, self.currency) for one in self.shares],
            **self.money_back.as_dict(self.currency, instant),
            "attempts": [_attempt(row) for row in self.attempts],
            "events": [_event(row) for row in self.events],
        }


async def find_intents(tx: Tx, text: str) -> list[PaymentStory]:
    """Everything a text may mean: the id of an intent, charge, event, refund, dispute or warning,
    an invoice's number, id or total, a client's name or Stripe customer."""
    text = text.strip()
    intents = await _intents_named(tx, text)
    if intents:
        return await load_stories(tx, intents, set())
    invoices = await _invoices_named(tx, text)
    if not invoices:
        intents, invoices = await _found_by_amount(tx, text)
    if not (intents or invoices):
        intents, invoices = await _found_by_client(tx, text)
    return await load_stories(tx, intents, invoices)


def may_be_more(stories: Sequence[PaymentStory]) -> bool:
    """Whether as many were found as are looked for; the question is then too wide."""
    return len(stories) >= FOUND_MAX


async def load_stories(
    tx: Tx, intents: Collection[str], invoices: Collection[int]
) -> list[PaymentStory]:
    """The stories of some intents and of everything about some invoices."""
    payments = await _rows(
        tx, PAYMENTS, or_(PAYMENTS.c.intent_id.in_(intents), PAYMENTS.c.invoice_id.in_(invoices))
    )
    attempts = await _attempts_about(tx, intents, invoices)
    known = {row.intent_id for row in (*payments, *attempts) if row.intent_id} | set(intents)
    events = await _events_of(tx, known)
    named = {row.invoice_id for row in (*payments, *attempts) if row.invoice_id} | set(invoices)
    shares = await _rows(tx, PAYMENTS, PAYMENTS.c.intent_id.in_(known))
    named |= {row.invoice_id for row in shares if row.invoice_id}
    headers = {row.id: row for row in await _rows(tx, INVOICES, INVOICES.c.id.in_(named))}
    # An intent of several shares is told as the payment of the invoice that was asked about.
    asked_first = sorted(
        payments, key=lambda row: (row.invoice_id not in invoices, row.invoice_id is None)
    )
    stories = _assemble(asked_first, attempts, events, headers, set(invoices))
    await _add_money(tx, stories, shares, headers)
    return stories


async def _attempts_about(
    tx: Tx, intents: Collection[str], invoices: Collection[int]
) -> Sequence[Record]:
    together = select(SHARES.c.attempt_id).where(SHARES.c.invoice_id.in_(invoices))
    return await _rows(
        tx,
        ATTEMPTS,
        or_(
            ATTEMPTS.c.intent_id.in_(intents),
            ATTEMPTS.c.invoice_id.in_(invoices),
            ATTEMPTS.c.id.in_(together),
        ),
    )


async def _add_money(
    tx: Tx, stories: Iterable[PaymentStory], shares: Iterable[Record], headers: dict[int, Record]
) -> None:
    """Each payment's shares, and the money that went back of it."""
    by_intent = {one.intent_id: one for one in stories if one.intent_id}
    for row in shares:
        by_intent[row.intent_id].shares.append(_of_share(row, headers.get(row.invoice_id)))
    for intent_id, found in (await load_money_back(tx, list(by_intent))).items():
        by_intent[intent_id].money_back = found


async def load_payment_id(tx: Tx, intent_id: str) -> int:
    """The id of an intent's share to assign, or NotFound: the one that no invoice has, if any."""
    found = await tx.scalar(
        select(PAYMENTS.c.id)
        .where(PAYMENTS.c.intent_id == intent_id)
        .order_by(PAYMENTS.c.invoice_id.is_not(None), PAYMENTS.c.id)
        .limit(1)
    )
    if found is None:
        raise NotFound("payment", intent_id)
    return int(found)


# --- what a text means -----------------------------------------------------------------------


async def _intents_named(tx: Tx, text: str) -> set[str]:
    kind, _, rest = text.partition("_")
    if not rest:
        return set()
    match kind:
        case "pi":
            return {text}
        case "ch" | "py":
            return await _set(tx, INTENTS.c.intent_id, INTENTS.c.charge_id == text)
        case "evt":
            return await _set(tx, EVENTS.c.intent_id, EVENTS.c.event_id == text)
        case "re" | "pyr" | "dp" | "du" | "issfr":
            return await _set(tx, REVERSALS.c.intent_id, REVERSALS.c.id == text)
        case "cs":
            return await _set(tx, EVENTS.c.intent_id, EVENTS.c.object_id == text)
    return set()


async def _invoices_named(tx: Tx, text: str) -> set[int]:
    found = await _set(tx, INVOICES.c.id, INVOICES.c.invoicenumber == text)
    if text.isascii() and text.isdigit() and int(text) <= _BIGINT_MAX:
        found |= await _set(tx, INVOICES.c.id, INVOICES.c.id == int(text))
    return found


async def _found_by_amount(tx: Tx, text: str) -> tuple[set[str], set[int]]:
    """Payments of an amount, also those that no invoice has, and invoices of that total."""
    amount = _amount(text)
    if amount is None:
        return set(), set()
    return (
        await _set(tx, INTENTS.c.intent_id, INTENTS.c.amount == amount),
        await _set(tx, INVOICES.c.id, INVOICES.c.total == amount),
    )


async def _found_by_client(tx: Tx, text: str) -> tuple[set[str], set[int]]:
    """All payments and invoices of clients, also the payments that no invoice has."""
    clients = await _set(
        tx,
        CLIENTS.c.id,
        or_(CLIENTS.c.stripe_customer_id == text, CLIENTS.c.name.icontains(text, autoescape=True)),
    )
    if not clients:
        return set(), set()
    return (
        await _set(tx, PAYMENTS.c.intent_id, PAYMENTS.c.client_id.in_(clients)),
        await _set(tx, INVOICES.c.id, INVOICES.c.client_id.in_(clients)),
    )


def _amount(text: str) -> Decimal | None:
    try:
        found = Decimal(text.replace(",", "").lstrip("$€£¥ "))
    except InvalidOperation:
        return None
    usable = found.is_finite() and 0 < found < money.MINOR_MAX and found == round(found, 6)
    return found if usable else None


# --- reading ---------------------------------------------------------------------------------


async def _set(tx: Tx, column: Any, condition: Any) -> set[Any]:
    rows = await tx.scalars(
        select(column).where(condition, column.is_not(None)).distinct().limit(FOUND_MAX)
    )
    return set(rows)


async def _rows(tx: Tx, table: Any, condition: Any) -> Sequence[Record]:
    return (await tx.execute(select(table).where(condition).order_by(table.c.id))).all()


async def _events_of(tx: Tx, intents: Iterable[str]) -> Sequence[Record]:
    columns = (
        EVENTS.c.event_id,
        EVENTS.c.type,
        EVENTS.c.intent_id,
        EVENTS.c.received_at,
        EVENTS.c.state,
        EVENTS.c.error,
    )
    wanted = select(*columns, EVENTS.c.created_at).where(EVENTS.c.intent_id.in_(sorted(intents)))
    found = (await tx.execute(wanted.order_by(EVENTS.c.created_at, EVENTS.c.id))).all()
    # Within Stripe's one second, the event that says an intent exists is told first.
    return sorted(found, key=lambda row: (row.created_at, row.type != "payment_intent.created"))


# --- telling ---------------------------------------------------------------------------------


def _assemble(
    payments: Sequence[Record],
    attempts: Sequence[Record],
    events: Sequence[Record],
    headers: dict[int, Record],
    invoices: set[int],
) -> list[PaymentStory]:
    found: dict[str, PaymentStory] = {}
    by_hand = [_of_payment(row, headers) for row in payments if row.intent_id is None]
    for row in payments:
        if row.intent_id:
            found.setdefault(row.intent_id, _of_payment(row, headers))
    without_intent: dict[int, list[Record]] = {}
    for row in attempts:
        if row.intent_id is None:
            without_intent.setdefault(row.invoice_id, []).append(row)
        else:
            story = found.setdefault(row.intent_id, _of_attempt(row, headers))
            story.attempts.append(row)
    for row in events:
        story = found.setdefault(row.intent_id, _of_event(row))
        story.events.append(row)
    told = {story.invoice_id for story in (*found.values(), *by_hand)}
    told |= {row.invoice_id for row in payments}
    lonely = (invoices | without_intent.keys()) - {one for one in told if one is not None}
    stories = [*found.values(), *by_hand]
    for invoice_id in sorted(lonely & headers.keys()):
        story = _of_invoice(headers[invoice_id])
        story.attempts = without_intent.get(invoice_id, [])
        stories.append(story)
    return stories


def _of_payment(row: Record, headers: dict[int, Record]) -> PaymentStory:
    header = headers.get(row.invoice_id)
    return PaymentStory(
        row.invoice_id,
        header.invoicenumber if header else None,
        row.client_id,
        row.intent_id,
        PaymentStatus(row.status).name.lower(),
        row.amount,
        row.currency_iso,
    )


def _of_share(row: Record, header: Record | None) -> PaymentShare:
    return PaymentShare(
        row.id,
        row.invoice_id,
        header.invoicenumber if header else None,
        row.amount,
        row.counted,
        PaymentStatus(row.status).name.lower(),
    )


def _of_attempt(row: Record, headers: dict[int, Record]) -> PaymentStory:
    header = headers.get(row.invoice_id)
    return PaymentStory(
        row.invoice_id,
        header.invoicenumber if header else None,
        header.client_id if header else None,
        row.intent_id,
        row.state,
        money.from_minor(row.amount_minor, row.currency),
        row.currency,
    )


def _of_event(row: Record) -> PaymentStory:
    return PaymentStory(None, None, None, row.intent_id, f"event {row.state}", Decimal(0), "")


def _of_invoice(row: Record) -> PaymentStory:
    status = "voided" if row.voided else "not charged" if row.amountdue > 0 else "paid"
    return PaymentStory(
        row.id, row.invoicenumber, row.client_id, None, status, row.amountdue, row.currency_iso
    )


def _share(one: PaymentShare, currency: str) -> dict[str, Any]:
    amounts = {name: money.text(getattr(one, name), currency) for name in ("amount", "counted")}
    return {**one._asdict(), **amounts}


def _attempt(row: Record) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": row.state,
        "at": instant(row.confirm_sent_at or row.created_at),
        "code": row.code,
        "decline_code": row.decline_code,
        "advice_code": row.advice_code,
        "reason": row.reason,
        "next_try": _day(row.next_try_on),
    }


def _event(row: Record) -> dict[str, Any]:
    return {
        "id": row.event_id,
        "type": row.type,
        "received_at": instant(row.received_at),
        "state": row.state,
        "error": row.error,
    }


def instant(value: datetime | None) -> str | None:
    """ISO 8601 with `Z`."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else None


def _day(value: date | None) -> str | None:
    return value.isoformat() if value else None
