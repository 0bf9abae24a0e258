"""Totals, balance and refusals of an invoice: the only place that computes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import IntEnum

from app.rules import money
from app.rules.attempt import AttemptStep

# Four factors of 15 digits: no product of theirs is rounded before the document is.
_EXACT = Context(prec=64)


class InvoicePaymentStatus(IntEnum):
    """HaloPSA publishes -1 and 0 (both unpaid); the others are our choice, see docs."""

    NEW = -1
    UNPAID = 0
    PART_PAID = 1
    PAID = 2


class InvoiceKind(IntEnum):
    """Invoice.invoicetype. Only a plain invoice is owed to us."""

    INVOICE = 0
    CREDIT_NOTE = 1
    PURCHASE = 2


class Approval(IntEnum):
    """Invoice.approval_status."""

    NOT_ASKED = 0
    AWAITING = 1
    APPROVED = 2
    REJECTED = 3


@dataclass(frozen=True, slots=True)
class Balance:
    paid: Decimal
    remaining: Decimal
    status: InvoicePaymentStatus


@dataclass(frozen=True, slots=True)
class Line:
    quantity: Decimal
    unit_price: Decimal
    discount_percent: Decimal
    tax_percent: Decimal
    counts: bool = True

    @property
    def net(self) -> Decimal:
        price = _EXACT.multiply(self.quantity, self.unit_price)
        return _EXACT.multiply(price, (100 - self.discount_percent).scaleb(-2, _EXACT))

    @property
    def tax(self) -> Decimal:
        return _EXACT.multiply(self.net, self.tax_percent.scaleb(-2, _EXACT))


@dataclass(frozen=True, slots=True)
class Totals:
    net: Decimal
    tax: Decimal

    @property
    def gross(self) -> Decimal:
        return self.net + self.tax


def balance(total: Decimal, counted: Iterable[Decimal]) -> Balance:
    """An invoice is paid once what counts covers its total; overpayment leaves nothing due.

    One that comes to nothing, or to less, is settled by itself.
    """
    paid = sum(counted, Decimal(0))
    if paid >= total:
        status = InvoicePaymentStatus.PAID
    elif paid > 0:
        status = InvoicePaymentStatus.PART_PAID
    else:
        status = InvoicePaymentStatus.UNPAID
    return Balance(paid, max(total - paid, Decimal(0)), status)


def is_owed(kind: int, *, voided: bool) -> bool:
    """Credit notes and purchases are no claims of ours, and a voided invoice is none any more."""
    return kind == InvoiceKind.INVOICE and not voided


def totals(lines: Iterable[Line], currency: str) -> Totals:
    """Lines stay exact; the net and the tax of each rate are rounded once, on the document."""
    net = Decimal(0)
    tax_of_rate: dict[Decimal, Decimal] = {}
    for line in lines:
        if line.counts:
            net += line.net
            tax_of_rate[line.tax_percent] = tax_of_rate.get(line.tax_percent, Decimal(0)) + line.tax
    tax = sum((money.rounded(amount, currency) for amount in tax_of_rate.values()), Decimal(0))
    return Totals(money.rounded(net, currency), tax)


@dataclass(frozen=True, slots=True)
class Dependents:
    """The money, attempts and records that depend on an invoice or a template."""

    posted: bool = False
    voided: bool = False
    paid: Decimal = Decimal(0)
    pending: int = 0
    # Records of payments, counted or not, and of those that wait to be booked to it.
    payments: int = 0
    attempts: int = 0
    # The charge attempt that has not ended; the database allows one an invoice.
    open_attempt: int | None = None
    open_attempt_state: str | None = None
    open_attempt_step: str | None = None
    # Payments that a credit note made on other invoices, and invoices that a template made.
    credits_used: int = 0
    made: int = 0


def void_refusal(one: Dependents) -> str | None:
    """The reason why voiding would lose money: some was paid, or is being paid now."""
    if one.paid > 0:
        return "money was paid on it; give it back first, or raise a credit note"
    if one.credits_used:
        return "other invoices were paid with it"
    return _in_motion(one)


def deletion_refusal(one: Dependents) -> str | None:
    """Only what left no trace with anybody else can go; the rest is voided, or disabled."""
    if one.payments:
        return "payments hang on it; void it instead"
    if one.attempts:
        return "charge attempts hang on it; void it instead"
    if one.credits_used:
        return "other invoices were paid with it"
    if one.made:
        return "invoices were made from it; set disabled instead"
    if one.posted:
        return "it was posted; void it instead"
    return None


def charge_under_way(one: Dependents) -> str | None:
    """The automatic charge that may still take the money, so that nobody else may ask for it."""
    if one.open_attempt is None:
        return None
    return f"charge attempt {one.open_attempt} of it is {one.open_attempt_state}; wait for its end"


def client_refusal(one: Dependents) -> str | None:
    """A confirm that may be on its way pays with the money of the client whose invoice it was.

    Before the confirm another client is let in: the last look withdraws the attempt.
    """
    return charge_under_way(one) if one.open_attempt_step == AttemptStep.CONFIRMING else None


def _in_motion(one: Dependents) -> str | None:
    pending = "a payment of it is processing; wait for its end" if one.pending else None
    return charge_under_way(one) or pending


def edit_refusal(one: Dependents, *, total_before: Decimal, total_after: Decimal) -> str | None:
    """Amounts of a voided invoice stand still, and so do those that money is moving for.

    A paid one may be corrected: never below what was paid, since that would owe the client money
    that no record tells of.
    """
    if total_before == total_after:
        return None
    if one.voided:
        return "it is voided"
    if total_after < min(one.paid, total_before):
        return f"{one.paid.normalize():f} was paid on it; raise a credit note instead"
    return _in_motion(one)
