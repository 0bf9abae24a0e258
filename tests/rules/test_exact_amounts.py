"""Lines and totals are exact decimals: no binary fraction, no order, no split changes a cent."""

import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from app.rules import money
from app.rules.invoice import Line, totals
from app.storage.column_types import significant

doubles = st.floats(-1e9, 1e9, allow_nan=False).map(lambda one: significant(Decimal(repr(one))))
percents = st.decimals(0, 100, places=4)
lines = st.builds(Line, doubles, doubles, percents, percents)


@given(st.floats(-9e11, 9e11, allow_nan=False))
def test_fifteen_digits_are_those_of_the_double(number: float) -> None:
    kept = significant(Decimal(repr(number)))

    assert len(kept.normalize().as_tuple().digits) <= 15
    assert significant(kept) == kept
    half = Decimal(5).scaleb(max(Decimal(repr(number)).adjusted() - 15, -21))
    assert abs(kept - Decimal(repr(number))) <= half


@given(lines)
def test_a_line_is_exactly_what_its_factors_multiply_to(line: Line) -> None:
    net = Fraction(line.quantity) * Fraction(line.unit_price)
    net = net * (100 - Fraction(line.discount_percent)) / 100

    assert Fraction(line.net) == net
    assert Fraction(line.tax) == net * Fraction(line.tax_percent) / 100


@given(
    st.lists(lines, max_size=8),
    st.sampled_from(["usd", "jpy", "kwd", "isk"]),
    st.integers(),
)
def test_totals_do_not_depend_on_the_order_of_lines(
    given: list[Line], currency: str, seed: int
) -> None:
    shuffled = random.Random(seed).sample(given, len(given))

    found = totals(given, currency)

    assert totals(shuffled, currency) == found
    step = money.smallest(currency)
    assert (found.net % step, found.tax % step) == (0, 0)


# One rounding a rate, on the document: EN 16931's BR-CO-14 and BR-S-09 compute so.
@pytest.mark.parametrize(
    ("prices", "rate", "currency", "net", "tax"),
    [
        (["0.333333333333333"] * 3, "20", "usd", "1", "0.2"),
        (["0.05"] * 3, "10", "usd", "0.15", "0.02"),
        (["10.005"], "0", "usd", "10.01", "0"),
        (["-10.005"], "0", "usd", "-10.01", "0"),
        (["100.5"], "10", "jpy", "101", "10"),
        (["1.2345"], "5", "kwd", "1.23", "0.06"),
        (["99.5"], "24", "isk", "100", "24"),
    ],
)
def test_totals_are_rounded_once_a_rate(
    prices: list[str], rate: str, currency: str, net: str, tax: str
) -> None:
    one = Decimal(1)
    made = [Line(one, Decimal(price), Decimal(0), Decimal(rate)) for price in prices]

    found = totals(made, currency)

    assert (found.net, found.tax) == (Decimal(net), Decimal(tax))
