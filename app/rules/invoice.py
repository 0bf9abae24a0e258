"""Totals, balance and refusals of an invoice: the only place that computes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import IntEnum, StrEnum

from app.rules import money
from app.rules.attempt import AttemptStep

# Four factors of 15 digits: no product of theirs is rounded before the document is.
_EXACT = Context(prec=64)
# A net that is taken out of a price with its tax may have no end; a sum of nets is not made of it.
_NET_STEP = Decimal("1e-12")


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


# Accounting has these of a posted invoice, and the customer has them on paper. Words, references
# and the flags of autopay may still change.
FIXED_ONCE_POSTED = frozenset(
    {
        "client_id", "invoicenumber", "invoicetype", "currency_code", "currency_conversion_rate",
        "invoice_date", "tax_point_date", "duedate", "due_date_type", "due_date_int",
        "period_start_date", "period_end_date", "posted",
    }
)  # fmt: skip


class TaxRounding(StrEnum):
    """The sums that are rounded: those of each tax rate, or those of each line."""

    INVOICE = "invoice"
    LINE = "line"

    @classmethod
    def of(cls, *, by_line: bool) -> "TaxRounding":
        return cls.LINE if by_line else cls.INVOICE


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
    price_includes_tax: bool = False

    @property
    def amount(self) -> Decimal:
        """Quantity times price, less the discount, exactly; with its tax if its price has it."""
        price = _EXACT.multiply(self.quantity, self.unit_price)
        return _EXACT.multiply(price, (100 - self.discount_percent).scaleb(-2, _EXACT))

    @property
    def net(self) -> Decimal:
        if not self.price_includes_tax:
            return self.amount
        tax = _tax_of(self.amount, self.tax_percent, is_included=True)
        return _EXACT.subtract(self.amount, tax).quantize(_NET_STEP, context=_EXACT)

    @property
    def tax(self) -> Decimal:
        if self.price_includes_tax:
            return _EXACT.subtract(self.amount, self.net)
        return _tax_of(self.amount, self.tax_percent, is_included=False)


@dataclass(frozen=True, slots=True)
class Totals:
    net: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)

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


def credit_of(kind: int, total: Decimal) -> Decimal:
    """The credit that a credit note gives, or an invoice whose total is below zero."""
    return abs(total) if kind == InvoiceKind.CREDIT_NOTE else max(-total, Decimal(0))


def totals(
    lines: Iterable[Line], currency: str, rounding: TaxRounding = TaxRounding.INVOICE
) -> Totals:
    """The sums of a document. Either its lines stay exact, and the net and the tax of each rate
    are rounded once; or each line is rounded, and the document adds them up.
    """
    counting = [one for one in lines if one.counts]
    if rounding == TaxRounding.LINE:
        return _sum(line_totals(one, currency) for one in counting)
    with_tax = [one for one in counting if one.price_includes_tax]
    without = [one for one in counting if not one.price_includes_tax]
    return _sum(
        [
            _rounded_once(without, currency, is_included=False),
            _rounded_once(with_tax, currency, is_included=True),
        ]
    )


def line_totals(line: Line, currency: str) -> Totals:
    """A line's rounded net and tax; those of a price with tax add up to the rounded price."""
    amount, is_included = money.rounded(line.amount, currency), line.price_includes_tax
    tax = money.rounded(_tax_of(amount, line.tax_percent, is_included=is_included), currency)
    return Totals(amount - tax if is_included else amount, tax)


def _rounded_once(lines: Iterable[Line], currency: str, *, is_included: bool) -> Totals:
    """Of lines whose prices all have their tax in them, or all have not."""
    of_rate: dict[Decimal, Decimal] = {}
    for line in lines:
        so_far = of_rate.get(line.tax_percent, Decimal(0))
        of_rate[line.tax_percent] = _EXACT.add(so_far, line.amount)
    exact = Decimal(0)
    tax = Decimal(0)
    for rate, amount in of_rate.items():
        exact = _EXACT.add(exact, amount)
        tax += money.rounded(_tax_of(amount, rate, is_included=is_included), currency)
    rounded = money.rounded(exact, currency)
    return Totals(rounded - tax if is_included else rounded, tax)


def _tax_of(amount: Decimal, percent: Decimal, *, is_included: bool) -> Decimal:
    """The tax that is in the amount, or that comes on top of it."""
    if is_included:
        return _EXACT.divide(_EXACT.multiply(amount, percent), _EXACT.add(percent, 100))
    return _EXACT.multiply(amount, percent.scaleb(-2, _EXACT))


def _sum(parts: Iterable[Totals]) -> Totals:
    found = Totals()
    for one in parts:
        found = Totals(found.net + one.net, found.tax + one.tax)
    return found


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
    # Payments that a credit note made on other invoices and their sum; a template's invoices.
    credits_used: int = 0
    credit_given: Decimal = Decimal(0)
    # Payments of it that credit notes of its client made.
    paid_by_notes: int = 0
    made: int = 0


_CREDIT_USED = "other invoices were paid with it"
POSTED = "it was posted; correct it with a credit note"


def void_refusal(one: Dependents) -> str | None:
    """The reason why voiding would lose money: some was paid, or is being paid now."""
    if one.paid > 0:
        return "money was paid on it; give it back first, or raise a credit note"
    if one.credits_used:
        return _CREDIT_USED
    return _in_motion(one)


def deletion_refusal(one: Dependents) -> str | None:
    """Only what left no trace with anybody else can go; the rest is voided, or disabled."""
    if one.payments:
        return "payments hang on it; void it instead"
    if one.attempts:
        return "charge attempts hang on it; void it instead"
    if one.credits_used:
        return _CREDIT_USED
    if one.made:
        return "invoices were made from it; set disabled instead"
    if one.posted:
        return "it was posted; void it instead"
    return None


def hold_of(*, review_required: bool, approval_status: int) -> str | None:
    """The reason why an invoice may not go out yet."""
    if review_required:
        return "somebody must review it first"
    if approval_status == Approval.AWAITING:
        return "somebody must approve it first"
    if approval_status == Approval.REJECTED:
        return "its approval was refused"
    return None


def is_fixed_once_posted(name: str, *, of_line: bool = False) -> bool:
    """Of a line every column but its place; accounting has the sums in any order."""
    return name != "sequenceid" if of_line else name in FIXED_ONCE_POSTED


def charge_under_way(one: Dependents) -> str | None:
    """The automatic charge that may still take the money, so that nobody else may ask for it."""
    if one.open_attempt is None:
        return None
    return f"charge attempt {one.open_attempt} of it is {one.open_attempt_state}; wait for its end"


def client_refusal(one: Dependents) -> str | None:
    """A confirm that may be on its way pays with the money of the client whose invoice it was.

    Before the confirm another client is let in: the last look withdraws the attempt. A credit note
    pays invoices of its own client only.
    """
    if one.credits_used:
        return _CREDIT_USED
    if one.paid_by_notes:
        return "a credit note of its client pays it"
    return charge_under_way(one) if one.open_attempt_step == AttemptStep.CONFIRMING else None


def currency_refusal(one: Dependents) -> str | None:
    return _CREDIT_USED if one.credits_used else charge_under_way(one)


def lowered_credit_refusal(one: Dependents, *, credit: Decimal) -> str | None:
    """A credit note gives no less than other invoices were paid with it."""
    if credit >= one.credit_given:
        return None
    return f"other invoices were paid {one.credit_given.normalize():f} with it"


def _in_motion(one: Dependents) -> str | None:
    pending = "a payment of it is processing; wait for its end" if one.pending else None
    return charge_under_way(one) or pending


def credit_refusal(one: Dependents, *, kind: int, total: Decimal) -> str | None:
    """The reason why no credit note is made of an invoice: it owes nothing, or money moves."""
    if one.voided:
        return "it is voided"
    if kind != InvoiceKind.INVOICE or total <= 0:
        return "it is no invoice with an amount"
    return _in_motion(one)


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
