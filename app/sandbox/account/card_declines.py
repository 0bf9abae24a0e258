"""The codes of Stripe's decline list, each with its advice, its message and its network's code."""

from dataclasses import dataclass

# The codes of Stripe's decline list, by the advice code that comes with them. Measured are
# generic_decline, insufficient_funds, processing_error, lost_card, stolen_card, expired_card,
# incorrect_cvc and fraudulent (which has no advice); the rest follows the documented next steps.
_TRY_AGAIN = (
    "generic_decline insufficient_funds processing_error do_not_honor issuer_not_available "
    "try_again_later reenter_transaction approve_with_id call_issuer no_action_taken "
    "card_velocity_exceeded withdrawal_count_limit_exceeded"
)
_NEVER_AGAIN = (
    "lost_card stolen_card pickup_card revocation_of_authorization "
    "revocation_of_all_authorizations highest_risk_level stop_payment_order"
)
_CONFIRM_DATA = (
    "expired_card incorrect_cvc incorrect_number incorrect_zip invalid_cvc invalid_expiry_month "
    "invalid_number"
)
_NO_ADVICE = (
    "fraudulent authentication_required authentication_not_handled card_not_supported "
    "currency_not_supported duplicate_transaction invalid_account invalid_amount invalid_pin "
    "merchant_blacklist mobile_device_authentication_required new_account_information_available "
    "not_permitted pin_try_exceeded restricted_card security_violation service_not_allowed "
    "testmode_decline transaction_not_allowed"
)
ADVICE: dict[str, str | None] = {
    **dict.fromkeys(_TRY_AGAIN.split(), "try_again_later"),
    **dict.fromkeys(_NEVER_AGAIN.split(), "do_not_try_again"),
    **dict.fromkeys(_CONFIRM_DATA.split(), "confirm_card_data"),
    **dict.fromkeys(_NO_ADVICE.split()),
}
# These decline codes are themselves the error's `code`; every other comes under `card_declined`.
_OWN_CODE = {
    "expired_card",
    "incorrect_cvc",
    "incorrect_number",
    "incorrect_zip",
    "invalid_cvc",
    "invalid_expiry_month",
    "invalid_number",
    "processing_error",
    "authentication_required",
}
_PARAM = {"expired_card": "exp_month", "incorrect_cvc": "cvc", "incorrect_number": "number"}
_NETWORK_ADVICE = {"confirm_card_data": "01", "try_again_later": "02", "do_not_try_again": "03"}
_NETWORK_DECLINE = {
    "insufficient_funds": "51",
    "lost_card": "41",
    "stolen_card": "43",
    "pickup_card": "04",
    "expired_card": "54",
    "incorrect_cvc": "82",
    "processing_error": "96",
    "authentication_required": "1A",
}
_MESSAGES = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "incorrect_number": "Your card number is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}


@dataclass(frozen=True, slots=True)
class CardDecline:
    """A decline by the network, as errors, last_payment_error and a charge's outcome show it.

    A wallet's provider declines under one code of its own.
    """

    decline_code: str
    method_type: str = "card"

    @property
    def code(self) -> str:
        if self.method_type != "card":
            return "payment_method_provider_decline"
        return self.decline_code if self.decline_code in _OWN_CODE else "card_declined"

    @property
    def advice_code(self) -> str | None:
        return ADVICE[self.decline_code]

    @property
    def network_advice_code(self) -> str | None:
        return _NETWORK_ADVICE.get(self.advice_code or "")

    @property
    def network_decline_code(self) -> str | None:
        return None if self.is_blocked else _NETWORK_DECLINE.get(self.decline_code, "05")

    @property
    def is_blocked(self) -> bool:
        """Radar blocked the charge before the network saw it."""
        return self.decline_code == "highest_risk_level"

    @property
    def param(self) -> str | None:
        return _PARAM.get(self.decline_code)

    @property
    def message(self) -> str:
        return _MESSAGES.get(self.decline_code, "Your card was declined.")
