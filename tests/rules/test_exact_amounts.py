"""Lines and totals are exact decimals: no binary fraction, no order, no split changes a cent."""

import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from app.rules import money
from app.rules.invoice import Line, TaxRounding, line_totals, totals
from app.storage.column_types import significant

doubles = st.floats(-1e9, 1e9, allow_nan=False).map(lambda one: significant(Decimal(repr(one))))
percents = st.decimals(0, 100, places=4)
lines = st.builds(Line, doubles, doubles, percents, percents)
with_tax = st.builds(Line, doubles, doubles, percents, percents, price_includes_tax=st.just(True))


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


@given(with_tax)
def test_the_net_and_the_tax_of_a_price_with_tax_add_up_to_it(line: Line) -> None:
    assert Fraction(line.net) + Fraction(line.tax) == Fraction(line.amount)
    share = Fraction(100) / (100 + Fraction(line.tax_percent))
    assert abs(Fraction(line.net) - Fraction(line.amount) * share) <= Fraction(1, 10**12)


@given(
    st.lists(with_tax, max_size=8),
    st.sampled_from(["usd", "jpy", "kwd", "isk"]),
    st.sampled_from(TaxRounding),
)
def test_prices_with_tax_come_to_their_sum(
    given: list[Line], currency: str, rounding: TaxRounding
) -> None:
    found = totals(given, currency, rounding)

    exact = [one.amount for one in given]
    if rounding == TaxRounding.LINE:
        exact = [money.rounded(one, currency) for one in exact]
    whole = sum(map(Fraction, exact), Fraction(0))
    assert abs(Fraction(found.gross) - whole) <= Fraction(money.smallest(currency)) / 2
    assert totals(given[::-1], currency, rounding) == found


@given(st.lists(st.one_of(lines, with_tax), max_size=8), st.sampled_from(["usd", "jpy", "kwd"]))
def test_an_invoice_of_rounded_lines_is_their_sum(given: list[Line], currency: str) -> None:
    found = totals(given, currency, TaxRounding.LINE)

    each = [line_totals(one, currency) for one in given]
    assert found.net == sum(one.net for one in each)
    assert found.tax == sum(one.tax for one in each)


def test_a_rounding_is_that_of_its_flag() -> None:
    assert TaxRounding.of(by_line=True) == "line"
    assert TaxRounding.of(by_line=False) == "invoice"


def test_an_amount_that_is_nearly_a_half_is_none() -> None:
    nearly = Decimal("0.00499999999999999999999999999999999999999999")

    assert money.rounded(nearly, "usd") == 0
    assert money.rounded(nearly + Decimal("1e-44"), "usd") == Decimal("0.01")


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


# (price, rate) of each line; the sums of both roundings. Sources: HMRC's VAT Notice 700, section
# 17.5 (both roundings) and its VAT fraction of 1/6; Switzerland's 8.1 and 2.6 percent since 2024
# (art. 25 MWSTG), in rappen: only cash is rounded to 0.05; Japan's 10 and 8 percent, which its
# qualified invoices round once a rate; Quebec's composite of GST 5 and QST 9.975 percent (Revenu
# Quebec); Kuwait's dinar, of which Stripe takes hundredths (docs.stripe.com/currencies).
KNOWN = [
    (True, [("12.00", "20")], "gbp", ("10.00", "2.00"), ("10.00", "2.00")),
    (True, [("9.99", "20")] * 3, "gbp", ("24.97", "5.00"), ("24.96", "5.01")),
    (False, [("1.13", "20")] * 3, "gbp", ("3.39", "0.68"), ("3.39", "0.69")),
    (True, [("108.10", "8.1")], "chf", ("100.00", "8.10"), ("100.00", "8.10")),
    (True, [("19.95", "8.1"), ("4.30", "2.6")], "chf", ("22.65", "1.60"), ("22.65", "1.60")),
    (True, [("110", "10"), ("108", "8")], "jpy", ("200", "18"), ("200", "18")),
    (True, [("105", "10")] * 3, "jpy", ("286", "29"), ("285", "30")),
    (False, [("105", "10")] * 3, "jpy", ("315", "32"), ("315", "33")),
    (False, [("100.00", "14.975")], "cad", ("100.00", "14.98"), ("100.00", "14.98")),
    (True, [("114.98", "14.975")], "cad", ("100.00", "14.98"), ("100.00", "14.98")),
    (True, [("1.05", "5")], "kwd", ("1.00", "0.05"), ("1.00", "0.05")),
    (False, [("0.0000123456789012", "19")] * 9, "eur", ("0", "0"), ("0", "0")),
    (False, [("123456789012.345", "19")], "eur", ("123456789012.35", "23456789912.35"),
     ("123456789012.35", "23456789912.35")),
    (True, [("-12.00", "20")], "gbp", ("-10.00", "-2.00"), ("-10.00", "-2.00")),
    (True, [("10", "0")], "eur", ("10", "0"), ("10", "0")),
]  # fmt: skip


@pytest.mark.parametrize(("included", "lines", "currency", "once", "by_line"), KNOWN)
def test_known_taxes(
    included: bool,
    lines: list[tuple[str, str]],
    currency: str,
    once: tuple[str, str],
    by_line: tuple[str, str],
) -> None:
    one, none = Decimal(1), Decimal(0)
    made = [
        Line(one, Decimal(price), none, Decimal(rate), price_includes_tax=included)
        for price, rate in lines
    ]

    for rounding, expected in ((TaxRounding.INVOICE, once), (TaxRounding.LINE, by_line)):
        found = totals(made, currency, rounding)
        assert (found.net, found.tax) == tuple(map(Decimal, expected)), rounding
