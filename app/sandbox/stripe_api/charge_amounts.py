"""The amounts Stripe accepts: its currencies, their minor units, its smallest charges."""

from app.sandbox.account import stripe_errors

_TWO_DECIMAL = (
    "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd "
    "cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd "
    "hnl htg huf idr ils inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt "
    "mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub "
    "sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx uyu uzs wst "
    "xcd yer zar zmw"
)
_ZERO_DECIMAL = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
# ISO says no decimals, Stripe takes two that must be 00.
_TWO_ZEROS = frozenset({"isk", "ugx"})
CURRENCIES = frozenset((*_TWO_DECIMAL.split(), *_ZERO_DECIMAL.split(), *_THREE_DECIMAL))

# Minor units. Stripe's minimum depends on the settlement currency; 0.50 stands for those that it
# does not publish.
_MINIMUM = {
    **dict.fromkeys(("usd", "eur", "cad", "aud", "nzd", "sgd", "chf", "brl", "inr"), 50),
    **dict.fromkeys(("pln", "aed", "ron", "myr"), 200),
    **dict.fromkeys(_ZERO_DECIMAL.split(), 50),
    **dict.fromkeys(("mxn", "thb"), 1000),
    **dict.fromkeys(("nok", "sek"), 300),
    **{"gbp": 30, "huf": 17500, "czk": 1500, "dkk": 250, "hkd": 400},
    **dict.fromkeys(_THREE_DECIMAL, 500),
}
_MAXIMUM = 999_999_999_999  # 12 digits, the most that any page of Stripe's names


def known_currency(currency: str) -> str:
    """The currency in lower case, if Stripe takes it."""
    currency = currency.lower()
    if currency not in CURRENCIES:
        message = (
            f"Invalid currency: {currency}. Stripe currently supports these currencies: "
            f"{', '.join(sorted(CURRENCIES))}"
        )
        raise stripe_errors.malformed(message, param="currency")
    return currency


def validate(amount: int, currency: str) -> str:
    """The currency in lower case; an amount that Stripe does not take is refused."""
    currency = known_currency(currency)
    if amount < 1:
        raise stripe_errors.malformed(
            "This value must be greater than or equal to 1.",
            param="amount",
            code="parameter_invalid_integer",
        )
    if (currency in _THREE_DECIMAL and amount % 10) or (currency in _TWO_ZEROS and amount % 100):
        raise stripe_errors.invalid(
            f"Invalid amount {amount}: too precise for {currency}.", param="amount"
        )
    if amount < _MINIMUM.get(currency, 50):
        message = (
            f"Amount must be at least the minimum charge of {_MINIMUM.get(currency, 50)} "
            f"{currency}."
        )
        raise stripe_errors.invalid(message, param="amount", code="amount_too_small")
    if amount > _MAXIMUM:
        raise stripe_errors.invalid(
            f"Amount must be no more than {_MAXIMUM}.", param="amount", code="amount_too_large"
        )
    return currency
