"""When a declined charge is tried again, and when never.

Evidence is read in this order: the network's own advice, Stripe's advice code, the decline code,
the kind of payment method. Sources: docs.stripe.com/declines/codes and /billing/revenue-recovery,
Visa Core Rules (ID 0030640) and Mastercard's merchant advice codes as published by acquirers.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

# Days from one try to the next: six tries in two weeks, never two on one day. Stripe recommends at
# most eight; Visa allows fifteen re-attempts in thirty days by the older, lower figure.
GAPS = (1, 2, 3, 4, 4)
TRIES_MAX = len(GAPS) + 1
# Nacha allows a debit returned for insufficient funds to be presented again at most twice.
BANK_DEBIT_TRIES_MAX = 3
BANK_DEBIT_GAP = 5

# Per card or account, over all invoices: Mastercard 10 declines in 24 h, Visa 15 in 30 days.
DECLINES_PER_DAY_MAX = 10
DECLINES_PER_MONTH_MAX = 15

_NEVER_NETWORK_ADVICE = frozenset({"03", "21"})
_WAIT_NETWORK_ADVICE = {"24": 1, "25": 1, "26": 2, "27": 4, "28": 6, "29": 8, "30": 10}
_VISA_NEVER = frozenset("04 07 12 14 15 41 43 46 57 R0 R1 R3".split())

_NEEDS_CUSTOMER = frozenset(
    """authentication_required authentication_not_handled mobile_device_authentication_required
    expired_card incorrect_cvc incorrect_number incorrect_zip incorrect_address incorrect_pin
    invalid_cvc invalid_expiry_month invalid_expiry_year invalid_number invalid_pin
    offline_pin_required online_or_offline_pin_required new_account_information_available
    payment_intent_authentication_failure requires_action""".split()
)
_NEVER = frozenset(
    """lost_card stolen_card pickup_card fraudulent highest_risk_level merchant_blacklist
    restricted_card revocation_of_authorization revocation_of_all_authorizations
    security_violation stop_payment_order transaction_not_allowed not_permitted
    service_not_allowed card_not_supported currency_not_supported invalid_account invalid_amount
    pin_try_exceeded testmode_decline do_not_try_again account_closed no_account
    debit_not_authorized bank_account_restricted incorrect_account_holder_name
    invalid_account_number
    bank_ownership_changed amount_too_small amount_too_large resource_missing
    payment_method_not_available mandate_invalid""".split()
)
# The only methods whose failure costs a fee and whose repetition the schemes forbid. A closed list:
# a wallet (PayPal, Cash App, Klarna, ...) answers at once and is tried again as a card is.
BANK_DEBITS = frozenset(
    """us_bank_account sepa_debit bacs_debit au_becs_debit acss_debit nz_bank_account""".split()
)
_ON_CARD_NETWORKS = frozenset({"card", "link"})
# Stripe's own word where no number of a network comes with it: the bank was never asked.
_STRIPES_OWN = frozenset(
    """highest_risk_level elevated_risk_level merchant_blacklist testmode_decline
    requires_action""".split()
)
# Refusals of a request that hold until the invoice itself is another.
_ABOUT_THE_AMOUNT = frozenset(
    {"amount_too_small", "amount_too_large", "invalid_charge_amount", "invalid_amount"}
)
_CHECK_FIRST = frozenset({"duplicate_transaction"})
_BANK_DEBIT_AGAIN = frozenset({"insufficient_funds", "could_not_process", "debit_declined"})


class DeclineSource(StrEnum):
    """Who said no. Only the first is a decline that the card networks count."""

    NETWORK = "network"  # the bank, or the network in its name
    STRIPE = "stripe"  # Stripe's risk rules, before any bank was asked
    REQUEST = "request"  # the request as we sent it: our configuration, or the invoice's amount


@dataclass(frozen=True, slots=True)
class Decline:
    """A decline by Stripe, the network or the bank. `method` is the payment method's type."""

    code: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None
    network_advice_code: str | None = None
    network_decline_code: str | None = None
    method: str = "card"
    method_version: str | None = None
    message: str | None = None

    @property
    def why(self) -> str:
        """The most telling code: bank debits carry it in `code`, cards in `decline_code`."""
        if self.is_bank_debit:
            return self.code or self.decline_code or "declined"
        return self.decline_code or self.code or "declined"

    @property
    def source(self) -> DeclineSource:
        is_stripes = self.why in _STRIPES_OWN and self.network_decline_code is None
        return DeclineSource.STRIPE if is_stripes else DeclineSource.NETWORK

    @property
    def is_forbidden_by_network(self) -> bool:
        """Whether a further try of this method is against the card network's rules."""
        is_advised = self.network_advice_code in _NEVER_NETWORK_ADVICE
        return is_advised or _visa_forbids(self)

    @property
    def is_bank_debit(self) -> bool:
        return self.method in BANK_DEBITS


@dataclass(frozen=True, slots=True)
class Verdict:
    """The day of the next try, or None with the reason why there is none."""

    next_try_on: date | None
    reason: str


@dataclass(frozen=True, slots=True)
class VerdictSubject:
    """All that a verdict is about. The method's version changes when its card is renewed."""

    amount_minor: int
    currency: str
    customer_id: str | None
    payment_method_id: str | None
    payment_method_version: str | None


def holds_for(verdict: VerdictSubject, now: VerdictSubject) -> bool:
    """Whether a verdict says anything about a charge as it would be now.

    A version that nobody has told is no change of the method.
    """
    versions = (verdict.payment_method_version, now.payment_method_version)
    known = now if None not in versions else replace(now, payment_method_version=versions[0])
    return verdict == known


def is_about_amount(refusal_code: str | None) -> bool:
    """Whether a refused request can only succeed with another amount or currency."""
    return refusal_code in _ABOUT_THE_AMOUNT


def after_decline(decline: Decline, *, tries: int, on: date) -> Verdict:
    """The verdict after the `tries`th decline of an invoice, on business day `on`."""
    assert tries >= 1, "asked for a retry before the first try"
    hopeless = _hopeless(decline)
    if hopeless:
        return Verdict(None, f"{decline.why}: {hopeless}")
    if decline.is_bank_debit:
        return _after_bank_debit(decline.why, tries, on)
    if tries >= TRIES_MAX:
        return Verdict(None, f"{decline.why}: tried {tries} times")
    days = max(GAPS[tries - 1], _WAIT_NETWORK_ADVICE.get(decline.network_advice_code or "", 0))
    return Verdict(on + timedelta(days=days), decline.why)


def network_limit(*, declines_today: int, declines_month: int) -> str | None:
    """The reason why the card networks allow no further try on this payment method, or None."""
    if declines_today >= DECLINES_PER_DAY_MAX:
        return f"{declines_today} declines on this payment method in 24 hours"
    if declines_month >= DECLINES_PER_MONTH_MAX:
        return f"{declines_month} declines on this payment method in 30 days"
    return None


def _hopeless(decline: Decline) -> str | None:
    """The reason why no later try of the same payment method can succeed, or None."""
    if decline.is_forbidden_by_network:
        return "the card network forbids another try"
    if decline.advice_code == "do_not_try_again":
        return "Stripe advises never to try this again"
    if decline.advice_code == "confirm_card_data" or decline.why in _NEEDS_CUSTOMER:
        return "the customer must act"
    if decline.why in _CHECK_FIRST:
        return "look for the earlier payment first"
    return "another try cannot succeed" if decline.why in _NEVER else None


def _visa_forbids(decline: Decline) -> bool:
    """Numbers of other networks mean other things: R1 is a bank's word for want of money."""
    is_on_network = decline.method in _ON_CARD_NETWORKS
    return is_on_network and decline.network_decline_code in _VISA_NEVER


def _after_bank_debit(why: str, tries: int, on: date) -> Verdict:
    if why not in _BANK_DEBIT_AGAIN:
        return Verdict(None, f"{why}: a failed debit costs a fee and would fail again")
    if tries >= BANK_DEBIT_TRIES_MAX:
        return Verdict(None, f"{why}: a debit may be presented again only twice")
    return Verdict(on + timedelta(days=BANK_DEBIT_GAP), why)
