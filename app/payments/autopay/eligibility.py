"""Eligibility: the invoices autopay takes, and its reason to skip any other. The only copy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
)

from app.errors import AmountNotAllowed
from app.payments.autopay import attempts
from app.rules import calendar, money, retry
from app.rules.attempt import AttemptState
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.clients import Client
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice

INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)
ATTEMPTS = table_of(ChargeAttempt)

# Ids and a few columns of 200 invoices: memory stays flat however many are due.
PAGE = 200


@dataclass(frozen=True, slots=True)
class LastAttempt:
    """The invoice's newest attempt and its end."""

    number: int
    state: AttemptState
    next_try_on: date | None
    reason: str | None
    intent_id: str | None
    payment_method_id: str | None
    amount_minor: int | None
    currency: str | None
    customer_id: str | None
    charge_id: str | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A flagged invoice with all that decides whether it is charged."""

    invoice_id: int
    invoicenumber: str | None
    duedate: date | None
    amount: Decimal
    currency: str
    voided: bool
    posted: bool
    pending: int
    reversed: int
    client_id: int | None
    client_inactive: bool
    timezone: str | None
    customer_id: str | None
    payment_method_id: str | None
    last: LastAttempt | None


@dataclass(frozen=True, slots=True)
class Skip:
    """A reason to skip an invoice, and the day on which it may be charged."""

    reason: str
    next_try: date | None = None


Position = tuple[date, int]


async def list_due(tx: Tx, day: date, after: Position | None) -> Sequence[Candidate]:
    """Flagged invoices due on or before a day that have something left to pay, by day and id."""
    return await _page(tx, after, INVOICES.c.duedate <= day, HAS_AMOUNT_DUE)


async def list_settled(tx: Tx, day: date, after: Position | None) -> Sequence[Candidate]:
    """Flagged invoices due on that very day with nothing left to pay: reported this once."""
    return await _page(tx, after, INVOICES.c.duedate == day, INVOICES.c.amountdue <= 0)


def position(one: Candidate) -> Position:
    """The place of a listed invoice in its pages; a list holds none without a due date."""
    assert one.duedate is not None, "the lists compare it"
    return one.duedate, one.invoice_id


async def lock_candidate(tx: Tx, invoice_id: int) -> Candidate | None:
    """One invoice, read again under its lock."""
    found = await _LOCKED.all(tx, invoice_id=invoice_id)
    return _candidate(found[0]) if found else None


def skip_reason(one: Candidate, day: date | None, now: datetime, settings: Settings) -> Skip | None:
    """The reason to skip an invoice on a business day, or None when it is charged.

    Without a day, each client's own business day counts.
    """
    today = day or calendar.business_day(now, one.timezone or settings.timezone)
    return (
        _not_chargeable(one, today, settings)
        or _money_elsewhere(one)
        or _not_allowed(one)
        or _after_last_try(one, today)
    )


async def network_limits(
    tx: Tx, payment_method_ids: Iterable[str], now: datetime
) -> dict[str, Skip]:
    """Payment methods that the card networks' limits on retries forbid, over all their invoices."""
    counts = await attempts.count_declines(tx, payment_method_ids, now=now)
    reasons = {
        method: retry.network_limit(declines_today=today, declines_month=month)
        for method, (today, month) in counts.items()
        if month
    }
    return {method: Skip(reason) for method, reason in reasons.items() if reason}


def reusable_intent(one: Candidate, amount_minor: int) -> str | None:
    """The intent of a declined try that a new try may confirm again."""
    last = one.last
    if last is None or last.state != AttemptState.DECLINED:
        return None
    same = (last.amount_minor, last.currency, last.customer_id) == (
        amount_minor,
        one.currency,
        one.customer_id,
    )
    return last.intent_id if same else None


def _not_chargeable(one: Candidate, today: date, settings: Settings) -> Skip | None:
    if one.voided:
        return Skip("the invoice is voided")
    if one.amount <= 0:
        return Skip("nothing is left to pay")
    if one.duedate is None:
        return Skip("the invoice has no due date")
    if one.duedate > today:
        return Skip(f"due on {one.duedate} where the client is", one.duedate)
    if settings.autopay_posted_only and not one.posted:
        return Skip("the invoice is not posted")
    return _client_not_chargeable(one)


def _client_not_chargeable(one: Candidate) -> Skip | None:
    if one.client_id is None:
        return Skip("the invoice has no client")
    if one.client_inactive:
        return Skip("the client is inactive")
    if one.customer_id is None:
        return Skip("the client has no stripe_customer_id")
    return None


def _money_elsewhere(one: Candidate) -> Skip | None:
    last = one.last
    if one.pending or (last and last.state == AttemptState.PROCESSING):
        return Skip("a payment is processing")
    if one.reversed:
        return Skip("a payment was refunded or is disputed: a person decides")
    if last and last.state == AttemptState.UNKNOWN:
        return Skip(f"attempt {last.number} waits for Stripe's answer: {last.reason}")
    if last and last.state == AttemptState.OPEN:
        return Skip(f"attempt {last.number} is under way")
    return None


def _not_allowed(one: Candidate) -> Skip | None:
    try:
        money.to_minor(one.amount, one.currency)
    except AmountNotAllowed as error:
        return Skip(error.message)
    return None


def _after_last_try(one: Candidate, today: date) -> Skip | None:
    last = one.last
    if last is None or last.state != AttemptState.DECLINED:
        return None
    if _is_another_method(one, last):
        return None  # nothing speaks against it yet
    if last.next_try_on is None:
        return Skip(f"attempt {last.number} was declined for good: {last.reason}")
    if last.next_try_on > today:
        return Skip(f"attempt {last.number} was declined: {last.reason}", last.next_try_on)
    return None


def _is_another_method(one: Candidate, last: LastAttempt) -> bool:
    known = one.payment_method_id is not None
    return one.customer_id != last.customer_id or (
        known and one.payment_method_id != last.payment_method_id
    )


class _CandidateRow(NamedTuple):
    """An invoice, its client and its newest attempt, side by side."""

    id: int
    invoicenumber: str | None
    duedate: date | None
    amountdue: Decimal
    currency_iso: str
    voided: bool
    posted: bool
    payments_pending: int
    payments_reversed: int
    client_id: int | None
    inactive: bool | None
    timezone: str | None
    stripe_customer_id: str | None
    stripe_payment_method_id: str | None
    last_number: int | None
    last_state: str | None
    last_next_try_on: date | None
    last_reason: str | None
    last_intent_id: str | None
    last_payment_method_id: str | None
    last_amount_minor: int | None
    last_currency: str | None
    last_customer_id: str | None
    last_charge_id: str | None


_LAST = ATTEMPTS.alias("last")
_LAST_FIELDS = [name for name in _CandidateRow._fields if name.startswith("last_")]


def _candidates() -> Select[*tuple[Any, ...]]:
    newest = (
        select(func.max(ATTEMPTS.c.number))
        .where(ATTEMPTS.c.invoice_id == INVOICES.c.id)
        .correlate(INVOICES)
        .scalar_subquery()
    )
    return select(
        INVOICES.c.id,
        INVOICES.c.invoicenumber,
        INVOICES.c.duedate,
        INVOICES.c.amountdue,
        INVOICES.c.currency_iso,
        INVOICES.c.voided,
        INVOICES.c.posted,
        INVOICES.c.payments_pending,
        INVOICES.c.payments_reversed,
        INVOICES.c.client_id,
        CLIENTS.c.inactive,
        CLIENTS.c.timezone,
        CLIENTS.c.stripe_customer_id,
        CLIENTS.c.stripe_payment_method_id,
        *(_LAST.c[name.removeprefix("last_")].label(name) for name in _LAST_FIELDS),
    ).select_from(
        INVOICES.outerjoin(CLIENTS, CLIENTS.c.id == INVOICES.c.client_id).outerjoin(
            _LAST, and_(_LAST.c.invoice_id == INVOICES.c.id, _LAST.c.number == newest)
        )
    )


_CANDIDATES = _candidates()
_LOCKED = PreparedStatement(
    _CANDIDATES.where(INVOICES.c.id == bindparam("invoice_id")).with_for_update(of=INVOICES),
    _CandidateRow,
)


async def _page(
    tx: Tx, after: Position | None, *conditions: ColumnElement[bool]
) -> Sequence[Candidate]:
    statement = _CANDIDATES.where(
        or_(INVOICES.c.take_auto_payment, INVOICES.c.include_in_autopay),
        INVOICES.c.is_recurring_invoice.is_(False),
        *conditions,
    )
    if after is not None:
        statement = statement.where(tuple_(INVOICES.c.duedate, INVOICES.c.id) > after)
    found = await tx.execute(statement.order_by(INVOICES.c.duedate, INVOICES.c.id).limit(PAGE))
    return [_candidate(_CandidateRow._make(row)) for row in found]


def _candidate(row: _CandidateRow) -> Candidate:
    return Candidate(
        invoice_id=row.id,
        invoicenumber=row.invoicenumber,
        duedate=row.duedate,
        amount=row.amountdue,
        currency=row.currency_iso,
        voided=row.voided,
        posted=row.posted,
        pending=row.payments_pending,
        reversed=row.payments_reversed,
        client_id=row.client_id,
        client_inactive=bool(row.inactive),
        timezone=row.timezone,
        customer_id=row.stripe_customer_id,
        payment_method_id=row.stripe_payment_method_id,
        last=_last_attempt(row),
    )


def _last_attempt(row: _CandidateRow) -> LastAttempt | None:
    if row.last_number is None or row.last_state is None:
        return None
    return LastAttempt(
        number=row.last_number,
        state=AttemptState(row.last_state),
        next_try_on=row.last_next_try_on,
        reason=row.last_reason,
        intent_id=row.last_intent_id,
        payment_method_id=row.last_payment_method_id,
        amount_minor=row.last_amount_minor,
        currency=row.last_currency,
        customer_id=row.last_customer_id,
        charge_id=row.last_charge_id,
    )
