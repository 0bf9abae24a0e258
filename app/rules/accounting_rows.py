"""Invoices, payments and journal entries as rows of the CSV files that QuickBooks and Xero import.

Column names and forms are those of their makers' help pages, which docs/billing.md names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from app.rules.apportionment import apportion
from app.rules.invoice import InvoiceKind, Line, line_totals
from app.rules.money import plain
from app.rules.spreadsheet import Cell, amount_cell

CsvColumns = Sequence[str]


class AccountingProgram(StrEnum):
    QUICKBOOKS = "quickbooks"
    XERO = "xero"

    def day(self, day: date | None) -> str:
        """QuickBooks reads the month first, Xero the day."""
        if day is None:
            return ""
        return day.strftime("%m/%d/%Y" if self == AccountingProgram.QUICKBOOKS else "%d/%m/%Y")


@dataclass(frozen=True, slots=True)
class BilledLine:
    """A line that counts, with the name of its Tax."""

    line: Line
    description: str
    item_code: str
    account: str
    tax_name: str
    starts_on: date | None = None


@dataclass(frozen=True, slots=True)
class BilledInvoice:
    """An invoice or a credit note, as it was billed; its sums are rounded, its lines are not."""

    number: str
    kind: int
    client: str
    email: str
    address: Sequence[str]  # two lines, city, postcode and country
    reference: str
    invoiced_on: date | None
    due_on: date | None
    currency: str
    total: Decimal
    tax_total: Decimal
    lines: Sequence[BilledLine]
    rounded_by_line: bool = False

    @property
    def sign(self) -> int:
        """Both programs know a credit note as an invoice below zero."""
        return -1 if self.kind == InvoiceKind.CREDIT_NOTE else 1

    def rounded(self) -> list[tuple[Decimal, Decimal]]:
        """The net and the tax of each line, which add up to the invoice's own."""
        if self.rounded_by_line:
            sums = [line_totals(one.line, self.currency) for one in self.lines]
            return [(one.net, one.tax) for one in sums]
        nets = apportion(
            [one.line.net for one in self.lines], self.total - self.tax_total, self.currency
        )
        taxes = apportion([one.line.tax for one in self.lines], self.tax_total, self.currency)
        return list(zip(nets, taxes, strict=True))


INVOICE_COLUMNS: Mapping[AccountingProgram, CsvColumns] = {
    AccountingProgram.XERO: (
        "*ContactName", "EmailAddress", "POAddressLine1", "POAddressLine2", "POAddressLine3",
        "POAddressLine4", "POCity", "PORegion", "POPostalCode", "POCountry", "*InvoiceNumber",
        "Reference", "*InvoiceDate", "*DueDate", "Total", "InventoryItemCode", "*Description",
        "*Quantity", "*UnitAmount", "Discount", "*AccountCode", "*TaxType", "TaxAmount",
        "TrackingName1", "TrackingOption1", "TrackingName2", "TrackingOption2", "Currency",
        "BrandingTheme",
    ),
    AccountingProgram.QUICKBOOKS: (
        "*InvoiceNo", "*Customer", "*InvoiceDate", "*DueDate", "Terms", "Memo",
        "Item(Product/Service)", "ItemDescription", "ItemQuantity", "ItemRate", "*ItemAmount",
        "ItemTaxCode", "ItemTaxAmount", "Currency", "Service Date",
    ),
}  # fmt: skip
PAYMENT_COLUMNS: Mapping[AccountingProgram, CsvColumns] = {
    AccountingProgram.XERO: (
        "*Date", "*Amount", "Payee", "Description", "Reference", "Check Number",
    ),
    AccountingProgram.QUICKBOOKS: ("Date", "Description", "Amount"),
}  # fmt: skip
JOURNAL_COLUMNS: Mapping[AccountingProgram, CsvColumns] = {
    AccountingProgram.XERO: (
        "*Narration", "*Date", "Description", "*AccountCode", "*TaxRate", "*Amount",
        "TrackingName1", "TrackingOption1", "TrackingName2", "TrackingOption2",
    ),
    AccountingProgram.QUICKBOOKS: (
        "JournalNo", "JournalDate", "AccountName", "Debits", "Credits", "Description", "Name",
        "Currency",
    ),
}  # fmt: skip


def invoice_rows(one: BilledInvoice, program: AccountingProgram) -> list[list[Cell]]:
    """A row a line, each with its net amount, so that prices with tax in them are none there."""
    row = _xero_invoice_row if program == AccountingProgram.XERO else _quickbooks_invoice_row
    return [
        row(one, line, net * one.sign, tax * one.sign)
        for line, (net, tax) in zip(one.lines, one.rounded(), strict=True)
    ]


def _priced(line: BilledLine, net: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Quantity, price and discount where they come to the amount exactly; else one of it."""
    found = (line.line.quantity, line.line.unit_price, line.line.discount_percent)
    is_exact = not line.line.price_includes_tax and line.line.amount == net
    return found if is_exact else (Decimal(1), net, Decimal(0))


def _xero_invoice_row(
    one: BilledInvoice, line: BilledLine, net: Decimal, tax: Decimal
) -> list[Cell]:
    quantity, price, discount = _priced(line, net)
    day = AccountingProgram.XERO.day
    street, further, city, postcode, country = one.address
    return [
        one.client, one.email, street, further, None, None, city, None, postcode, country,
        one.number, one.reference, day(one.invoiced_on), day(one.due_on or one.invoiced_on),
        amount_cell(one.total * one.sign, one.currency), line.item_code, line.description,
        _number(quantity), _number(price), _number(discount) if discount else None,
        line.account, line.tax_name, amount_cell(tax, one.currency),
        None, None, None, None, one.currency.upper(), None,
    ]  # fmt: skip


def _quickbooks_invoice_row(
    one: BilledInvoice, line: BilledLine, net: Decimal, tax: Decimal
) -> list[Cell]:
    """QuickBooks has no column for a discount, so a line with one is one of its amount."""
    quantity, price, discount = _priced(line, net)
    if discount:
        quantity, price = Decimal(1), net
    day = AccountingProgram.QUICKBOOKS.day
    return [
        one.number, one.client, day(one.invoiced_on), day(one.due_on or one.invoiced_on), None,
        one.reference, line.item_code, line.description, _number(quantity), _number(price),
        amount_cell(net, one.currency), line.tax_name, amount_cell(tax, one.currency),
        one.currency.upper(), day(line.starts_on),
    ]  # fmt: skip


def _number(value: Decimal) -> Decimal:
    return Decimal(plain(value))


@dataclass(frozen=True, slots=True)
class ReceivedPayment:
    """An invoice's share of a payment, or money of no invoice; what was given back is taken off."""

    received_on: date
    amount: Decimal
    currency: str
    client: str
    invoice: str
    reference: str


def payment_row(one: ReceivedPayment, program: AccountingProgram) -> list[Cell]:
    """A line of a bank statement, which both programs match with an open invoice."""
    shown, day = amount_cell(one.amount, one.currency), program.day(one.received_on)
    about = f"Invoice {one.invoice}" if one.invoice else "Payment on account"
    if program == AccountingProgram.XERO:
        return [day, shown, one.client, about, one.reference, None]
    said = " ".join(part for part in (about, one.client, one.reference) if part)
    return [day, said, shown]


@dataclass(frozen=True, slots=True)
class BookedLine:
    """A line of the journal: above zero a debit, below it a credit."""

    entry: int
    booked_on: date
    what: str
    account: str
    amount: Decimal
    currency: str
    client: str


def journal_row(one: BookedLine, program: AccountingProgram, tax_rate: str) -> list[Cell]:
    shown, day = amount_cell(abs(one.amount), one.currency), program.day(one.booked_on)
    about = " ".join(part for part in (one.what, one.client) if part)
    if program == AccountingProgram.XERO:
        signed = amount_cell(one.amount, one.currency)
        narration = f"Paydue {one.entry}: {one.what}"
        return [narration, day, about, one.account, tax_rate, signed, None, None, None, None]
    is_debit = one.amount > 0
    return [
        one.entry, day, one.account, shown if is_debit else None, None if is_debit else shown,
        about, one.client, one.currency.upper(),
    ]  # fmt: skip
