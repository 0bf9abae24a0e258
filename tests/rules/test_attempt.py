"""An idempotency key names one call of one attempt of one installation, and is ours or is not."""

import itertools

import pytest
from hypothesis import given, strategies as st

from app.rules.attempt import (
    UNRESOLVED,
    AttemptKey,
    AttemptState,
    confirm_key,
    create_key,
    parse_key,
)


def test_a_key_is_the_same_at_every_replay() -> None:
    assert create_key("a1b2", 42, 1, 1) == "paydue-a1b2-inv-42-att-1-create1"
    assert confirm_key("a1b2", 42, 1) == "paydue-a1b2-inv-42-att-1-confirm"


def test_no_two_calls_share_a_key() -> None:
    places = list(itertools.product(("a", "b"), (1, 11), (1, 11)))
    keys = [create_key(*place, creates) for place in places for creates in (1, 2, 11)]
    keys += [confirm_key(*place) for place in places]

    assert len(set(keys)) == len(keys)


@given(
    st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=32),
    st.integers(1, 10**18 - 1),
    st.integers(1, 10**9 - 1),
    st.integers(1, 10**6),
)
def test_our_own_keys_are_read_back_and_fit_stripes_limit(
    installation: str, invoice: int, attempt: int, creates: int
) -> None:
    for key, call in (
        (create_key(installation, invoice, attempt, creates), f"create{creates}"),
        (confirm_key(installation, invoice, attempt), "confirm"),
    ):
        assert parse_key(key) == AttemptKey(installation, invoice, attempt, call)
        assert len(key) <= 255


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "a1b2",
        "paydue-a1b2-inv-42-att-1",
        "paydue-a1b2-inv--att-1-confirm",
        "paydue-a1b2-inv-42-att-1-confirm ",
        " paydue-a1b2-inv-42-att-1-confirm",
        "paydue-a1b2-inv-42-att-1-confirm\n",
        "paydue-A1B2-inv-42-att-1-confirm",
        "paydue-a1b2-inv-4x-att-1-confirm",
        "paydue-a1b2-inv-9999999999999999999-att-1-confirm",
        "paydue-a1b2-inv-42-att-9999999999-confirm",
        "payment-de7602d6-0000-0000-0000-000000000000",
    ],
)
def test_another_systems_key_is_not_taken_for_ours(text: str | None) -> None:
    assert parse_key(text) is None


def test_what_may_still_move_money_is_unresolved() -> None:
    assert set(UNRESOLVED) == {AttemptState.OPEN, AttemptState.UNKNOWN, AttemptState.PROCESSING}
