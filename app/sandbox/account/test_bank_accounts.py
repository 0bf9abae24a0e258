"""Stripe's test bank accounts: by token, account number or IBAN, each with its own outcome."""

import re

from app.sandbox.account.instruments import SampleMethod

_KINDS = {"usBankAccount": "us_bank_account", "sepaDebit": "sepa_debit", "bacsDebit": "bacs_debit"}
# "After at least three minutes".
_DELAYED = 180.0
# The outcomes in the words of Stripe's tokens; any other is a failure code in camel case.
_OUTCOMES = {
    "": "bank_debit_succeeds",
    "success": "bank_debit_succeeds",
    "successDelayed": "bank_debit_succeeds",
    "processing": "bank_debit_stays",
    "dispute": "bank_debit_disputed",
    "disputed": "bank_debit_disputed",
    "failMicrodeposits": "microdeposits_fail",
    "failed": "bank_debit_fails:generic_decline",
    "failedDelayed": "bank_debit_fails:generic_decline",
    "exceedsWeeklyVolumeLimit": "bank_debit_fails:charge_exceeds_source_limit",
    "exceedsWeeklyTransactionLimit": "bank_debit_fails:charge_exceeds_weekly_limit",
    "weeklyLimitExceeded": "bank_debit_fails:charge_exceeds_source_limit",
}
_COUNTRY = re.compile(r"_[a-z]{2}$")
_US_ACCOUNTS = {
    "000123456789": "success",
    "000111111113": "accountClosed",
    "000111111116": "noAccount",
    "000222222227": "insufficientFunds",
    "000333333335": "debitNotAuthorized",
    "000444444440": "invalidCurrency",
    "000555555559": "dispute",
    "000666666661": "failMicrodeposits",
    "000777777771": "weeklyLimitExceeded",
    "000000000009": "processing",
}
_UK_ACCOUNTS = {
    "00012345": "success",
    "90012345": "successDelayed",
    "33333335": "debitNotAuthorized",
    "93333335": "debitNotAuthorizedDelayed",
    "22222227": "insufficientFunds",
    "92222227": "insufficientFundsDelayed",
    "55555559": "disputed",
}
# The ends of the German numbers; the other countries' have check digits of their own.
_IBANS = {
    "0532013000": "success",
    "0532013003": "successDelayed",
    "0532013001": "failed",
    "0532013004": "failedDelayed",
    "0532013002": "disputed",
    "0000343434": "exceedsWeeklyVolumeLimit",
    "0000121212": "exceedsWeeklyTransactionLimit",
    "0002222227": "insufficientFunds",
}
_NUMBER = {
    "us_bank_account": "account_number",
    "sepa_debit": "iban",
    "bacs_debit": "account_number",
}


def find_bank_sample(token: str) -> SampleMethod | None:
    """The account behind pm_usBankAccount_noAccount, pm_sepaDebit_failed_de and the like."""
    _, _, rest = token.partition("_")
    bank, _, outcome = rest.partition("_")
    if not token.startswith("pm_") or bank not in _KINDS:
        return None
    return _sample(_KINDS[bank], _COUNTRY.sub("", outcome), "6789")


def sample_of_account(kind: str, details: dict[str, str]) -> SampleMethod:
    """The account of this number; every number that is not one of Stripe's succeeds."""
    number = details.get(_NUMBER[kind], "").replace(" ", "")
    match kind:
        case "us_bank_account":
            outcome = _US_ACCOUNTS.get(number, "success")
        case "bacs_debit":
            outcome = _UK_ACCOUNTS.get(number, "success")
        case _:
            outcome = _IBANS.get(number[-10:], "success")
    return _sample(kind, outcome, number[-4:] or "6789")


def _sample(kind: str, outcome: str, last4: str) -> SampleMethod:
    delay = _DELAYED if outcome.endswith("Delayed") else None
    return SampleMethod(kind, _step(outcome), last4=last4, answer_delay=delay)


def _step(outcome: str) -> str:
    if outcome in _OUTCOMES:
        return _OUTCOMES[outcome]
    reason = outcome.removesuffix("Delayed")
    return "bank_debit_fails:" + re.sub(r"(?<!^)(?=[A-Z])", "_", reason).lower()
