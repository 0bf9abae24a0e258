"""What an invoice amounts to and what is left to pay. Here, and nowhere else."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from app.rules import money


class PaymentStatus(IntEnum):
    """HaloPSA publishes -1 and 0 (both unpaid); the others are our choice, see docs."""

    NEW = -1
    UNPAID = 0
    PART_PAID = 1
    PAID = 2


class Kind(IntEnum):
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
    status: PaymentStatus


@dataclass(frozen=True, slots=True)
class Line:
    quantity: Decimal
    unit_price: Decimal
    discount_percent: Decimal
    tax_percent: Decimal
    counts: bool = True

    @property
    def net(self) -> Decimal:
        return self.quantity * self.unit_price * (100 - self.discount_percent) / 100

    @property
    def tax(self) -> Decimal:
        return self.net * self.tax_percent / 100


@dataclass(frozen=True, slots=True)
class Totals:
    net: Decimal
    tax: Decimal

    @property
    def gross(self) -> Decimal:
        return self.net + self.tax


def balance(total: Decimal, counted: Iterable[Decimal]) -> Balance:
    """An invoice is paid once what counts covers its total; overpayment leaves nothing due."""
    paid = sum(counted, Decimal(0))
    if paid >= total and (total > 0 or paid > 0):
        status = PaymentStatus.PAID
    elif paid > 0:
        status = PaymentStatus.PART_PAID
    else:
        status = PaymentStatus.UNPAID
    return Balance(paid, max(total - paid, Decimal(0)), status)


def is_owed(kind: int, *, voided: bool) -> bool:
    """Credit notes and purchases are no claims of ours, and a voided invoice is none any more."""
    return kind == Kind.INVOICE and not voided


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
