"""Reads of payouts: their lines, the payment and the invoices of each, and whether they add up."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    bindparam,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.base import ColumnCollection

from app.errors import NotFound
from app.rules.payment import ReversalKind
from app.rules.payout import ENDED
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.tables.clients import Client
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_payouts import BalanceTransaction, StripePayout
from app.storage.tables.stripe_reversals import StripeReversal

PAYOUTS = table_of(StripePayout)
TRANSACTIONS = table_of(BalanceTransaction)
INTENTS = table_of(StripePayment)
PAYMENTS = table_of(InvoicePayment)
REVERSALS = table_of(StripeReversal)
INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)

# A payout of a large account has thousands of lines; they are read and printed so many at a time.
LINES_AT_ONCE = 500
# More differences than a person looks into.
DIFFERENCES_MAX = 1000
_ZERO = Decimal(0)

Condition = ColumnElement[bool]
Columns = ColumnCollection[str, ColumnElement[object]]


# --- whose money a balance transaction is --------------------------------------------------------


class SourceOwner(NamedTuple):
    """The payment that a charge, a refund or a dispute belongs to, with one of its shares."""

    source_id: str | None
    intent_id: str
    client_id: int | None
    client_name: str | None
    invoice_id: int | None
    invoicenumber: str | None


def _sources(wanted: Callable[[Columns], Condition]) -> CompoundSelect[*tuple[object, ...]]:
    """Charges, refunds and disputes with their intents: those that the condition picks.

    The only place that says how a balance transaction's source leads to a payment.
    """
    kinds = (
        select(INTENTS.c.charge_id.label("source_id"), INTENTS.c.intent_id),
        # A charge's running total of refunds has the charge's own id, which is found above.
        select(REVERSALS.c.id.label("source_id"), REVERSALS.c.intent_id).where(
            REVERSALS.c.kind != ReversalKind.CHARGE
        ),
    )
    return union_all(*(one.where(wanted(one.selected_columns)) for one in kinds))


def is_of_intent(source_id: ColumnElement[str], intent_id: ColumnElement[str]) -> Condition:
    """The source is a charge, a refund or a dispute of this PaymentIntent."""
    sources = _sources(lambda columns: columns["intent_id"] == intent_id).subquery()
    return source_id.in_(select(sources.c.source_id))


def _owners() -> Select[*tuple[object, ...]]:
    source = _sources(lambda columns: any_of(columns["source_id"], "wanted")).subquery("source")
    return (
        select(
            source.c.source_id,
            source.c.intent_id,
            CLIENTS.c.id.label("client_id"),
            CLIENTS.c.name.label("client_name"),
            PAYMENTS.c.invoice_id,
            INVOICES.c.invoicenumber,
        )
        .outerjoin(INTENTS, INTENTS.c.intent_id == source.c.intent_id)
        .outerjoin(PAYMENTS, PAYMENTS.c.intent_id == source.c.intent_id)
        .outerjoin(
            CLIENTS, CLIENTS.c.id == func.coalesce(PAYMENTS.c.client_id, INTENTS.c.client_id)
        )
        .outerjoin(INVOICES, INVOICES.c.id == PAYMENTS.c.invoice_id)
        .order_by(PAYMENTS.c.invoice_id)
    )


_OWNERS = PreparedStatement(_owners(), SourceOwner)


async def load_owners(tx: Tx, sources: Collection[str]) -> Mapping[str, list[SourceOwner]]:
    """The payments of these charges, refunds and disputes, one entry for each share."""
    found: dict[str, list[SourceOwner]] = {}
    for one in await _OWNERS.all(tx, wanted=list(sources)):
        assert one.source_id is not None, "it is one of those that were asked for"
        found.setdefault(one.source_id, []).append(one)
    return found


class PaymentMovement(NamedTuple):
    """A balance transaction of a payment: its fee and net, and the payout that holds it."""

    intent_id: str
    transaction_id: str
    type: str
    currency_iso: str
    amount: Decimal
    fee: Decimal
    net: Decimal
    payout_id: str | None


def _movements() -> Select[*tuple[object, ...]]:
    source = _sources(lambda columns: any_of(columns["intent_id"], "wanted")).subquery("source")
    names = PaymentMovement._fields[1:]
    return (
        select(source.c.intent_id, *(TRANSACTIONS.c[name] for name in names))
        .join(TRANSACTIONS, TRANSACTIONS.c.source_id == source.c.source_id)
        .order_by(TRANSACTIONS.c.created_at, TRANSACTIONS.c.transaction_id)
    )


_MOVEMENTS = PreparedStatement(_movements(), PaymentMovement)


async def list_movements(tx: Tx, intents: Collection[str]) -> list[PaymentMovement]:
    """The balance transactions of these payments, refunds and disputes among them, oldest first."""
    return await _MOVEMENTS.all(tx, wanted=list(intents))


# --- payouts ---------------------------------------------------------------------------------


class PayoutRow(NamedTuple):
    payout_id: str
    status: str
    amount: Decimal
    currency_iso: str
    automatic: bool
    arrival_date: date
    created_at: datetime
    failure_code: str | None


class LineSums(NamedTuple):
    """The sums of a payout's lines."""

    payout_id: str | None
    lines: int
    gross: Decimal
    fee: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class PayoutTotals:
    """A payout with the sums of its lines."""

    payout: PayoutRow
    sums: LineSums

    @property
    def missing(self) -> Decimal:
        """The part of the amount that no line explains; less than zero when they explain more."""
        return self.payout.amount - self.sums.net

    @property
    def warning(self) -> str | None:
        """Why the lines do not add up to the amount; None when they do."""
        if not self.missing:
            return None
        if not self.payout.automatic:
            return "Stripe does not say of which transactions a manual payout is made"
        if self.payout.status not in ENDED:
            return f"the payout is {self.payout.status}; its lines are read when it has ended"
        if not self.sums.lines:
            return "its lines are not read yet: run `paydue reconcile`"
        return "lines are missing: the net amounts do not add up to the payout's amount"


_NEWEST = PreparedStatement(
    select(*projection(PAYOUTS, PayoutRow))
    .order_by(PAYOUTS.c.arrival_date.desc(), PAYOUTS.c.id.desc())
    .limit(bindparam("limit", type_=PAYOUTS.c.id.type)),
    PayoutRow,
)
_ONE = PreparedStatement(
    select(*projection(PAYOUTS, PayoutRow)).where(PAYOUTS.c.payout_id == bindparam("payout_id")),
    PayoutRow,
)
# The payout itself is a movement of the balance too, and no line of its own.
_IS_LINE = or_(
    TRANSACTIONS.c.source_id.is_(None), TRANSACTIONS.c.source_id != TRANSACTIONS.c.payout_id
)
_SUM_COLUMNS = (
    TRANSACTIONS.c.payout_id,
    func.count().label("lines"),
    func.sum(TRANSACTIONS.c.amount).label("gross"),
    func.sum(TRANSACTIONS.c.fee).label("fee"),
    func.sum(TRANSACTIONS.c.net).label("net"),
)
_SUMS = PreparedStatement(
    select(*_SUM_COLUMNS)
    .where(any_of(TRANSACTIONS.c.payout_id, "payouts"), _IS_LINE)
    .group_by(TRANSACTIONS.c.payout_id),
    LineSums,
)


async def list_payouts(tx: Tx, limit: int) -> list[PayoutTotals]:
    """The payouts that arrive last, first."""
    return await _with_sums(tx, await _NEWEST.all(tx, limit=limit))


async def load_payout(tx: Tx, payout_id: str) -> PayoutTotals:
    """The payout with its sums, or NotFound."""
    found = await _with_sums(tx, await _ONE.all(tx, payout_id=payout_id))
    if not found:
        raise NotFound("payout", payout_id)
    return found[0]


async def load_sums(tx: Tx, payout_ids: Collection[str]) -> dict[str, LineSums]:
    """The sums of these payouts; zeros for one that has no lines."""
    found = {row.payout_id: row for row in await _SUMS.all(tx, payouts=list(payout_ids))}
    return {one: found.get(one) or LineSums(one, 0, _ZERO, _ZERO, _ZERO) for one in payout_ids}


async def _with_sums(tx: Tx, payouts: Sequence[PayoutRow]) -> list[PayoutTotals]:
    sums = await load_sums(tx, [one.payout_id for one in payouts])
    return [PayoutTotals(one, sums[one.payout_id]) for one in payouts]


# --- lines -----------------------------------------------------------------------------------


class LineRow(NamedTuple):
    id: int
    transaction_id: str
    type: str
    source_id: str | None
    description: str | None
    currency_iso: str
    amount: Decimal
    fee: Decimal
    net: Decimal
    exchange_rate: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PayoutLine:
    """A balance transaction of a payout, and the payment that it is of."""

    row: LineRow
    owners: Sequence[SourceOwner]

    @property
    def intent_id(self) -> str | None:
        return self.owners[0].intent_id if self.owners else None

    @property
    def client_name(self) -> str | None:
        return self.owners[0].client_name if self.owners else None

    @property
    def invoices(self) -> list[str]:
        """The invoices' numbers; the id of one that has no number."""
        return [
            one.invoicenumber or str(one.invoice_id)
            for one in self.owners
            if one.invoice_id is not None
        ]


_LINES = PreparedStatement(
    select(*projection(TRANSACTIONS, LineRow))
    .where(
        TRANSACTIONS.c.payout_id == bindparam("payout_id"),
        TRANSACTIONS.c.id > bindparam("after"),
        _IS_LINE,
    )
    .order_by(TRANSACTIONS.c.id)
    .limit(LINES_AT_ONCE),
    LineRow,
)


async def iterate_lines(tx: Tx, payout_id: str) -> AsyncIterator[PayoutLine]:
    """The lines of a payout, read page by page."""
    after = 0
    while rows := await _LINES.all(tx, payout_id=payout_id, after=after):
        owners = await load_owners(tx, {row.source_id for row in rows if row.source_id})
        for row in rows:
            yield PayoutLine(row, owners.get(row.source_id or "", ()))
        after = rows[-1].id


# --- proof -----------------------------------------------------------------------------------


def _unequal() -> Select[*tuple[object, ...]]:
    sums = select(*_SUM_COLUMNS).where(_IS_LINE).group_by(TRANSACTIONS.c.payout_id).subquery()
    return (
        select(*projection(PAYOUTS, PayoutRow))
        .outerjoin(sums, sums.c.payout_id == PAYOUTS.c.payout_id)
        .where(
            PAYOUTS.c.automatic,
            PAYOUTS.c.status.in_(sorted(ENDED)),
            func.coalesce(sums.c.net, 0) != PAYOUTS.c.amount,
        )
        .order_by(PAYOUTS.c.arrival_date.desc(), PAYOUTS.c.id.desc())
        .limit(DIFFERENCES_MAX)
    )


async def differences(tx: Tx) -> list[PayoutTotals]:
    """The ended payouts whose lines do not add up to their amount; none when all is known.

    Manual payouts are left out, for Stripe does not say of which transactions they are made.
    """
    rows = [PayoutRow._make(row) for row in await tx.execute(_unequal())]
    return await _with_sums(tx, rows)
