"""Invoices, payments and journal lines as QuickBooks and Xero read them."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from app.rules.accounting_rows import (
    INVOICE_COLUMNS,
    JOURNAL_COLUMNS,
    PAYMENT_COLUMNS,
    AccountingProgram,
    BilledInvoice,
    BilledLine,
    BookedLine,
    ReceivedPayment,
    invoice_rows,
    journal_row,
    payment_row,
)
from app.rules.invoice import Line, TaxRounding, totals

XERO, QUICKBOOKS = AccountingProgram.XERO, AccountingProgram.QUICKBOOKS
DAY = date(2026, 11, 3)


def line(quantity: str, price: str, rate: str = "20", **more: Any) -> Line:
    discount = Decimal(more.pop("discount", 0))
    return Line(Decimal(quantity), Decimal(price), discount, Decimal(rate), **more)


def billed(*lines: Line, kind: int = 0, currency: str = "gbp") -> BilledInvoice:
    sums = totals(lines, currency, TaxRounding.INVOICE)
    return BilledInvoice(
        number="INV-1", kind=kind, client="Ada Ltd", email="ada@example.com",
        address=["1 High St", "", "Bath", "BA1", "GB"], reference="PO 7",
        invoiced_on=DAY, due_on=date(2026, 12, 3), currency=currency,
        total=sums.gross, tax_total=sums.tax,
        lines=[BilledLine(one, "Support", "SUP", "200", "20% (VAT on Income)", DAY)
               for one in lines],
    )  # fmt: skip


def named(one: BilledInvoice, program: AccountingProgram) -> list[dict[str, Any]]:
    columns = INVOICE_COLUMNS[program]
    rows = invoice_rows(one, program)
    assert all(len(row) == len(columns) for row in rows)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def test_a_line_for_xero_has_its_quantity_price_and_discount() -> None:
    (row,) = named(billed(line("3", "10.50", discount="10")), XERO)

    shown = {name: value for name, value in row.items() if value not in (None, "")}
    assert shown == {
        "*ContactName": "Ada Ltd", "EmailAddress": "ada@example.com",
        "POAddressLine1": "1 High St", "POCity": "Bath", "POPostalCode": "BA1", "POCountry": "GB",
        "*InvoiceNumber": "INV-1", "Reference": "PO 7", "*InvoiceDate": "03/11/2026",
        "*DueDate": "03/12/2026", "Total": Decimal("34.02"), "InventoryItemCode": "SUP",
        "*Description": "Support", "*Quantity": 3, "*UnitAmount": Decimal("10.5"), "Discount": 10,
        "*AccountCode": "200", "*TaxType": "20% (VAT on Income)", "TaxAmount": Decimal("5.67"),
        "Currency": "GBP",
    }  # fmt: skip


def test_a_line_for_quickbooks_has_an_amount_and_no_discount() -> None:
    plain, discounted = named(
        billed(line("3", "10.50"), line("1", "10", discount="50")), QUICKBOOKS
    )

    assert (plain["*InvoiceDate"], plain["*DueDate"]) == ("11/03/2026", "12/03/2026")
    assert (plain["ItemQuantity"], plain["ItemRate"], plain["*ItemAmount"]) == (
        3, Decimal("10.5"), Decimal("31.50"),
    )  # fmt: skip
    assert (discounted["ItemQuantity"], discounted["ItemRate"]) == (1, 5)
    assert (plain["Service Date"], plain["Currency"]) == ("11/03/2026", "GBP")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        # A price with its tax in it, and one that is finer than a penny, become one of their net.
        (line("3", "9.99", price_includes_tax=True), (1, Decimal("24.97"), Decimal("5.00"))),
        (line("0.333333333333333", "0.03"), (1, Decimal("0.01"), Decimal("0.00"))),
        (line("2", "0.005"), (2, Decimal("0.005"), Decimal("0.00"))),
    ],
)
def test_a_line_comes_to_its_rounded_net(one: Line, expected: tuple[Any, ...]) -> None:
    (row,) = named(billed(one), XERO)

    assert (row["*Quantity"], row["*UnitAmount"], row["TaxAmount"]) == expected


def test_a_credit_note_is_an_invoice_below_zero() -> None:
    (row,) = named(billed(line("1", "10"), kind=1), XERO)
    (other,) = named(billed(line("2", "5"), kind=1), QUICKBOOKS)

    assert (row["*Quantity"] * row["*UnitAmount"], row["TaxAmount"], row["Total"]) == (-10, -2, -12)
    assert (other["ItemQuantity"] * other["ItemRate"], other["*ItemAmount"]) == (-10, -10)


_AMOUNT = st.decimals("-1000", "1000", places=4)
_LINES = st.lists(
    st.builds(
        Line,
        st.decimals("0", "50", places=3),
        _AMOUNT,
        st.sampled_from([Decimal(0), Decimal("12.5")]),
        st.sampled_from([Decimal(0), Decimal("5.5"), Decimal(20)]),
        price_includes_tax=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(_LINES, st.sampled_from(["gbp", "jpy", "kwd"]), st.sampled_from([XERO, QUICKBOOKS]))
def test_the_rows_add_up_to_the_invoice(
    lines: list[Line], currency: str, program: AccountingProgram
) -> None:
    one = billed(*lines, currency=currency)

    rows = named(one, program)

    if program == XERO:
        nets = sum(row["*Quantity"] * row["*UnitAmount"] * (100 - (row["Discount"] or 0)) / 100
                   for row in rows)  # fmt: skip
        taxes = sum(row["TaxAmount"] for row in rows)
    else:
        nets = sum(row["*ItemAmount"] for row in rows)
        taxes = sum(row["ItemTaxAmount"] for row in rows)
    assert (nets, taxes) == (one.total - one.tax_total, one.tax_total)


def test_a_payment_is_a_line_of_a_bank_statement() -> None:
    paid = ReceivedPayment(DAY, Decimal("12.5"), "gbp", "Ada Ltd", "INV-1", "pi_1")
    loose = ReceivedPayment(DAY, Decimal(1000), "jpy", "", "", "pi_2")

    for program in AccountingProgram:
        assert len(payment_row(paid, program)) == len(PAYMENT_COLUMNS[program])
    assert payment_row(paid, XERO) == [
        "03/11/2026", Decimal("12.50"), "Ada Ltd", "Invoice INV-1", "pi_1", None,
    ]  # fmt: skip
    assert payment_row(loose, QUICKBOOKS) == ["11/03/2026", "Payment on account pi_2", 1000]


def test_a_journal_line_is_signed_for_xero_and_has_a_side_for_quickbooks() -> None:
    debit = BookedLine(7, DAY, "invoice 3", "1100", Decimal(12), "gbp", "Ada Ltd")
    credit = BookedLine(7, DAY, "invoice 3", "income", Decimal(-12), "gbp", "")

    rows = [journal_row(one, program, "Tax Exempt")
            for program in (XERO, QUICKBOOKS) for one in (debit, credit)]  # fmt: skip

    assert [row[5] for row in rows[:2]] == [Decimal("12.00"), Decimal("-12.00")]
    assert rows[0][0] == rows[1][0] == "Paydue 7: invoice 3"
    assert rows[2] == [
        7, "11/03/2026", "1100", Decimal("12.00"), None, "invoice 3 Ada Ltd", "Ada Ltd", "GBP",
    ]  # fmt: skip
    assert (rows[3][3], rows[3][4]) == (None, Decimal("12.00"))
    assert [len(row) for row in rows[1:3]] == [
        len(JOURNAL_COLUMNS[one]) for one in (XERO, QUICKBOOKS)
    ]
