"""Stripe's test payment methods by name, and the behaviours that a test may ask for."""

import re

from app.sandbox.account.card_declines import ADVICE
from app.sandbox.account.instruments import (
    BANK_DEBITS,
    BANK_TRANSFER,
    VOUCHERS,
    WALLETS,
    SampleMethod,
)
from app.sandbox.account.test_bank_accounts import find_bank_sample
from app.sandbox.account.test_cards import find_card_sample

OFFERED_TYPES = ("card", *BANK_DEBITS, *WALLETS, *VOUCHERS, BANK_TRANSFER)
_THEN = "authentication_then:"
_BANK_STEP = re.compile(r"^bank_debit_(succeeds|stays|disputed|fails:\w+)$")
_SUCCESSFUL = {
    "succeed",
    "dispute",
    "inquiry",
    "fraud_warning",
    "authentication_required_on_setup",
}


def find_sample(token: str) -> SampleMethod | None:
    """The method behind a name such as pm_card_visa or pm_boleto; None for any other name."""
    kind = token.removeprefix("pm_")
    if kind in {*WALLETS, *VOUCHERS, BANK_TRANSFER}:
        return SampleMethod(kind)
    return find_card_sample(token) or find_bank_sample(token)


def validate_steps(steps: list[str], method_type: str) -> list[str]:
    """The steps in the words of the method's type; an unknown step raises ValueError."""
    if not steps:
        raise ValueError("behaviour needs at least one step")
    return [_validate_step(step, method_type) for step in steps]


def _validate_step(step: str, method_type: str) -> str:
    is_bank = method_type in BANK_DEBITS
    if step.startswith("bank_debit_"):
        if not is_bank or not _BANK_STEP.match(step):
            raise ValueError(f"no such behaviour of {method_type}: {step}")
        return step
    if step not in _SUCCESSFUL and step.removeprefix(_THEN) not in ADVICE:
        raise ValueError(f"unknown behaviour: {step}")
    if not is_bank:
        return step
    if step == "dispute":
        return "bank_debit_disputed"
    return "bank_debit_succeeds" if step in _SUCCESSFUL else f"bank_debit_fails:{step}"
