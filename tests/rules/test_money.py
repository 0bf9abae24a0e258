"""Amounts are exact: what Stripe cannot take is refused, never rounded."""

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from app.errors import AmountNotAllowed, InvalidField
from app.rules import money

ZERO = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()
THREE = "bhd jod kwd omr tnd".split()
TWO = "usd eur gbp chf huf twd isk ugx".split()


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0", "usd", 0),
        ("120", "usd", 12000),
        ("0.01", "usd", 1),
        ("1.10", "usd", 110),
        ("1.1000", "usd", 110),
        ("120", "USD", 12000),
        ("-5.25", "usd", -525),
        ("0", "jpy", 0),
        ("5000", "jpy", 5000),
        ("5000.00", "jpy", 5000),
        ("5000", "isk", 500000),
        ("1", "ugx", 100),
        ("12.340", "kwd", 12340),
        ("0.010", "bhd", 10),
        ("120.50", "huf", 12050),
        ("120.55", "twd", 12055),
        ("9999999999.99", "usd", money.MINOR_MAX),
        ("999999999999", "jpy", money.MINOR_MAX),
        ("-9999999999.99", "usd", -money.MINOR_MAX),
    ],
)
def test_an_allowed_amount_has_exact_minor_units_and_back(
    amount: str, currency: str, minor: int
) -> None:
    assert money.to_minor(Decimal(amount), currency) == minor
    assert money.from_minor(minor, currency) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("0.001", "usd"),
        ("1.005", "usd"),
        ("0.5", "jpy"),
        ("1.1", "isk"),
        ("0.01", "ugx"),
        ("1.234", "kwd"),
        ("0.001", "tnd"),
        ("-0.001", "usd"),
        ("10000000000.00", "usd"),
        ("1000000000000", "jpy"),
        ("10000000000", "isk"),
        ("1e30", "usd"),
        ("-1e12", "usd"),
    ],
)
def test_an_amount_stripe_cannot_take_is_refused_by_name(amount: str, currency: str) -> None:
    with pytest.raises(AmountNotAllowed) as refused:
        money.to_minor(Decimal(amount), currency, "unit_price")

    assert refused.value.field == "unit_price"
    assert currency.upper() in refused.value.message


def test_the_decimals_are_stripes_not_isos() -> None:
    assert {money.exponent(one) for one in ZERO} == {0}
    assert {money.exponent(one) for one in THREE} == {3}
    assert {money.exponent(one) for one in TWO} == {2}
    assert [money.step_minor(one) for one in ("usd", "jpy", "isk", "UGX", "kwd")] == [
        1, 1, 100, 100, 10,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "currency", "nearest"),
    [
        ("0", "usd", "0"),
        ("0.005", "usd", "0.01"),
        ("0.0049", "usd", "0.00"),
        ("-0.005", "usd", "-0.01"),
        ("2.675", "usd", "2.68"),
        ("0.5", "jpy", "1"),
        ("0.4", "jpy", "0"),
        ("12.5", "isk", "13"),
        ("12.49", "ugx", "12"),
        ("1.235", "kwd", "1.24"),
        ("1.2349", "kwd", "1.23"),
    ],
)
def test_our_own_totals_are_rounded_half_away_from_zero_to_what_stripe_takes(
    amount: str, currency: str, nearest: str
) -> None:
    assert money.rounded(Decimal(amount), currency) == Decimal(nearest)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("120", "usd", "120.00"),
        ("0", "usd", "0.00"),
        ("1E+3", "jpy", "1000"),
        ("5", "kwd", "5.000"),
        ("0.125", "usd", "0.125"),
        ("-1.5", "eur", "-1.50"),
    ],
)
def test_an_amount_is_shown_with_the_currencys_decimals(
    amount: str, currency: str, shown: str
) -> None:
    assert money.text(Decimal(amount), currency) == shown


@pytest.mark.parametrize(
    ("number", "digits"),
    [
        ("0", "0"),
        ("0.00", "0"),
        ("100", "100"),
        ("100.00", "100"),
        ("1E+3", "1000"),
        ("1E-7", "0.0000001"),
        ("1.50", "1.5"),
        ("-2.500", "-2.5"),
    ],
)
def test_a_plain_number_has_no_exponent_and_no_trailing_zeros(number: str, digits: str) -> None:
    assert money.plain(Decimal(number)) == digits


@pytest.mark.parametrize(
    ("minor", "currency", "code", "amount"),
    [(0, "usd", "usd", "0"), (1, "USD", "usd", "0.01"), (5000, "JPY", "jpy", "5000")],
)
def test_stripes_amounts_are_read_in_the_decimals_of_their_currency(
    minor: int, currency: str, code: str, amount: str
) -> None:
    assert money.from_stripe(minor, currency) == (code, Decimal(amount))


def test_stripes_amount_in_no_currency_is_refused() -> None:
    with pytest.raises(InvalidField, match="currency"):
        money.from_stripe(1, "us")


@given(st.integers(-(10**9), 10**9), st.sampled_from([*ZERO, *THREE, *TWO]))
def test_whatever_stripe_sends_is_the_same_when_it_is_sent_back(steps: int, currency: str) -> None:
    minor = steps * money.step_minor(currency)

    assert money.to_minor(money.from_minor(minor, currency), currency) == minor


@given(
    st.decimals(-(10**8), 10**8, allow_nan=False, allow_infinity=False, places=6),
    st.sampled_from([*ZERO, *THREE, *TWO]),
)
def test_a_rounded_amount_is_always_one_that_stripe_takes(amount: Decimal, currency: str) -> None:
    rounded = money.rounded(amount, currency)

    money.to_minor(rounded, currency)
    assert abs(rounded - amount) * 2 <= money.smallest(currency)


@pytest.mark.parametrize("said", ["USD", " usd ", "Usd"])
def test_a_currency_code_is_lower_case(said: str) -> None:
    assert money.currency_code(said) == "usd"


@pytest.mark.parametrize("said", ["", "us", "usdt", "u$d", "us1", "ÄÖÜ", "us\0"])
def test_what_is_no_currency_code_is_refused(said: str) -> None:
    with pytest.raises(InvalidField, match="currency"):
        money.currency_code(said)
