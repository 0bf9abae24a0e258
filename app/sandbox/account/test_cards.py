"""Stripe's test cards by name, token or number; a card's step is the outcome of its payments."""

import re

from app.sandbox.account.instruments import SampleMethod

CARDS = {
    "": SampleMethod(),
    "visa": SampleMethod(),
    "visa_debit": SampleMethod(last4="5556"),
    "mastercard": SampleMethod(brand="mastercard", last4="4444"),
    "mastercard_debit": SampleMethod(brand="mastercard", last4="8210"),
    "mastercard_prepaid": SampleMethod(brand="mastercard", last4="5100"),
    "amex": SampleMethod(brand="amex", last4="8431"),
    "discover": SampleMethod(brand="discover", last4="9424"),
    "diners": SampleMethod(brand="diners", last4="3237"),
    "jcb": SampleMethod(brand="jcb", last4="0505"),
    "unionpay": SampleMethod(brand="unionpay", last4="0005"),
    "bypassPending": SampleMethod(last4="0077", bypasses_pending=True),
    # Declines.
    "chargeDeclined": SampleMethod(step="generic_decline", last4="0002"),
    "chargeCustomerFail": SampleMethod(step="generic_decline", last4="0341", accepts_setup=True),
    "chargeDeclinedInsufficientFunds": SampleMethod(step="insufficient_funds", last4="9995"),
    "chargeDeclinedLostCard": SampleMethod(step="lost_card", last4="9987"),
    "chargeDeclinedStolenCard": SampleMethod(step="stolen_card", last4="9979"),
    "chargeDeclinedExpiredCard": SampleMethod(step="expired_card", last4="0069"),
    "chargeDeclinedIncorrectCvc": SampleMethod(step="incorrect_cvc", last4="0127"),
    "chargeDeclinedProcessingError": SampleMethod(step="processing_error", last4="0119"),
    "chargeDeclinedFraudulent": SampleMethod(step="fraudulent", last4="0019"),
    "chargeDeclinedVelocityLimitExceeded": SampleMethod(
        step="card_velocity_exceeded", last4="6975"
    ),
    "radarBlock": SampleMethod(step="highest_risk_level", last4="0019"),
    "riskLevelHighest": SampleMethod(step="highest_risk_level", last4="4954"),
    "riskLevelElevated": SampleMethod(last4="9235"),
    # Checks that fail while the payment succeeds.
    "cvcCheckFail": SampleMethod(last4="0101"),
    "avsFail": SampleMethod(last4="0010"),
    "avsLine1Fail": SampleMethod(last4="0028"),
    "avsZipFail": SampleMethod(last4="0036"),
    "avsUnchecked": SampleMethod(last4="0044"),
    # Authentication.
    "authenticationRequired": SampleMethod(step="authentication_required", last4="3184"),
    "authenticationRequiredOnSetup": SampleMethod(
        step="authentication_required_on_setup", last4="3155"
    ),
    "authenticationRequiredSetupForOffSession": SampleMethod(last4="3155"),
    "authenticationRequiredChargeDeclinedInsufficientFunds": SampleMethod(
        step="authentication_then:insufficient_funds", last4="9979"
    ),
    "threeDSecureRequired": SampleMethod(step="authentication_required", last4="3063"),
    "threeDSecure2Required": SampleMethod(step="authentication_required", last4="3220"),
    "threeDSecureRequiredChargeDeclined": SampleMethod(
        step="authentication_then:generic_decline", last4="1629"
    ),
    "threeDSecureRequiredProcessingError": SampleMethod(
        step="authentication_then:processing_error", last4="1695"
    ),
    "threeDSecureOptional": SampleMethod(last4="3055"),
    "amex_threeDSecureNotSupported": SampleMethod(brand="amex", last4="0005"),
    # Doubts and refunds.
    "createDispute": SampleMethod(step="dispute", last4="0259"),
    "createDisputeProductNotReceived": SampleMethod(step="dispute", last4="2685"),
    "createDisputeInquiry": SampleMethod(step="inquiry", last4="1976"),
    "createIssuerFraudRecord": SampleMethod(step="fraud_warning", last4="5423"),
    "pendingRefund": SampleMethod(refund="pending", last4="7726"),
    "refundFail": SampleMethod(refund="fails", last4="5126"),
}
NUMBERS = {
    "4242424242424242": "visa",
    "4000056655665556": "visa_debit",
    "5555555555554444": "mastercard",
    "5200828282828210": "mastercard_debit",
    "5105105105105100": "mastercard_prepaid",
    "378282246310005": "amex",
    "6011111111111117": "discover",
    "4000000000000077": "bypassPending",
    "4000000000000002": "chargeDeclined",
    "4000000000000341": "chargeCustomerFail",
    "4000000000009995": "chargeDeclinedInsufficientFunds",
    "4000000000009987": "chargeDeclinedLostCard",
    "4000000000009979": "chargeDeclinedStolenCard",
    "4000000000000069": "chargeDeclinedExpiredCard",
    "4000000000000127": "chargeDeclinedIncorrectCvc",
    "4000000000000119": "chargeDeclinedProcessingError",
    "4100000000000019": "radarBlock",
    "4000000000004954": "riskLevelHighest",
    "4000000000006975": "chargeDeclinedVelocityLimitExceeded",
    "4000002760003184": "authenticationRequired",
    "4000002500003155": "authenticationRequiredOnSetup",
    "4000008260003178": "authenticationRequiredChargeDeclinedInsufficientFunds",
    "4000000000003220": "threeDSecure2Required",
    "4000008400001629": "threeDSecureRequiredChargeDeclined",
    "4000000000000259": "createDispute",
    "4000000000002685": "createDisputeProductNotReceived",
    "4000000000001976": "createDisputeInquiry",
    "4000000000005423": "createIssuerFraudRecord",
    "4000000000007726": "pendingRefund",
    "4000000000005126": "refundFail",
}
_PREFIX = re.compile(r"^(pm_card|tok)(_|$)")
_COUNTRY = re.compile(r"^[a-z]{2}$")


def find_card_sample(token: str) -> SampleMethod | None:
    """The card behind pm_card_visa_chargeDeclined, tok_visa and the like; None for other names."""
    prefix = _PREFIX.match(token)
    if prefix is None:
        return None
    name = token[prefix.end() :]
    if _COUNTRY.match(name):
        return SampleMethod()
    return CARDS.get(name) or CARDS.get(name.removeprefix("visa_"))


def find_card_of_number(number: str) -> SampleMethod | None:
    return CARDS.get(NUMBERS.get(number.replace(" ", ""), "unknown"))
