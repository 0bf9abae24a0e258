"""Exact amounts: decimals inside the service, whole minor units at the Stripe border.

The minor units are Stripe's, not ISO 4217's (https://docs.stripe.com/currencies): ISK and UGX are
sent with two decimals that must be zero, three-decimal currencies end in a zero, HUF and TWD have
two decimals when charged.
"""

from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

from app.errors import AmountNotAllowed, InvalidField

_ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
_THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
_WHOLE_ONLY = frozenset({"isk", "ugx"})

# No amount has so many digits: one that is nearly a half must not become a half on the way.
_EXACT = Context(prec=64, rounding=ROUND_HALF_UP)

# Stripe takes at most twelve digits of minor units for any method; more is a typing error.
MINOR_MAX = 10**12 - 1


@lru_cache(maxsize=256)
def exponent(currency: str) -> int:
    """The decimals of Stripe's minor unit of this currency: 0, 2 or 3."""
    code = currency.lower()
    if code in _ZERO_DECIMAL:
        return 0
    return 3 if code in _THREE_DECIMAL else 2


@lru_cache(maxsize=256)
def step_minor(currency: str) -> int:
    """An allowed amount is a multiple of this many minor units."""
    code = currency.lower()
    if code in _WHOLE_ONLY:
        return 100
    return 10 if code in _THREE_DECIMAL else 1


def to_minor(amount: Decimal, currency: str, field: str = "amount") -> int:
    """The amount in Stripe's minor units, or AmountNotAllowed: never a rounded amount."""
    scaled = amount.scaleb(exponent(currency))
    minor = int(scaled)
    if minor != scaled or minor % step_minor(currency):
        raise AmountNotAllowed(
            field, f"{amount} is not a whole multiple of {smallest(currency)} {currency.upper()}"
        )
    if abs(minor) > MINOR_MAX:
        raise AmountNotAllowed(field, f"{amount} {currency.upper()} is more than Stripe can take")
    return minor


def from_minor(minor: int, currency: str) -> Decimal:
    return Decimal(minor).scaleb(-exponent(currency))


def from_stripe(minor: int, currency: str) -> tuple[str, Decimal]:
    """An amount as Stripe writes it: its checked currency, and its major units."""
    code = currency_code(currency)
    return code, from_minor(minor, code)


def smallest(currency: str) -> Decimal:
    """The smallest step between two amounts Stripe accepts, in major units."""
    return from_minor(step_minor(currency), currency)


def rounded(amount: Decimal, currency: str) -> Decimal:
    """The nearest allowed amount, halves away from zero. For totals that we compute ourselves."""
    step = smallest(currency)
    return _EXACT.divide(amount, step).quantize(Decimal(1), context=_EXACT) * step


def text(amount: Decimal, currency: str) -> str:
    """The amount in major units with the currency's own number of decimals, as JSON readers get."""
    places = exponent(currency)
    shown = amount.quantize(Decimal(1).scaleb(-places))
    return f"{shown if shown == amount else amount.normalize():f}"


def currency_code(value: str, field: str = "currency") -> str:
    """A lower-case ISO code, or InvalidField."""
    code = value.strip().lower()
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        raise InvalidField(field, f"{value!r} is not a three-letter ISO currency code")
    return code


def plain(value: Decimal) -> str:
    """The digits of any exact number, without an exponent and without trailing zeros."""
    shown = f"{value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
