"""Each fact about money becomes lines that add up to zero, on the accounts that it concerns."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.rules.allocation import Share
from app.rules.double_entry import (
    Account,
    AccountKey,
    HandPayment,
    InvoicePosting,
    credit_total,
    hand_postings,
    invoice_postings,
    movement_postings,
    owed_total,
    posting_change,
    share_postings,
    total_postings,
)
from app.rules.invoice import InvoiceKind
from app.rules.payment import PaymentState
from app.rules.payout import BalanceMovement

TOTAL = Decimal(120)


def an_invoice(
    kind: InvoiceKind = InvoiceKind.INVOICE,
    *,
    total: Decimal = TOTAL,
    voided: bool = False,
    recurring: bool = False,
    paid: Decimal = Decimal(0),
) -> InvoicePosting:
    return InvoicePosting(9, 3, "usd", voided, kind, recurring, total, paid)


@pytest.mark.parametrize(
    ("invoice", "owed", "credit"),
    [
        (an_invoice(), 120, 0),
        (an_invoice(total=Decimal(0)), 0, 0),
        (an_invoice(voided=True), 0, 0),
        (an_invoice(recurring=True), 0, 0),
        (an_invoice(InvoiceKind.PURCHASE), 0, 0),
        (an_invoice(total=Decimal(-120)), 0, 120),
        (an_invoice(total=Decimal(-120), voided=True), 0, 0),
        (an_invoice(total=Decimal(-120), recurring=True), 0, 0),
        (an_invoice(InvoiceKind.CREDIT_NOTE), 0, 120),
        (an_invoice(InvoiceKind.CREDIT_NOTE, total=Decimal(-120)), 0, 120),
        (an_invoice(InvoiceKind.CREDIT_NOTE, voided=True), 0, 0),
        (an_invoice(InvoiceKind.CREDIT_NOTE, recurring=True), 0, 0),
    ],
)
def test_an_invoice_is_owed_and_a_credit_note_can_pay(
    invoice: InvoicePosting, owed: int, credit: int
) -> None:
    assert (owed_total(invoice), credit_total(invoice)) == (owed, credit)


@pytest.mark.parametrize(
    ("invoice", "receivable", "notes", "income"),
    [
        (an_invoice(), 120, 0, -120),
        (an_invoice(paid=Decimal(50)), 70, 0, -120),
        (an_invoice(InvoiceKind.CREDIT_NOTE), 0, -120, 120),
    ],
)
def test_an_invoice_is_its_clients_and_a_credit_note_comes_from_the_income(
    invoice: InvoicePosting, receivable: int, notes: int, income: int
) -> None:
    assert invoice_postings(invoice) == {
        AccountKey(Account.RECEIVABLE, 3, 9): receivable,
        AccountKey(Account.CREDIT_NOTES, None, 9): notes,
        AccountKey(Account.INCOME): income,
    }


OF_INVOICE = AccountKey(Account.RECEIVABLE, 3, 9)
OF_CLIENT = AccountKey(Account.CLIENT_CREDIT, 3)
OF_NOBODY = AccountKey(Account.UNASSIGNED)


@pytest.mark.parametrize(
    ("client_id", "invoice_id", "payee"),
    [(3, 9, OF_INVOICE), (3, None, OF_CLIENT), (None, None, OF_NOBODY)],
)
def test_a_share_goes_to_its_invoice_else_to_its_client_else_to_nobody(
    client_id: int | None, invoice_id: int | None, payee: AccountKey
) -> None:
    share = Share(Decimal(100), PaymentState.SUCCEEDED, refunded=Decimal(30))
    by_hand = HandPayment(1, client_id, invoice_id, "usd", Decimal(70), None)

    assert share_postings(share, client_id, invoice_id) == {
        AccountKey(Account.STRIPE_CLEARING): 70,
        payee: -70,
    }
    assert hand_postings(by_hand) == {AccountKey(Account.CASH): 70, payee: -70}


def test_a_lost_dispute_ends_what_was_withdrawn_for_it() -> None:
    share = Share(Decimal(100), PaymentState.SUCCEEDED, refunded=Decimal(10), lost=Decimal(40))

    assert share_postings(share, 3, 9) == {
        AccountKey(Account.STRIPE_CLEARING): 90,
        OF_INVOICE: -50,
        AccountKey(Account.DISPUTES): -40,
    }


@pytest.mark.parametrize("state", [one for one in PaymentState if one != PaymentState.SUCCEEDED])
def test_money_that_has_not_come_is_booked_nowhere(state: PaymentState) -> None:
    assert share_postings(Share(Decimal(100), state), 3, 9) == {}


def test_a_payment_from_a_credit_note_uses_up_the_note() -> None:
    payment = HandPayment(1, 3, 9, "usd", Decimal(70), credit_note_id=12)

    assert hand_postings(payment) == {
        AccountKey(Account.CREDIT_NOTES, None, 12): 70,
        OF_INVOICE: -70,
    }


@pytest.mark.parametrize(
    ("kind", "source_id", "other"),
    [
        ("charge", "ch_1", Account.STRIPE_CLEARING),
        ("refund", None, Account.STRIPE_CLEARING),
        ("adjustment", "du_1", Account.DISPUTES),
        ("adjustment", "dp_1", Account.DISPUTES),
        ("payout", "po_1", Account.BANK),
        ("payout_cancel", "po_1", Account.BANK),
        ("payout_failure", "po_1", Account.BANK),
        ("topup", "tu_1", Account.BANK),
        ("topup_reversal", "tu_1", Account.BANK),
    ],
)
def test_a_balance_transaction_moves_its_net_and_its_fee(
    kind: str, source_id: str | None, other: Account
) -> None:
    assert movement_postings(a_movement(kind, "100", "3", source_id)) == {
        AccountKey(Account.STRIPE_BALANCE): 97,
        AccountKey(Account.FEES): 3,
        AccountKey(other): -100,
    }


@pytest.mark.parametrize("kind", ["stripe_fee", "stripe_fx_fee", "tax_fee", "network_cost"])
def test_a_fee_of_its_own_is_one_more_fee(kind: str) -> None:
    assert movement_postings(a_movement(kind, "-5", "1", None)) == {
        AccountKey(Account.STRIPE_BALANCE): -6,
        AccountKey(Account.FEES): 6,
    }


def a_movement(kind: str, amount: str, fee: str, source_id: str | None) -> BalanceMovement:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    net = Decimal(amount) - Decimal(fee)
    return BalanceMovement(
        "txn_1", kind, "usd", Decimal(amount), Decimal(fee), net, at, at, source_id
    )


def test_sums_are_by_account() -> None:
    found = total_postings(
        [{OF_CLIENT: Decimal(5), OF_NOBODY: Decimal(-5)}, {OF_CLIENT: Decimal(2)}, {}]
    )

    assert found == {OF_CLIENT: 7, OF_NOBODY: -5}


def test_only_the_difference_of_two_facts_is_booked() -> None:
    before = {OF_CLIENT: Decimal(5), OF_NOBODY: Decimal(-5)}
    after = {OF_INVOICE: Decimal(5), OF_NOBODY: Decimal(-5)}

    assert posting_change(before, after) == {OF_INVOICE: 5, OF_CLIENT: -5}
    assert posting_change(before, dict(before)) == {}
    assert posting_change({}, after) == after
