"""A payout whose lines do not add up is asked about ever less often, and one day no more."""

from datetime import timedelta
from decimal import Decimal

import pytest

from app.rules.payout import ASK_AT_MOST_EVERY, GIVE_UP_AFTER, wait_before_check

A_CENT = Decimal("0.01")


@pytest.mark.parametrize(
    ("missing", "age", "wait"),
    [
        (Decimal(0), timedelta(0), None),
        (Decimal("0.000"), timedelta(days=1), None),
        (A_CENT, timedelta(0), ASK_AT_MOST_EVERY),
        (-A_CENT, timedelta(0), ASK_AT_MOST_EVERY),
        (A_CENT, 2 * ASK_AT_MOST_EVERY, ASK_AT_MOST_EVERY),
        (A_CENT, timedelta(days=2), timedelta(days=1)),
        (A_CENT, GIVE_UP_AFTER - timedelta(seconds=2), timedelta(days=15, seconds=-1)),
        (A_CENT, GIVE_UP_AFTER, None),
    ],
)
def test_a_payout_is_read_again_until_nothing_is_missing(
    missing: Decimal, age: timedelta, wait: timedelta | None
) -> None:
    assert wait_before_check(missing=missing, age=age) == wait
