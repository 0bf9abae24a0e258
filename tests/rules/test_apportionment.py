"""Rounded parts add up to the rounded sum, and no part is off by more than a step."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from app.rules import money
from app.rules.apportionment import apportion


@pytest.mark.parametrize(
    ("amounts", "total", "currency", "parts"),
    [
        ([], "0", "eur", []),
        (["1"], "1", "eur", ["1"]),
        (["0.004", "0.004", "0.002"], "0.01", "eur", ["0.01", "0", "0"]),
        (["33.333333", "33.333333", "33.333334"], "100", "eur", ["33.33", "33.33", "33.34"]),
        (["-0.005", "0.015"], "0.01", "eur", ["0", "0.01"]),
        (["0.5", "0.5", "0.5"], "2", "jpy", ["1", "1", "0"]),
        (["1.005", "2.005"], "3.01", "kwd", ["1.01", "2"]),
        (["10", "20"], "31", "eur", ["10", "21"]),
    ],
)
def test_parts_are_rounded_by_the_largest_remainders(
    amounts: list[str], total: str, currency: str, parts: list[str]
) -> None:
    found = apportion([Decimal(one) for one in amounts], Decimal(total), currency)

    assert found == [Decimal(one) for one in parts]


EXACT = st.integers(-(10**12), 10**12).map(lambda one: Decimal(one).scaleb(-6))


@given(st.lists(EXACT, min_size=1, max_size=40), st.sampled_from(["eur", "jpy", "kwd"]))
def test_parts_add_up_and_none_is_off_by_a_step(amounts: list[Decimal], currency: str) -> None:
    total = money.rounded(sum(amounts, Decimal(0)), currency)

    found = apportion(amounts, total, currency)

    assert sum(found, Decimal(0)) == total
    step = Fraction(money.smallest(currency))
    for exact, part in zip(amounts, found, strict=True):
        assert abs(Fraction(part) - Fraction(exact)) < step
        assert part == money.rounded(part, currency)
