"""What an invoice comes to, and what is left to pay."""

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from app.rules import money
from app.rules.invoice import (
    Approval,
    Dependents,
    InvoiceKind,
    InvoicePaymentStatus,
    Line,
    balance,
    charge_under_way,
    client_refusal,
    credit_of,
    credit_refusal,
    currency_refusal,
    deletion_refusal,
    edit_refusal,
    is_fixed_once_posted,
    is_owed,
    lowered_credit_refusal,
    totals,
    void_refusal,
)

UNPAID, PART, PAID = (
    InvoicePaymentStatus.UNPAID,
    InvoicePaymentStatus.PART_PAID,
    InvoicePaymentStatus.PAID,
)


@pytest.mark.parametrize(
    ("total", "counted", "paid", "remaining", "status"),
    [
        ("120", [], "0", "120", UNPAID),
        ("120", ["0"], "0", "120", UNPAID),
        ("120", ["0.01"], "0.01", "119.99", PART),
        ("120", ["119.99"], "119.99", "0.01", PART),
        ("120", ["120"], "120", "0", PAID),
        ("120", ["60", "60"], "120", "0", PAID),
        ("120", ["120", "120"], "240", "0", PAID),
        ("0.01", ["0.01"], "0.01", "0", PAID),
        ("1", ["1"], "1", "0", PAID),
        ("0", ["0.01"], "0.01", "0", PAID),
        ("5000", ["4999"], "4999", "1", PART),
        ("12.340", ["12.330"], "12.330", "0.010", PART),
        ("0", [], "0", "0", PAID),
        ("0", ["5"], "5", "0", PAID),
        ("-20", [], "0", "0", PAID),
        ("-20", ["5"], "5", "0", PAID),
        ("9999999999.99", ["9999999999.98"], "9999999999.98", "0.01", PART),
    ],
)
def test_an_invoice_is_paid_once_what_counts_covers_its_total(
    total: str, counted: list[str], paid: str, remaining: str, status: InvoicePaymentStatus
) -> None:
    found = balance(Decimal(total), [Decimal(one) for one in counted])

    assert (found.paid, found.remaining, found.status) == (
        Decimal(paid), Decimal(remaining), status,
    )  # fmt: skip


def line(
    price: str, quantity: str = "1", discount: str = "0", tax: str = "0", counts: bool = True
) -> Line:
    return Line(Decimal(quantity), Decimal(price), Decimal(discount), Decimal(tax), counts)


@pytest.mark.parametrize(
    ("lines", "currency", "net", "tax"),
    [
        ([], "usd", "0", "0"),
        ([line("100", tax="20")], "usd", "100", "20"),
        ([line("10", "3")], "usd", "30", "0"),
        ([line("100", discount="100", tax="20")], "usd", "0", "0"),
        ([line("100", discount="12.5")], "usd", "87.50", "0"),
        ([line("100", "-1", tax="20")], "usd", "-100", "-20"),
        # Exact until the document: three thirds of a cent are a cent.
        ([line("0.333333")] * 3, "usd", "1.00", "0"),
        ([line("0.005")], "usd", "0.01", "0"),
        ([line("0.0049")], "usd", "0.00", "0"),
        # The tax of each rate is rounded once, not of each line.
        ([line("0.03", tax="19")] * 10, "usd", "0.30", "0.06"),
        ([line("0.05", tax="10"), line("0.05", tax="5")], "usd", "0.10", "0.01"),
        ([line("99", counts=False), line("1")], "usd", "1", "0"),
        ([line("100.4", tax="10")], "jpy", "100", "10"),
        ([line("100.5")], "jpy", "101", "0"),
        ([line("12.5", tax="20")], "isk", "13", "3"),
        ([line("1.2345", tax="5")], "kwd", "1.23", "0.06"),
    ],
)
def test_lines_stay_exact_and_the_document_is_rounded_once(
    lines: list[Line], currency: str, net: str, tax: str
) -> None:
    found = totals(lines, currency)

    assert (found.net, found.tax) == (Decimal(net), Decimal(tax))
    assert found.gross == Decimal(net) + Decimal(tax)


def test_a_line_counts_unless_it_is_said() -> None:
    plain = Line(Decimal(1), Decimal(10), Decimal(0), Decimal(20))

    assert totals([plain], "usd").gross == 12


@given(
    st.lists(
        st.builds(
            Line,
            st.decimals(-100, 100, places=3),
            st.decimals(0, 10_000, places=4),
            st.decimals(0, 100, places=2),
            st.sampled_from([Decimal(0), Decimal("7"), Decimal("19"), Decimal("20.5")]),
            st.booleans(),
        ),
        max_size=6,
    ),
    st.sampled_from(["usd", "jpy", "isk", "kwd"]),
)
def test_every_total_is_an_amount_that_stripe_takes(lines: list[Line], currency: str) -> None:
    found = totals(lines, currency)

    for amount in (found.net, found.tax, found.gross):
        money.to_minor(amount, currency)
    assert totals(list(reversed(lines)), currency) == found


@pytest.mark.parametrize(
    ("kind", "voided", "owed"),
    [
        (InvoiceKind.INVOICE, False, True),
        (InvoiceKind.INVOICE, True, False),
        (InvoiceKind.CREDIT_NOTE, False, False),
        (InvoiceKind.PURCHASE, False, False),
        (InvoiceKind.PURCHASE, True, False),
    ],
)
def test_only_an_invoice_that_is_not_voided_is_owed(
    kind: InvoiceKind, voided: bool, owed: bool
) -> None:
    assert is_owed(kind, voided=voided) == owed


@pytest.mark.parametrize(
    ("name", "of_line", "is_fixed"),
    [
        ("client_id", False, True), ("posted", False, True), ("duedate", False, True),
        ("currency_conversion_rate", False, True), ("period_end_date", False, True),
        ("reference", False, False), ("take_auto_payment", False, False),
        ("dateposted", False, False), ("sequenceid", False, False),
        ("qty_order", True, True), ("item_shortdescription", True, True),
        ("sequenceid", True, False),
    ],
)  # fmt: skip
def test_accounting_has_money_parties_and_dates_of_a_posted_invoice(
    name: str, of_line: bool, is_fixed: bool
) -> None:
    assert is_fixed_once_posted(name, of_line=of_line) == is_fixed


@pytest.mark.parametrize(
    ("one", "kind", "total", "why"),
    [
        (Dependents(), InvoiceKind.INVOICE, "0.01", None),
        (Dependents(paid=Decimal(5)), InvoiceKind.INVOICE, "10", None),
        (Dependents(), InvoiceKind.INVOICE, "0", "it is no invoice with an amount"),
        (Dependents(), InvoiceKind.CREDIT_NOTE, "10", "it is no invoice with an amount"),
        (Dependents(voided=True), InvoiceKind.INVOICE, "10", "it is voided"),
        (Dependents(pending=1), InvoiceKind.INVOICE, "10",
         "a payment of it is processing; wait for its end"),
        (Dependents(open_attempt=2, open_attempt_state="unknown"), InvoiceKind.INVOICE, "10",
         "charge attempt 2 of it is unknown; wait for its end"),
    ],
)  # fmt: skip
def test_an_invoice_is_credited_unless_money_moves(
    one: Dependents, kind: InvoiceKind, total: str, why: str | None
) -> None:
    assert credit_refusal(one, kind=kind, total=Decimal(total)) == why


PENDING = "a payment of it is processing; wait for its end"
UNDER_WAY = "charge attempt 2 of it is unknown; wait for its end"
CHARGED = Dependents(open_attempt=2, open_attempt_state="unknown", attempts=2)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Dependents(), None),
        (Dependents(attempts=2), None),
        (Dependents(pending=1), None),
        (CHARGED, UNDER_WAY),
    ],
)
def test_only_a_charge_attempt_that_has_not_ended_keeps_a_payment_out(
    one: Dependents, why: str | None
) -> None:
    assert charge_under_way(one) == why


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Dependents(posted=True, payments=3, attempts=2, made=1), None),
        (Dependents(paid=Decimal("0.01")),
         "money was paid on it; give it back first, or raise a credit note"),
        (Dependents(credits_used=1), "other invoices were paid with it"),
        (Dependents(pending=1), PENDING),
        (CHARGED, UNDER_WAY),
    ],
)  # fmt: skip
def test_an_invoice_is_voided_unless_money_would_be_lost(one: Dependents, why: str | None) -> None:
    assert void_refusal(one) == why


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Dependents(voided=True, pending=1), None),
        (Dependents(payments=1), "payments hang on it; void it instead"),
        (Dependents(attempts=1), "charge attempts hang on it; void it instead"),
        (Dependents(credits_used=1), "other invoices were paid with it"),
        (Dependents(made=1), "invoices were made from it; set disabled instead"),
        (Dependents(posted=True), "it was posted; void it instead"),
    ],
)
def test_an_invoice_is_deleted_only_while_nobody_else_knows_it(
    one: Dependents, why: str | None
) -> None:
    assert deletion_refusal(one) == why


@pytest.mark.parametrize(
    ("one", "before", "after", "why"),
    [
        (Dependents(voided=True), "10", "10", None),
        (Dependents(voided=True), "10", "11", "it is voided"),
        (Dependents(), "10", "0", None),
        (Dependents(), "0", "-0.5", "0 was paid on it; raise a credit note instead"),
        (Dependents(paid=Decimal(4)), "10", "4", None),
        (Dependents(paid=Decimal(4)), "10", "3.99",
         "4 was paid on it; raise a credit note instead"),
        (Dependents(paid=Decimal(12)), "10", "10.01", None),
        (Dependents(paid=Decimal(12)), "10", "9.99",
         "12 was paid on it; raise a credit note instead"),
        (Dependents(pending=1), "10", "11", PENDING),
        (CHARGED, "10", "11", UNDER_WAY),
        (CHARGED, "10", "10", None),
    ],
)  # fmt: skip
def test_a_total_moves_only_while_no_money_does(
    one: Dependents, before: str, after: str, why: str | None
) -> None:
    found = edit_refusal(one, total_before=Decimal(before), total_after=Decimal(after))

    assert found == why


@pytest.mark.parametrize(
    ("kind", "total", "credit"),
    [
        (InvoiceKind.CREDIT_NOTE, "50", "50"),
        (InvoiceKind.CREDIT_NOTE, "-50", "50"),
        (InvoiceKind.INVOICE, "-50", "50"),
        (InvoiceKind.INVOICE, "0", "0"),
        (InvoiceKind.INVOICE, "50", "0"),
        (InvoiceKind.PURCHASE, "50", "0"),
    ],
)
def test_a_credit_note_gives_its_total_and_an_invoice_what_it_is_below_zero(
    kind: InvoiceKind, total: str, credit: str
) -> None:
    assert credit_of(kind, Decimal(total)) == Decimal(credit)


USED = Dependents(credits_used=1, credit_given=Decimal("20.50"))


@pytest.mark.parametrize(
    ("credit", "why"),
    [("20.50", None), ("50", None), ("20.49", "other invoices were paid 20.5 with it")],
)
def test_a_credit_note_gives_no_less_than_it_gave(credit: str, why: str | None) -> None:
    assert lowered_credit_refusal(USED, credit=Decimal(credit)) == why
    assert lowered_credit_refusal(Dependents(), credit=Decimal(0)) is None


def test_a_credit_note_that_paid_keeps_its_client_and_its_currency() -> None:
    for refusal in (client_refusal, currency_refusal):
        assert refusal(USED) == "other invoices were paid with it"
        assert refusal(Dependents()) is None
    by_note = client_refusal(Dependents(paid_by_notes=1))
    assert by_note == "a credit note of its client pays it"
    assert currency_refusal(CHARGED) == UNDER_WAY
    assert client_refusal(CHARGED) is None


def test_the_codes_that_the_api_publishes_are_those_of_halopsa_and_of_our_documents() -> None:
    assert {one.name: one.value for one in InvoicePaymentStatus} == {
        "NEW": -1, "UNPAID": 0, "PART_PAID": 1, "PAID": 2,
    }  # fmt: skip
    assert {one.name: one.value for one in InvoiceKind} == {
        "INVOICE": 0, "CREDIT_NOTE": 1, "PURCHASE": 2,
    }  # fmt: skip
    assert {one.name: one.value for one in Approval} == {
        "NOT_ASKED": 0, "AWAITING": 1, "APPROVED": 2, "REJECTED": 3,
    }  # fmt: skip
