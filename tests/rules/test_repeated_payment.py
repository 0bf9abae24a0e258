"""Two payments of one client and amount within days look like one charge made twice."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.rules.repeated_payment import PaidAmount, repeated_payments

DAY_ONE = datetime(2026, 11, 1, tzinfo=UTC)


def _paid(text: str, number: int) -> PaidAmount:
    """`pi_a 1 usd 120 0`: payment, client, currency, amount, days after the first day."""
    payment, client, currency, amount, days = text.split()
    at = DAY_ONE + timedelta(days=int(days))
    return PaidAmount(number, payment, int(client), currency, Decimal(amount), at)


@pytest.mark.parametrize(
    ("paid", "found"),
    [
        ([], []),
        (["a 1 usd 120 0"], []),
        (["a 1 usd 120 0", "b 1 usd 120 7"], ["ab"]),
        (["b 1 usd 120 7", "a 1 usd 120 0"], ["ab"]),
        (["a 1 usd 120 0", "b 1 usd 120 8"], []),
        (["a 1 usd 120 0", "b 1 usd 120.01 0"], []),
        (["a 1 usd 120 0", "b 1 usd 120.00 0"], ["ab"]),
        (["a 1 jpy 120 0", "b 1 usd 120 0"], []),
        (["a 1 jpy 120 0", "b 1 jpy 120 0"], ["ab"]),
        (["a 1 usd 120 0", "b 2 usd 120 0"], []),
        (["a 1 usd 120 0", "a 1 usd 120 0"], []),
        (["a 1 usd 120 0", "b 1 usd 120 0", "a 1 usd 120 0"], ["ab"]),
        (["a 1 usd 120 0", "b 1 usd 120 5", "c 1 usd 120 10"], ["abc"]),
        (["a 1 usd 5 0", "b 1 usd 5 1", "c 2 usd 9 2", "d 2 usd 9 3"], ["cd", "ab"]),
    ],
)
def test_payments_that_look_like_one_charge_made_twice(paid: list[str], found: list[str]) -> None:
    given = [_paid(text, number) for number, text in enumerate(paid)]

    groups = repeated_payments(given, timedelta(days=7))

    assert ["".join(one.payment for one in group) for group in groups] == found
