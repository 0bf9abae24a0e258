"""Reports on a payment end in one state, whatever order they come in and however often."""

import itertools
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given, strategies as st

from app.rules.payment import (
    Payment,
    PaymentReport,
    PaymentState,
    PaymentStatus,
    Reversal,
    ReversalKind,
    ReversedTotal,
    merge_report,
    merge_reversal,
    payment_from_report,
    reversed_total,
)

START = datetime(2026, 11, 22, 6, tzinfo=UTC)
CREATED, ACTION, PROCESSING, FAILED, CANCELED, SUCCEEDED = PaymentState


def news(state: PaymentState | None, second: int = 0, **more: object) -> PaymentReport:
    base = PaymentReport("pi_1", START + timedelta(seconds=second), "usd", Decimal(120), state)
    return replace(base, **more)  # type: ignore[arg-type]


def known(reports: Iterable[PaymentReport]) -> Payment:
    first, *rest = reports
    return reduce(merge_report, rest, payment_from_report(first))


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.combinations_with_replacement(PaymentState, 2))
)
def test_two_states_of_one_second_stand_by_rank_in_both_orders(
    one: PaymentState, other: PaymentState
) -> None:
    # A debit that starts is waited for, whatever failed in the same second.
    ranks = [CREATED, ACTION, FAILED, PROCESSING, CANCELED, SUCCEEDED]
    stands = max(one, other, key=ranks.index)

    assert known([news(one), news(other)]).state == stands
    assert known([news(other), news(one)]).state == stands


@pytest.mark.parametrize(("early", "late"), list(itertools.permutations(PaymentState, 2)))
def test_the_later_of_two_states_stands_unless_one_is_an_end(
    early: PaymentState, late: PaymentState
) -> None:
    ends = {CANCELED, SUCCEEDED} & {early, late}
    stands = max(ends) if ends else late
    reports = [news(early, 1), news(late, 2)]

    assert known(reports).state == stands
    assert known(reversed(reports)).state == stands


def test_failed_is_no_end() -> None:
    assert known([news(FAILED, 1), news(SUCCEEDED, 2)]).state == SUCCEEDED
    assert known([news(FAILED, 1), news(PROCESSING, 2)]).is_pending


def test_a_debit_that_starts_in_the_second_of_a_failure_is_waited_for() -> None:
    reports = [news(FAILED, 1), news(PROCESSING, 1)]

    assert known(reports).is_pending
    assert known(reversed(reports)).is_pending


@given(
    st.lists(
        st.builds(
            news,
            st.sampled_from([*PaymentState, None]),
            st.integers(0, 3),
            reason=st.just(None),
        ),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_any_order_with_any_repetition_ends_the_same(
    reports: list[PaymentReport], chance: random.Random
) -> None:
    # A failure has one reason at one second; that the reports agree is Stripe's part.
    reports = [replace(one, amount=_amount(one)) for one in reports]
    again = reports + chance.choices(reports, k=len(reports))
    chance.shuffle(again)

    assert known(again) == known(reports)


ENDED = [
    news(SUCCEEDED, 3, charge_id="ch_1"),  # the intent's own event
    news(SUCCEEDED, 2, invoice_id=7),  # a Checkout Session's, which names no charge
    news(SUCCEEDED, 4, response="{}"),  # our own call's answer, which is no event
]


@pytest.mark.parametrize("order", list(itertools.permutations(ENDED)))
def test_every_report_of_one_end_adds_what_the_others_left_open(
    order: tuple[PaymentReport, ...],
) -> None:
    told = [replace(one, event_id=5) if one.charge_id else one for one in order]

    payment = known(told)

    assert (payment.charge_id, payment.event_id, payment.response) == ("ch_1", 5, "{}")
    assert payment.claimed_invoice_id == 7
    assert payment.state_at == START + timedelta(seconds=2)


def _amount(report: PaymentReport) -> Decimal:
    return Decimal(110) if report.state == SUCCEEDED else Decimal(120)


def test_what_was_received_counts_and_stays() -> None:
    asked, received = news(CREATED, amount=Decimal(120)), news(SUCCEEDED, 5, amount=Decimal(100))

    for order in itertools.permutations([asked, received, news(PROCESSING, 9)]):
        assert known(order).amount == 100
    assert known([asked, news(FAILED, 1, amount=Decimal(90))]).amount == 120


def test_links_are_kept_whatever_the_state() -> None:
    session = news(None, invoice_id=7, attempt=2, customer_id="cus_1", intent_at=START)

    for order in itertools.permutations([session, news(SUCCEEDED, charge_id="ch_1")]):
        payment = known(order)
        assert (payment.claimed_invoice_id, payment.attempt) == (7, 2)
        assert (payment.customer_id, payment.charge_id) == ("cus_1", "ch_1")
        assert payment.state == SUCCEEDED


# --- money going back ------------------------------------------------------------------------


def refund(status: str, amount: int = 20, name: str = "re_1") -> Reversal:
    return Reversal(name, ReversalKind.REFUND, Decimal(amount), status)


def dispute(status: str, amount: int = 120, name: str = "du_1") -> Reversal:
    return Reversal(name, ReversalKind.DISPUTE, Decimal(amount), status)


def total(amount: int) -> Reversal:
    return Reversal("ch_1", ReversalKind.CHARGE, Decimal(amount), "None")


def went_back(*reports: Reversal) -> ReversedTotal:
    """As settlement keeps them: one report stands for each id."""
    stands: dict[str, Reversal] = {}
    for one in reports:
        stands[one.id] = merge_reversal(stands[one.id], one) if one.id in stands else one
    return reversed_total(stands.values())


REFUNDS = ["pending", "requires_action", "succeeded", "failed", "canceled"]
DISPUTES = [
    "warning_needs_response", "warning_under_review", "warning_closed", "needs_response",
    "under_review", "charge_refunded", "lost", "appeal_needs_response", "appeal_under_review",
    "won", "prevented",
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(REFUNDS, 2)))
def test_two_reports_of_one_refund_come_to_the_same_in_both_orders(one: str, other: str) -> None:
    reports = refund(one), refund(other)

    assert went_back(*reports) == went_back(*reversed(reports))
    came_back = {one, other} & {"failed", "canceled"}
    assert went_back(*reports).refunded == (0 if came_back else 20)


@pytest.mark.parametrize(("early", "late"), list(itertools.combinations(DISPUTES, 2)))
def test_the_more_final_status_of_a_dispute_stands_in_both_orders(early: str, late: str) -> None:
    back = went_back(dispute(early), dispute(late))

    assert back == went_back(dispute(late), dispute(early))
    is_lost = late in {"lost", "appeal_needs_response", "appeal_under_review"}
    assert (back.lost, back.disputed) == (
        120 if is_lost else 0, late in {"needs_response", "under_review"},
    )  # fmt: skip


@given(
    st.lists(
        st.one_of(
            st.builds(
                refund,
                st.sampled_from(REFUNDS),
                st.integers(1, 60),
                st.sampled_from(["re_1", "re_2"]),
            ),
            st.builds(
                dispute,
                st.sampled_from(DISPUTES),
                st.integers(1, 150),
                st.sampled_from(["du_1", "du_2"]),
            ),
            st.builds(total, st.integers(0, 120)),
        ),
        min_size=1,
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_money_going_back_comes_to_the_same_in_any_order_with_any_repetition(
    reports: list[Reversal], chance: random.Random
) -> None:
    # One refund or dispute says one amount at one status; that is Stripe's part.
    reports = [replace(one, amount=Decimal(len(one.status) + 10)) for one in reports]
    again = reports + chance.choices(reports, k=len(reports))
    chance.shuffle(again)

    assert went_back(*again) == went_back(*reports)
    assert went_back(*again).refunded >= 0


@pytest.mark.parametrize(
    ("reports", "refunded"),
    [
        ([], 0),
        ([refund("succeeded", 20)], 20),
        ([refund("pending", 20)], 20),
        ([total(50)], 50),
        ([refund("succeeded", 20), total(50)], 50),
        ([refund("succeeded", 20), refund("succeeded", 40, "re_2"), total(50)], 60),
        ([refund("failed", 20), total(20)], 0),
        ([refund("failed", 20), total(50)], 30),
        ([refund("failed", 20)], 0),
        ([refund("failed", 20), refund("succeeded", 30, "re_2"), total(50)], 30),
        ([refund("failed", 20), total(0)], 0),
    ],
)
def test_refunds_and_the_charges_total_are_never_counted_twice(
    reports: list[Reversal], refunded: int
) -> None:
    assert went_back(*reports).refunded == refunded


@pytest.mark.parametrize(
    ("state", "back", "counted", "status"),
    [
        (SUCCEEDED, ReversedTotal(), 120, PaymentStatus.SUCCEEDED),
        (SUCCEEDED, ReversedTotal(Decimal(20)), 100, PaymentStatus.PART_REFUNDED),
        (SUCCEEDED, ReversedTotal(Decimal(120)), 0, PaymentStatus.REFUNDED),
        (SUCCEEDED, ReversedTotal(disputed=True), 120, PaymentStatus.DISPUTED),
        (SUCCEEDED, ReversedTotal(lost=Decimal(120)), 0, PaymentStatus.DISPUTE_LOST),
        (SUCCEEDED, ReversedTotal(Decimal(20), Decimal(120)), 0, PaymentStatus.DISPUTE_LOST),
        (SUCCEEDED, ReversedTotal(Decimal(20), disputed=True), 100, PaymentStatus.DISPUTED),
        (PROCESSING, ReversedTotal(), 0, PaymentStatus.PROCESSING),
        (FAILED, ReversedTotal(Decimal(20)), 0, PaymentStatus.FAILED),
        (CANCELED, ReversedTotal(), 0, PaymentStatus.CANCELED),
        (CREATED, ReversedTotal(), 0, PaymentStatus.CREATED),
    ],
)
def test_what_counts_and_what_is_shown(
    state: PaymentState, back: ReversedTotal, counted: int, status: PaymentStatus
) -> None:
    payment = replace(known([news(state)]), back=back)

    assert (payment.counted, payment.status) == (counted, status)
    assert payment.is_reversed == (back != ReversedTotal())
    assert payment.is_pending == (state == PROCESSING)
