"""A payment's money is shared out among invoices, and never more of it than there is."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from app.rules.allocation import (
    NO_CLAIMS,
    Claims,
    Key,
    Share,
    allocate,
    is_sum_of_some,
    move,
)
from app.rules.claim import Evidence
from app.rules.payment import PaymentState, PaymentStatus, ReversedTotal

CREATED, ACTION, PROCESSING, FAILED, CANCELED, SUCCEEDED = PaymentState
NOTHING = ReversedTotal()


def shared(
    total: int,
    state: PaymentState = SUCCEEDED,
    back: ReversedTotal = NOTHING,
    *,
    before: Mapping[Key, Share] | None = None,
    claims: Mapping[int, int] | None = None,
    due: Mapping[int, int] | None = None,
) -> dict[Key, Share]:
    named = {one: Decimal(amount) for one, amount in (claims or {}).items()}
    owed = {one: Decimal(amount) for one, amount in (due or {}).items()}
    return allocate(
        total=Decimal(total),
        state=state,
        back=back,
        shares=before or {},
        claims=Claims(named, Evidence.METADATA) if named else NO_CLAIMS,
        amount_due=owed,
    )


def amounts(shares: Mapping[Key, Share]) -> dict[Key, int]:
    return {key: int(share.amount) for key, share in shares.items()}


def counted(shares: Mapping[Key, Share]) -> dict[Key, int]:
    return {key: int(share.counted) for key, share in shares.items()}


@pytest.mark.parametrize(
    ("total", "claims", "due", "expected"),
    [
        (100, {7: 100}, {7: 100}, {7: 100}),  # exactly what is due
        (60, {7: 60}, {7: 100}, {7: 60}),  # a part
        (130, {7: 130}, {7: 100}, {7: 100, None: 30}),  # more: the rest is credit
        (100, {7: 100}, {7: 0}, {None: 100}),  # already paid: all of it is credit
        (100, {7: 100}, {}, {None: 100}),  # a void owes nothing
        (100, {}, {7: 100}, {None: 100}),  # nobody says whose it is
        (100, {7: 60, 8: 40}, {7: 60, 8: 40}, {7: 60, 8: 40}),  # several invoices
        (100, {7: 60, 8: 40}, {7: 60, 8: 10}, {7: 60, 8: 10, None: 30}),
        (70, {7: 60, 8: 40}, {7: 60, 8: 40}, {7: 60, 8: 10}),  # received less than was asked
        (0, {7: 0}, {7: 100}, {None: 0}),
    ],
)
def test_money_pays_what_it_is_for_and_never_more_than_is_due(
    total: int, claims: dict[int, int], due: dict[int, int], expected: dict[Key, int]
) -> None:
    assert amounts(shared(total, claims=claims, due=due)) == expected


def test_until_money_is_taken_an_invoice_has_its_share_and_counts_nothing() -> None:
    for state in (CREATED, ACTION, PROCESSING, FAILED, CANCELED):
        found = shared(100, state, claims={7: 100}, due={7: 40})

        assert amounts(found) == {7: 100}
        assert counted(found) == {7: 0}
    done = shared(100, before=found, claims={7: 100}, due={7: 40})
    assert counted(done) == {7: 40, None: 60}


@pytest.mark.parametrize(
    ("refunded", "lost", "expected"),
    [
        (20, 0, {7: 60, 8: 40, None: 10}),  # the unapplied share first
        (30, 0, {7: 60, 8: 40, None: 0}),
        (50, 0, {7: 60, 8: 20, None: 0}),  # then the newest invoice
        (90, 0, {7: 40, 8: 0, None: 0}),
        (130, 0, {7: 0, 8: 0, None: 0}),
        (999, 0, {7: 0, 8: 0, None: 0}),  # no share counts less than nothing
        (0, 130, {7: 0, 8: 0, None: 0}),
        (40, 30, {7: 60, 8: 0, None: 0}),  # both together
    ],
)
def test_money_that_goes_back_reduces_credit_first_and_then_the_newest_invoice(
    refunded: int, lost: int, expected: dict[Key, int]
) -> None:
    before = shared(130, claims={7: 60, 8: 40}, due={7: 60, 8: 40})

    back = ReversedTotal(Decimal(refunded), Decimal(lost))
    after = shared(130, back=back, before=before, due={7: 0, 8: 0})

    assert counted(after) == expected
    assert amounts(after) == amounts(before)


@pytest.mark.parametrize(
    ("refunded", "of", "expected"),
    [
        (20, {7: 20}, {7: 40, 8: 40, None: 30}),  # an older invoice, though there is credit
        (60, {7: 60}, {7: 0, 8: 40, None: 30}),
        (70, {7: 70}, {7: 0, 8: 40, None: 20}),  # more than its share: the rest as ever
        (50, {7: 20, 8: 30}, {7: 40, 8: 10, None: 30}),
        (50, {7: 20}, {7: 40, 8: 40, None: 0}),  # the other thirty name nobody
        (20, {9: 20}, {7: 60, 8: 40, None: 10}),  # an invoice that has no share of it
        (130, {8: 10}, {7: 0, 8: 0, None: 0}),
        (10, {7: 20}, {7: 40, 8: 40, None: 30}),  # a name never adds money to the other shares
    ],
)
def test_a_refund_for_an_invoice_reduces_that_invoice(
    refunded: int, of: dict[int, int], expected: dict[Key, int]
) -> None:
    before = shared(130, claims={7: 60, 8: 40}, due={7: 60, 8: 40})

    after = shared(130, back=named(refunded, of), before=before, due={7: 0, 8: 0})

    assert counted(after) == expected
    assert amounts(after) == amounts(before)


def named(refunded: int, of: Mapping[int, int]) -> ReversedTotal:
    parts = {one: Decimal(amount) for one, amount in of.items()}
    return ReversedTotal(Decimal(refunded), refunded_of=parts)


def test_credit_does_not_pay_again_the_money_that_was_refunded_for_an_invoice() -> None:
    before = shared(130, claims={7: 130}, due={7: 100})
    assert amounts(before) == {7: 100, None: 30}

    once = shared(130, back=named(100, {7: 100}), before=before, claims={7: 130}, due={7: 0})
    again = shared(130, back=named(100, {7: 100}), before=once, claims={7: 130}, due={7: 100})
    more = shared(130, back=named(100, {7: 100}), before=once, claims={7: 130}, due={7: 110})

    assert counted(once) == counted(again) == {7: 0, None: 30}
    assert counted(more) == {7: 10, None: 20}


def test_an_invoice_that_owes_again_takes_credit_that_claims_it() -> None:
    before = shared(100, claims={7: 100}, due={7: 0})
    assert amounts(before) == {None: 100}

    assert amounts(shared(100, before=before, claims={7: 100}, due={7: 30})) == {7: 30, None: 70}
    assert amounts(shared(100, before=before, claims={7: 100}, due={7: 300})) == {7: 100}


def test_an_invoice_that_has_a_share_takes_only_as_much_as_it_still_owes() -> None:
    before = shared(100, claims={7: 100}, due={7: 60})
    assert amounts(before) == {7: 60, None: 40}

    assert amounts(shared(100, before=before, claims={7: 100}, due={7: 25})) == {7: 85, None: 15}
    assert amounts(shared(100, before=before, claims={7: 100}, due={7: 0})) == amounts(before)


def test_a_rest_of_some_cents_is_credit_too() -> None:
    found = allocate(
        total=Decimal("100.50"),
        state=SUCCEEDED,
        back=NOTHING,
        shares={},
        claims=Claims({7: Decimal(100)}),
        amount_due={7: Decimal(100)},
    )

    assert {key: share.amount for key, share in found.items()} == {7: 100, None: Decimal("0.5")}


def test_a_share_is_not_contested_unless_it_is_said() -> None:
    assert not Share(Decimal(1), SUCCEEDED).is_reversed


def test_credit_that_went_back_pays_nothing() -> None:
    before = shared(100, claims={7: 100}, due={7: 0})
    back = ReversedTotal(Decimal(80))

    after = shared(100, back=back, before=before, claims={7: 100}, due={7: 100})

    assert counted(after) == {7: 20}
    assert after[7].is_reversed


def test_a_refund_known_before_the_claim_falls_on_the_same_invoice() -> None:
    back = ReversedTotal(Decimal(20))
    first = shared(100, back=back, claims={7: 100}, due={7: 100})

    unclaimed = shared(100, back=back)
    then = shared(100, back=back, before=unclaimed, claims={7: 100}, due={7: 100})

    assert then == first
    assert then[7].is_reversed


def test_an_invoice_that_is_paid_beyond_its_total_takes_nothing() -> None:
    assert amounts(shared(100, claims={7: 100}, due={7: -30})) == {None: 100}


def test_a_person_moves_shares_and_the_rest_is_credit() -> None:
    before = shared(100, claims={7: 100}, due={7: 100})

    after = move(before, {8: Decimal(70)}, NOTHING, total=Decimal(100))

    assert amounts(after) == {8: 70, None: 30}
    assert after[8].evidence == Evidence.PERSON
    assert after[None].evidence is None


@pytest.mark.parametrize(
    ("state", "back", "counts", "status"),
    [
        (SUCCEEDED, ReversedTotal(), 120, PaymentStatus.SUCCEEDED),
        (SUCCEEDED, ReversedTotal(Decimal(20)), 100, PaymentStatus.PART_REFUNDED),
        (SUCCEEDED, ReversedTotal(Decimal(119)), 1, PaymentStatus.PART_REFUNDED),
        (SUCCEEDED, ReversedTotal(Decimal(120)), 0, PaymentStatus.REFUNDED),
        (SUCCEEDED, ReversedTotal(Decimal(121)), 0, PaymentStatus.REFUNDED),
        (SUCCEEDED, ReversedTotal(disputed=True), 120, PaymentStatus.DISPUTED),
        (SUCCEEDED, ReversedTotal(lost=Decimal(120)), 0, PaymentStatus.DISPUTE_LOST),
        (SUCCEEDED, ReversedTotal(Decimal(20), Decimal(100)), 0, PaymentStatus.DISPUTE_LOST),
        (SUCCEEDED, ReversedTotal(Decimal(20), disputed=True), 100, PaymentStatus.DISPUTED),
        (PROCESSING, ReversedTotal(), 0, PaymentStatus.PROCESSING),
        (FAILED, ReversedTotal(Decimal(20)), 0, PaymentStatus.FAILED),
        (CANCELED, ReversedTotal(), 0, PaymentStatus.CANCELED),
        (CREATED, ReversedTotal(), 0, PaymentStatus.CREATED),
    ],
)
def test_what_counts_and_what_is_shown(
    state: PaymentState, back: ReversedTotal, counts: int, status: PaymentStatus
) -> None:
    (share,) = shared(120, state, back, claims={7: 120}, due={7: 120}).values()

    assert (share.counted, share.status) == (counts, status)
    assert share.is_reversed == (back != ReversedTotal())
    assert share.is_pending == (state == PROCESSING)


@given(
    total=st.integers(0, 200),
    claims=st.dictionaries(st.integers(1, 4), st.integers(0, 100), max_size=3),
    due=st.dictionaries(st.integers(1, 4), st.integers(0, 100), max_size=4),
    steps=st.lists(
        st.tuples(st.sampled_from(list(PaymentState)), st.integers(0, 120), st.integers(0, 120)),
        min_size=1,
        max_size=4,
    ),
    of=st.dictionaries(st.integers(1, 4), st.integers(1, 60), max_size=2),
)
def test_shares_add_up_to_their_payment_and_no_invoice_gets_more_than_it_owed(
    total: int,
    claims: dict[int, int],
    due: dict[int, int],
    steps: list[tuple[PaymentState, int, int]],
    of: dict[int, int],
) -> None:
    shares: dict[Key, Share] = {}
    for state, refunded, lost in sorted(steps, key=lambda step: step[0] == SUCCEEDED):
        back_all = max(refunded, sum(of.values()))
        back = replace(named(back_all, of), lost=Decimal(lost))
        left = {one: amount - int(_counted_of(shares, one)) for one, amount in due.items()}
        shares = shared(total, state, back, before=shares, claims=claims, due=left)

        assert sum(share.amount for share in shares.values()) == total
        assert all(share.counted >= 0 for share in shares.values())
        went_back = sum(share.refunded + share.lost for share in shares.values())
        assert went_back == min(back_all + lost, total)
        for key in shares:
            if key is not None:
                assert _counted_of(shares, key) <= due.get(key, 0)


def _counted_of(shares: Mapping[Key, Share], key: int) -> Decimal:
    return shares[key].counted if key in shares else Decimal(0)


@pytest.mark.parametrize(
    ("amount", "others", "fits"),
    [
        (0, [], True),
        (5, [], False),
        (5, [2, 3], True),
        (5, [2, 2], False),
        (4, [2, 2], True),
        (5, [6, 5], True),
        (1, [2, 3, 4], False),
    ],
)
def test_a_sum_of_some_open_invoices_is_seen(amount: int, others: list[int], fits: bool) -> None:
    assert is_sum_of_some(Decimal(amount), [Decimal(one) for one in others]) is fits


def test_too_many_sums_are_taken_for_a_fit() -> None:
    many = [Decimal(2) ** power for power in range(20)]

    assert is_sum_of_some(Decimal("0.5"), many[:3]) is False
    assert is_sum_of_some(Decimal(2**20) + Decimal("0.5"), many) is True


def test_amounts_that_exceed_the_sum_are_no_reason_to_give_up() -> None:
    too_large = [Decimal(2) ** power for power in range(1, 20)]

    assert is_sum_of_some(Decimal(1), too_large) is False


def test_ten_thousand_sums_are_looked_through_and_one_more_is_not() -> None:
    # As digits of a number they make each whole sum from 0 to 9999 once.
    steps = [1, 2, 4, 8, *[16] * 4, *[80] * 4, *[400] * 4, *[2000] * 4]
    all_sums = [Decimal(one) for one in steps]

    assert is_sum_of_some(Decimal(20_000), all_sums) is False
    assert is_sum_of_some(Decimal(20_000), [*all_sums, Decimal(1)]) is True
