"""The journal's rules: the lines in double entry that follow from a fact about money.

A debit is positive and a credit negative, so the lines of an entry add up to zero. A fact that
changes is booked by the difference between its postings as they were and as they are.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from app.rules.allocation import Share
from app.rules.invoice import InvoiceKind, is_owed
from app.rules.payment import PaymentState
from app.rules.payout import BalanceMovement

ZERO = Decimal(0)


class Account(StrEnum):
    RECEIVABLE = "receivable"  # what clients owe, by client and invoice
    INCOME = "income"  # what invoices say, taxes included
    STRIPE_CLEARING = "stripe_clearing"  # taken by Stripe, and not in its balance yet
    STRIPE_BALANCE = "stripe_balance"
    FEES = "fees"
    DISPUTES = "disputes"  # withdrawn for disputes that nobody has lost yet
    CLIENT_CREDIT = "client_credit"  # a client's money that no invoice has
    UNASSIGNED = "unassigned"  # money of nobody known
    BANK = "bank"
    CASH = "cash"  # payments entered by hand
    CREDIT_NOTES = "credit_notes"  # what credit notes can still pay


class EntryKind(StrEnum):
    OPENING = "opening"
    INVOICE = "invoice"
    PAYMENT = "payment"
    HAND_PAYMENT = "hand_payment"
    BALANCE_TRANSACTION = "balance_transaction"


class AccountKey(NamedTuple):
    """An account, and whose line of it is meant."""

    account: Account
    client_id: int | None = None
    invoice_id: int | None = None


# Amounts by account; they add up to zero.
Postings = dict[AccountKey, Decimal]


class InvoicePosting(NamedTuple):
    """The columns of an invoice that the journal books."""

    id: int
    client_id: int | None
    currency_iso: str
    voided: bool
    invoicetype: int
    is_recurring_invoice: bool
    total: Decimal
    amountpaid: Decimal


class HandPayment(NamedTuple):
    """A payment entered by hand, as the journal books it."""

    id: int
    client_id: int | None
    invoice_id: int | None
    currency_iso: str
    counted: Decimal
    credit_note_id: int | None


def owed_total(invoice: InvoicePosting) -> Decimal:
    """The total that the client owes, before any payment."""
    if invoice.is_recurring_invoice or invoice.total < 0:
        return ZERO
    return invoice.total if is_owed(invoice.invoicetype, voided=invoice.voided) else ZERO


def credit_total(invoice: InvoicePosting) -> Decimal:
    """The total that a credit note can pay."""
    is_note = invoice.invoicetype == InvoiceKind.CREDIT_NOTE or invoice.total < 0
    if not is_note or invoice.voided or invoice.is_recurring_invoice:
        return ZERO
    return abs(invoice.total)


def invoice_postings(invoice: InvoicePosting) -> Postings:
    """An invoice makes its client owe its total; a credit note takes its total from the income.

    The receivable is less what was paid, so that an invoice takes all of it to another client.
    Only the difference of two of these adds up to zero: `amountpaid` is the same in both.
    """
    owed, credit = owed_total(invoice), credit_total(invoice)
    return {
        AccountKey(Account.RECEIVABLE, invoice.client_id, invoice.id): owed - invoice.amountpaid,
        AccountKey(Account.CREDIT_NOTES, None, invoice.id): -credit,
        AccountKey(Account.INCOME): credit - owed,
    }


def share_postings(share: Share, client_id: int | None, invoice_id: int | None) -> Postings:
    """A share of a succeeded payment: Stripe has taken it for an invoice, or as credit.

    A lost dispute ends what was withdrawn for it; a refund goes the way that the money came.
    """
    if share.state != PaymentState.SUCCEEDED:
        return {}
    found = {
        AccountKey(Account.STRIPE_CLEARING): share.amount - share.refunded,
        _payee(client_id, invoice_id): -share.counted,
    }
    if share.lost:
        found[AccountKey(Account.DISPUTES)] = -share.lost
    return found


def hand_postings(payment: HandPayment) -> Postings:
    """A payment by hand comes in cash, or from a credit note; Stripe knows nothing of it."""
    source = AccountKey(Account.CASH)
    if payment.credit_note_id is not None:
        source = AccountKey(Account.CREDIT_NOTES, None, payment.credit_note_id)
    payee = _payee(payment.client_id, payment.invoice_id)
    return {source: payment.counted, payee: -payment.counted}


def _payee(client_id: int | None, invoice_id: int | None) -> AccountKey:
    if invoice_id is not None:
        return AccountKey(Account.RECEIVABLE, client_id, invoice_id)
    if client_id is not None:
        return AccountKey(Account.CLIENT_CREDIT, client_id)
    return AccountKey(Account.UNASSIGNED)


# https://docs.stripe.com/reports/balance-transaction-types
_TO_BANK = frozenset("payout payout_cancel payout_failure topup topup_reversal".split())
_FEES = frozenset("stripe_fee stripe_fx_fee tax_fee network_cost".split())
# Stripe's ids of disputes, today's and those of before.
_DISPUTE_PREFIXES = ("du_", "dp_")


def movement_postings(movement: BalanceMovement) -> Postings:
    """A balance transaction moves its net into the Stripe balance, and its fee to the fees."""
    found = {
        AccountKey(Account.STRIPE_BALANCE): movement.net,
        AccountKey(Account.FEES): movement.fee,
    }
    other = AccountKey(_other_account(movement))
    found[other] = found.get(other, ZERO) - movement.amount
    return found


def _other_account(movement: BalanceMovement) -> Account:
    if movement.type in _TO_BANK:
        return Account.BANK
    if movement.type in _FEES:
        return Account.FEES
    if (movement.source_id or "").startswith(_DISPUTE_PREFIXES):
        return Account.DISPUTES
    return Account.STRIPE_CLEARING


def total_postings(every: Iterable[Postings]) -> Postings:
    """The sum of postings, by account."""
    found: Postings = {}
    for one in every:
        for key, amount in one.items():
            found[key] = found.get(key, ZERO) + amount
    return found


def posting_change(before: Mapping[AccountKey, Decimal], after: Postings) -> Postings:
    """The lines that lead from postings as they were to those as they are; none that are zero."""
    found = dict(after)
    for key, amount in before.items():
        found[key] = found.get(key, ZERO) - amount
    return {key: amount for key, amount in found.items() if amount}
