"""The content of a document as plain values: parties, lines, taxes, payments and sums.

Amounts are exact and rounded to the currency's step; whatever is printed adds up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

# More decimals than any price has after its discount, and fewer than arithmetic keeps.
PRICE_STEP = Decimal("1e-10")


class DocumentKind(StrEnum):
    """The kinds of documents; each has a template of this name."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit-note"
    RECEIPT = "receipt"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True)
class Party:
    """The seller or the buyer. `country` is a code of ISO 3166, such as `DE`.

    `einvoice_address` is a Peppol participant's `SCHEME:ID`, such as `0088:4012345000009`.
    `printed_lines` are the address as it is printed where it was written as free lines.
    """

    name: str = ""
    address1: str = ""
    address2: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    vat_number: str = ""
    registration_number: str = ""
    einvoice_address: str = ""
    contact: str = ""
    email: str = ""
    phone: str = ""
    printed_lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """A line. `net` is rounded; `period` is its first and its last day.

    `tax_category` is a code of UNTDID 5305, such as `S`, or empty where nobody has said it.
    """

    title: str
    text: str
    item_code: str
    period: tuple[date, date] | None
    quantity: Decimal
    unit_price: Decimal
    discount_percent: Decimal
    tax_percent: Decimal
    tax_category: str
    net: Decimal
    price_includes_tax: bool = False
    # The rounded price with its tax, of a line whose price has it.
    gross: Decimal = Decimal(0)

    @property
    def net_unit_price(self) -> Decimal:
        """The price without tax: what a price with tax leaves of it, to ten decimals."""
        if not self.price_includes_tax:
            return self.unit_price
        return (self.unit_price * 100 / (100 + self.tax_percent)).quantize(PRICE_STEP)


@dataclass(frozen=True, slots=True)
class TaxShare:
    """The tax of the lines of one rate and category; of a rate of 0 `reason` or `name` says why."""

    percent: Decimal
    category: str
    name: str
    net: Decimal
    tax: Decimal
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DocumentPayment:
    """A payment, or the share of one, that counts for the invoice."""

    paid_on: date
    method: str
    reference: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """An invoice's or a credit note's content. `currency` is its ISO code in capital letters."""

    id: int
    kind: DocumentKind
    number: str
    currency: str
    buyer: Party
    language: str = ""
    voided: bool = False
    issued_on: date | None = None
    # Where it is another day than the document's own.
    tax_point: date | None = None
    due_on: date | None = None
    period: tuple[date, date] | None = None
    order_number: str = ""
    buyer_reference: str = ""
    corrects: str = ""
    notes: Sequence[str] = ()
    lines: Sequence[DocumentLine] = ()
    taxes: Sequence[TaxShare] = ()
    payments: Sequence[DocumentPayment] = ()
    net: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    total: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    due: Decimal = Decimal(0)
    payment_url: str = ""

    @property
    def is_gross(self) -> bool:
        """All prices have their tax in them, and so have the amounts of the lines."""
        return bool(self.lines) and all(one.price_includes_tax for one in self.lines)
