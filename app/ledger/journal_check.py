"""Proof that the journal agrees with invoices, payments and Stripe's balance transactions."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)

from app.ledger import payout_lines
from app.rules.double_entry import Account
from app.rules.invoice import InvoiceKind
from app.rules.money import plain
from app.storage.column_types import Exact, table_of
from app.storage.engines import Tx
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import Invoice
from app.storage.tables.journal_entries import JournalEntry, JournalLine
from app.storage.tables.stripe_payments import StripePayment
from app.storage.tables.stripe_payouts import BalanceTransaction

ENTRIES = table_of(JournalEntry)
LINES = table_of(JournalLine)
INVOICES = table_of(Invoice)
PAYMENTS = table_of(InvoicePayment)
INTENTS = table_of(StripePayment)
TRANSACTIONS = table_of(BalanceTransaction)

# More differences than a person looks into, of each check.
DIFFERENCES_MAX = 1000
_ZERO = Decimal(0)

Rows = Select[*tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class BookDifference:
    """Two sums that should be equal and are not: the books' own, and the journal's."""

    check: str
    of: str | None
    currency: str
    expected: Decimal
    found: Decimal

    def __str__(self) -> str:
        of = f" of {self.of}" if self.of else ""
        amounts = f"{plain(self.expected)} expected, {plain(self.found)} found"
        return f"{self.check}{of} in {self.currency}: {amounts}"


async def differences(tx: Tx) -> list[str]:
    """The differences between the journal and the facts that it follows from, one line each."""
    return [str(one) for one in await list_differences(tx)]


async def list_differences(tx: Tx) -> list[BookDifference]:
    """The differences within our own books; payouts aside, for their lines come later."""
    found = []
    for name, statement in _CHECKS.items():
        for row in await tx.execute(statement.limit(DIFFERENCES_MAX)):
            sums = _Sums._make(row)
            found.append(BookDifference(name, *sums))
    return found


async def list_payout_differences(tx: Tx) -> list[BookDifference]:
    """The ended payouts whose lines do not add up to their amount."""
    return [
        BookDifference(
            "payout", one.payout.payout_id, one.payout.currency_iso, one.payout.amount, one.sums.net
        )
        for one in await payout_lines.differences(tx)
    ]


class _Sums(NamedTuple):
    of: str | None
    currency: str
    expected: Decimal
    found: Decimal


# --- statements ------------------------------------------------------------------------------


def _sum(amount: ColumnElement[object]) -> ColumnElement[Decimal]:
    # PostgreSQL's sum of BIGINT is NUMERIC.
    return cast(func.coalesce(func.sum(amount), 0), Exact)


def _side(
    of: ColumnElement[object],
    currency: ColumnElement[str],
    expected: ColumnElement[object] | None = None,
    found: ColumnElement[object] | None = None,
) -> Rows:
    """One of the two sides of a comparison; the other counts nothing."""
    zero = literal(_ZERO, Exact)
    return select(
        cast(of, String).label("of"),
        currency.label("currency"),
        (zero if expected is None else expected).label("expected"),
        (zero if found is None else found).label("found"),
    )


def _unequal(*sides: Rows) -> Rows:
    """The keys and currencies whose expected and found sums are not the same."""
    side = union_all(*sides).subquery("side")
    expected, found = _sum(side.c.expected), _sum(side.c.found)
    return (
        select(side.c.of, side.c.currency, expected.label("expected"), found.label("found"))
        .group_by(side.c.of, side.c.currency)
        .having(func.sum(side.c.expected) != func.sum(side.c.found))
        .order_by(side.c.of, side.c.currency)
    )


def _of_account(account: Account, of: ColumnElement[object], *, is_credit: bool = False) -> Rows:
    """The lines of an account; a credit account has its balance below zero."""
    amount = -LINES.c.amount if is_credit else LINES.c.amount
    return (
        _side(of, ENTRIES.c.currency_iso, found=amount)
        .select_from(LINES.join(ENTRIES, ENTRIES.c.id == LINES.c.entry_id))
        .where(LINES.c.account == account.value)
    )


_ALL: ColumnElement[object] = cast(literal(None), String)
_IS_TEMPLATE = or_(INVOICES.c.is_recurring_invoice, INVOICES.c.id < 0)
# rules/double_entry.py: owed_total and credit_total, in SQL.
_IS_OWED = and_(INVOICES.c.invoicetype == InvoiceKind.INVOICE, ~INVOICES.c.voided)
_OWED = case((and_(_IS_OWED, INVOICES.c.total > 0), INVOICES.c.total), else_=_ZERO)
_IS_NOTE = or_(INVOICES.c.invoicetype == InvoiceKind.CREDIT_NOTE, INVOICES.c.total < 0)


def _used_notes() -> Rows:
    """Credit notes with what they paid, where that is more than their total."""
    used = (
        select(PAYMENTS.c.credit_note_id, func.sum(PAYMENTS.c.counted).label("used"))
        .where(PAYMENTS.c.credit_note_id.is_not(None))
        .group_by(PAYMENTS.c.credit_note_id)
        .subquery("used")
    )
    total = func.abs(INVOICES.c.total)
    return (
        select(
            cast(used.c.credit_note_id, String).label("of"),
            func.coalesce(INVOICES.c.currency_iso, "").label("currency"),
            _as_money(func.coalesce(total, 0)).label("expected"),
            _as_money(used.c.used).label("found"),
        )
        .select_from(used.outerjoin(INVOICES, INVOICES.c.id == used.c.credit_note_id))
        .where(used.c.used > func.coalesce(total, 0))
    )


def _as_money(amount: ColumnElement[object]) -> ColumnElement[Decimal]:
    return cast(amount, Exact)


_UNAPPLIED = PAYMENTS.c.invoice_id.is_(None)
_CHECKS: dict[str, Rows] = {
    "journal entry": _unequal(
        _side(LINES.c.entry_id, func.coalesce(ENTRIES.c.currency_iso, ""), found=LINES.c.amount)
        .select_from(LINES.outerjoin(ENTRIES, ENTRIES.c.id == LINES.c.entry_id))
    ),
    "receivable of client": _unequal(
        _side(INVOICES.c.client_id, INVOICES.c.currency_iso, _OWED - INVOICES.c.amountpaid)
        .where(~_IS_TEMPLATE),
        _of_account(Account.RECEIVABLE, LINES.c.client_id),
    ),
    "credit of client": _unequal(
        _side(PAYMENTS.c.client_id, PAYMENTS.c.currency_iso, PAYMENTS.c.counted)
        .where(_UNAPPLIED, PAYMENTS.c.client_id.is_not(None)),
        _of_account(Account.CLIENT_CREDIT, LINES.c.client_id, is_credit=True),
    ),
    "unassigned money": _unequal(
        _side(_ALL, PAYMENTS.c.currency_iso, PAYMENTS.c.counted)
        .where(_UNAPPLIED, PAYMENTS.c.client_id.is_(None)),
        _of_account(Account.UNASSIGNED, _ALL, is_credit=True),
    ),
    "Stripe balance": _unequal(
        _side(_ALL, TRANSACTIONS.c.currency_iso, TRANSACTIONS.c.net),
        _of_account(Account.STRIPE_BALANCE, _ALL),
    ),
    "shares of payment": _unequal(
        _side(INTENTS.c.intent_id, INTENTS.c.currency_iso, INTENTS.c.amount),
        _side(PAYMENTS.c.intent_id, PAYMENTS.c.currency_iso, found=PAYMENTS.c.amount)
        .where(PAYMENTS.c.intent_id.is_not(None)),
    ),
    "credit note": _used_notes(),
}  # fmt: skip
