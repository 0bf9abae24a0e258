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

from app.rules.claim import Evidence
from app.rules.payment import (
    FOR_NONE,
    LONG_AGO,
    WARNING_CLOSED,
    WARNING_OPEN,
    Payment,
    PaymentReport,
    PaymentState,
    PaymentStatus,
    Reversal,
    ReversalKind,
    ReversedTotal,
    merge_report,
    merge_reversal,
    payment_deletion_refusal,
    payment_from_report,
    reversed_total,
)

START = datetime(2026, 11, 22, 6, tzinfo=UTC)
CREATED, ACTION, PROCESSING, FAILED, CANCELED, SUCCEEDED = PaymentState


def news(state: PaymentState | None, second: int = 0, **more: object) -> PaymentReport:
    base = PaymentReport("pi_1", START + timedelta(seconds=second), "usd", Decimal(120), state)
    return base._replace(**more)


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
    reports = [one._replace(amount=_amount(one)) for one in reports]
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
    told = [one._replace(event_id=5) if one.charge_id else one for one in order]

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


def test_a_report_of_no_state_is_older_than_any_other() -> None:
    link = news(None, invoice_id=7)

    payment = known([link, news(CREATED, 1)])

    assert (payment.state, payment.state_at) == (CREATED, START + timedelta(seconds=1))
    stored = datetime(1970, 1, 1, tzinfo=UTC)
    assert payment_from_report(link).state_at == stored, "rows that say so are stored"


@pytest.mark.parametrize(
    ("first", "then", "amount"),
    [
        (news(CREATED, amount=None), news(FAILED, 1, amount=None), 0),
        (news(CREATED, amount=None), news(FAILED, 1, amount=Decimal(90)), 90),
        (news(CREATED, amount=Decimal(90)), news(FAILED, 1, amount=None), 90),
        (news(CREATED, amount=Decimal(90)), news(None, 1, amount=None), 90),
        (news(CREATED, amount=Decimal(90)), news(None, 1, amount=Decimal(91)), 91),
        (news(SUCCEEDED, amount=Decimal(90)), news(None, 1, amount=Decimal(500)), 90),
        (news(SUCCEEDED, amount=Decimal(90)), news(SUCCEEDED, 1, amount=None), 90),
    ],
)
def test_a_report_without_an_amount_takes_none_away(
    first: PaymentReport, then: PaymentReport, amount: int
) -> None:
    assert known([first, then]).amount == amount


def test_a_repeated_failure_takes_nothing_away() -> None:
    told = news(FAILED, 1, reason="insufficient_funds", charge_id="ch_1")

    payment = known([told, news(FAILED, 1)])

    assert (payment.reason, payment.charge_id) == ("insufficient_funds", "ch_1")


def test_a_later_state_keeps_the_charge_and_the_event_that_it_does_not_name() -> None:
    payment = known([news(CREATED, charge_id="ch_1", event_id="evt_1"), news(PROCESSING, 1)])

    assert (payment.charge_id, payment.event_id) == ("ch_1", "evt_1")


def test_links_are_kept_whatever_the_state() -> None:
    session = news(
        None, invoice_id=7, attempt=2, customer_id="cus_1", intent_at=START, method="card",
        response="{}",
    )  # fmt: skip

    for order in itertools.permutations([session, news(SUCCEEDED, charge_id="ch_1")]):
        payment = known(order)
        assert (payment.claimed_invoice_id, payment.attempt) == (7, 2)
        assert (payment.customer_id, payment.charge_id) == ("cus_1", "ch_1")
        assert (payment.intent_at, payment.method, payment.response) == (START, "card", "{}")
        assert payment.state == SUCCEEDED


WEAKER_FIRST = [
    {None}, {Evidence.AMOUNT, Evidence.CUSTOMER}, {Evidence.METADATA, Evidence.KEY},
    {Evidence.ATTEMPT}, {Evidence.PERSON},
]  # fmt: skip
RANKED = [(rank, one) for rank, several in enumerate(WEAKER_FIRST) for one in several]


@pytest.mark.parametrize(
    ("first", "then"), list(itertools.product(sorted(RANKED, key=str), repeat=2))
)
def test_the_claim_of_the_better_evidence_stands_and_of_equal_ones_the_first(
    first: tuple[int, Evidence | None], then: tuple[int, Evidence | None]
) -> None:
    payment = known([
        news(None, invoice_id=7, evidence=first[1]), news(None, invoice_id=8, evidence=then[1]),
    ])  # fmt: skip

    stands = (8, then[1]) if then[0] > first[0] else (7, first[1])
    assert (payment.claimed_invoice_id, payment.evidence) == stands


@pytest.mark.parametrize("evidence", [None, Evidence.AMOUNT, Evidence.PERSON])
def test_a_claim_is_taken_from_the_report_that_makes_it_and_never_from_a_foreign_one(
    evidence: Evidence | None,
) -> None:
    claim = news(None, invoice_id=7, evidence=evidence)
    foreign = news(None, invoice_id=8, evidence=Evidence.FOREIGN)

    for reports in ([news(CREATED), foreign, claim], [claim, foreign], [claim, news(CREATED)]):
        payment = known(reports)
        assert (payment.claimed_invoice_id, payment.evidence) == (7, evidence)


def test_the_intents_own_amount_beats_a_checkout_sessions() -> None:
    intents = news(SUCCEEDED, amount=Decimal(100))
    sessions = news(SUCCEEDED, 1, amount=Decimal(120), is_intents=False)

    assert known([sessions]).amount == 120
    assert known([intents, sessions]).amount == known([sessions, intents]).amount == 100
    assert known([news(CREATED, amount=Decimal(130)), sessions]).amount == 120


def test_a_step_and_a_hold_last_as_long_as_their_state() -> None:
    held = news(ACTION, awaits="verify_with_microdeposits", capturable=Decimal(5))

    payment = known([news(CREATED), held])
    assert (payment.awaits, payment.capturable) == ("verify_with_microdeposits", 5)
    assert known([held]) == payment._replace(amount=known([held]).amount)

    ended = known([held, news(SUCCEEDED, 1)])
    assert (ended.awaits, ended.capturable) == (None, 0)
    assert known([news(CREATED)]).capturable == 0
    assert Payment("pi_1", CREATED, START, Decimal(1), "usd").capturable == 0


@pytest.mark.parametrize(
    ("state", "is_stripes", "reason"),
    [
        (SUCCEEDED, True, "Stripe took money for it; refund it there"),
        (SUCCEEDED, False, None),
        (CANCELED, True, None),
        (PROCESSING, False, None),
        *((state, True, "it has not ended at Stripe; cancel it there")
          for state in (CREATED, ACTION, PROCESSING, FAILED)),
    ],
)  # fmt: skip
def test_a_payment_at_stripe_is_deleted_only_when_it_ended_without_money(
    state: PaymentState, is_stripes: bool, reason: str | None
) -> None:
    assert payment_deletion_refusal(state, is_stripes=is_stripes) == reason


def test_the_numbers_that_are_stored_and_published_stay_what_they_are() -> None:
    states = {
        "CREATED": 0, "REQUIRES_ACTION": 1, "PROCESSING": 2, "FAILED": 3, "CANCELED": 4,
        "SUCCEEDED": 5,
    }  # fmt: skip
    money_back = {"PART_REFUNDED": 6, "REFUNDED": 7, "DISPUTED": 8, "DISPUTE_LOST": 9}

    assert {one.name: one.value for one in PaymentState} == states
    assert {one.name: one.value for one in PaymentStatus} == states | money_back
    assert FOR_NONE == 0, "no invoice has this id, and rows that say so are stored"


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
    return reversed_total(stands.values(), currency="usd", whole=Decimal(100))


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


@pytest.mark.parametrize(
    ("lesser", "greater"),
    [
        *itertools.product(["pending", "requires_action", "unheard_of"], ["succeeded"]),
        *itertools.product(["pending", "unheard_of", "succeeded"], ["failed", "canceled"]),
    ],
)
def test_the_more_final_status_of_a_refund_stands_whatever_its_amount(
    lesser: str, greater: str
) -> None:
    small, large = refund(greater, 1), refund(lesser, 99)

    assert merge_reversal(small, large) == merge_reversal(large, small) == small


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pending", "requires_action"), ("pending", "unheard_of"), ("failed", "canceled"),
        ("succeeded", "succeeded"),
    ],
)  # fmt: skip
def test_of_a_refunds_equal_statuses_the_larger_amount_stands(one: str, other: str) -> None:
    for less, more in ((one, other), (other, one)):
        small, large = refund(less, 1), refund(more, 2)
        assert merge_reversal(small, large) == merge_reversal(large, small) == large


@pytest.mark.parametrize(("lesser", "greater"), list(itertools.pairwise(DISPUTES[:-1])))
def test_the_more_final_status_of_a_dispute_stands_whatever_its_amount(
    lesser: str, greater: str
) -> None:
    small, large = dispute(greater, 1), dispute(lesser, 99)

    assert merge_reversal(small, large) == merge_reversal(large, small) == small


@pytest.mark.parametrize(
    ("one", "other"), [("won", "prevented"), ("warning_needs_response", "unheard_of")]
)
def test_of_a_disputes_equal_statuses_the_larger_amount_stands(one: str, other: str) -> None:
    for small, large in (
        (dispute(one, 1), dispute(other, 2)),
        (dispute(other, 1), dispute(one, 2)),
    ):
        assert merge_reversal(small, large) == merge_reversal(large, small) == large


@pytest.mark.parametrize(
    ("early", "late"),
    [
        (dispute("warning_needs_response"), dispute("needs_response")),
        (dispute("needs_response"), dispute("lost")),
        (refund("pending"), refund("succeeded")),
    ],
)
def test_each_report_completes_the_other(early: Reversal, late: Reversal) -> None:
    soon, later = LONG_AGO + timedelta(days=7), LONG_AGO + timedelta(days=20)
    first = replace(early, invoice_id=7, reason="fraudulent", evidence_due_at=soon)
    first = replace(first, request_id=3, funds_withdrawn=True)
    second = replace(late, evidence_due_at=later, funds_reinstated=True)

    both = merge_reversal(first, second)

    assert both == merge_reversal(second, first)
    assert (both.status, both.invoice_id, both.request_id) == (late.status, 7, 3)
    assert (both.reason, both.evidence_due_at) == ("fraudulent", later)
    assert (both.funds_withdrawn, both.funds_reinstated) == (True, True)


def test_only_money_that_is_gone_is_refunded_of_an_invoice() -> None:
    def of(status: str, amount: int, name: str, invoice: int | None) -> Reversal:
        return replace(refund(status, amount, name), invoice_id=invoice)

    back = went_back(
        of("succeeded", 20, "re_1", 7),
        of("pending", 5, "re_2", 7),
        of("failed", 50, "re_3", 7),
        of("succeeded", 3, "re_4", 8),
        of("succeeded", 1, "re_5", None),
    )

    assert (back.refunded, back.refunded_of) == (29, {7: 25, 8: 3})


def test_a_fraud_warning_takes_no_money_and_disputes_nothing() -> None:
    open_one = Reversal("issfr_1", ReversalKind.FRAUD_WARNING, Decimal(0), WARNING_OPEN)
    closed = replace(open_one, status=WARNING_CLOSED)

    assert reversed_total([open_one], currency="usd", whole=Decimal(100)) == ReversedTotal()
    assert merge_reversal(open_one, closed) == merge_reversal(closed, open_one) == closed


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
