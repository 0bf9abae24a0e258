"""Microdeposits: the owner of a bank account proves it by the two small amounts that came."""

from app.sandbox.account import stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.instruments import VERIFICATION_TRIES_MAX
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.stripe_errors import integer
from app.sandbox.stripe_api import bank_debits, intent_outcomes, setup_outcomes

_DAYS_UNTIL_ARRIVAL = 2
_RIGHT = ((32, 45), "SM11AA")
_EXHAUSTED = ((10, 11), "SM33CC")
_TIMEOUT = ((40, 41), "SM44DD")
_CODE = "payment_method_microdeposit_verification_"


def next_action(state: AccountState, intent: Obj) -> Obj:
    details = {
        "arrival_date": state.clock.stamp() + _DAYS_UNTIL_ARRIVAL * 86400,
        "hosted_verification_url": f"https://payments.stripe.com/microdeposit/{intent['id']}",
        "microdeposit_type": "descriptor_code",
    }
    return {"type": "verify_with_microdeposits", "verify_with_microdeposits": details}


def wait_for_verification(state: AccountState, intent: Obj, method: Obj) -> Obj:
    """The intent waits for its payer, who has to read a bank statement first."""
    intent = state.change(intent, status="requires_action", next_action=next_action(state, intent))
    state.emit("payment_intent.requires_action", intent)
    if state.instruments[method["id"]].steps[0] == "microdeposits_fail":
        state.clock.after(state.delays.bank_debit, lambda: _return_deposits(state, intent["id"]))
    return intent


def _return_deposits(state: AccountState, intent_id: str) -> None:
    intent = state.find("payment_intents", intent_id)
    if _is_waiting(intent):
        message = "Microdeposits could not be sent to this bank account."
        _fail(state, intent, "payment_method_microdeposit_failed", message)


def verify_payment(state: AccountState, params: Obj, intent_id: str) -> Obj:
    """POST /v1/payment_intents/{id}/verify_microdeposits: right amounts start the debit."""
    intent = state.find("payment_intents", intent_id)
    if not _is_waiting(intent):
        message = f"This PaymentIntent has no microdeposits to verify: it is {intent['status']}."
        raise stripe_errors.invalid(
            message, code="payment_intent_unexpected_state", payment_intent=intent
        )
    method = state.find("payment_methods", intent["payment_method"])
    refusal = _refusal(state, method, params)
    if refusal is None:
        return bank_debits.start(state, intent, method, _activate_mandate(state, method))
    code, message, is_final = refusal
    if is_final:
        intent = _fail(state, intent, code, message)
    raise stripe_errors.invalid(message, code=code, payment_intent=intent)


def verify_setup(state: AccountState, params: Obj, setup_id: str) -> Obj:
    """POST /v1/setup_intents/{id}/verify_microdeposits."""
    setup = state.find("setup_intents", setup_id)
    if not _is_waiting(setup):
        message = f"This SetupIntent has no microdeposits to verify: it is {setup['status']}."
        raise stripe_errors.invalid(
            message, code="setup_intent_unexpected_state", setup_intent=setup
        )
    method = state.find("payment_methods", setup["payment_method"])
    refusal = _refusal(state, method, params)
    if refusal is None:
        _activate_mandate(state, method)
        return setup_outcomes.succeed(state, setup)
    code, message, is_final = refusal
    if is_final:
        error = {"type": "invalid_request_error", "code": code, "message": message}
        setup = setup_outcomes.record_failure(state, setup, {**error, "payment_method": method})
    raise stripe_errors.invalid(message, code=code, setup_intent=setup)


def _is_waiting(intent: Obj) -> bool:
    action = intent["next_action"] or {}
    return intent["status"] == "requires_action" and "verify_with_microdeposits" in action


def _refusal(state: AccountState, method: Obj, params: Obj) -> tuple[str, str, bool] | None:
    """The code, the message and whether this was the last try; None verifies the account."""
    instrument = state.instruments[method["id"]]
    proof = _proof(params)
    if proof in _RIGHT:
        instrument.is_verified = True
        return None
    if proof in _TIMEOUT:
        message = "The bank account was not verified within 10 days of the microdeposits' arrival."
        return f"{_CODE}timeout", message, True
    instrument.wrong_verifications += 1
    if proof in _EXHAUSTED or instrument.wrong_verifications >= VERIFICATION_TRIES_MAX:
        message = "You have exceeded the number of allowed verification attempts."
        return f"{_CODE}attempts_exceeded", message, True
    if isinstance(proof, str):
        message = "The descriptor code you provided does not match the one that was sent."
        return f"{_CODE}descriptor_code_mismatch", message, False
    message = "The amounts provided do not match the amounts that were sent to the bank account."
    return f"{_CODE}amounts_mismatch", message, False


def _proof(params: Obj) -> tuple[int, ...] | str:
    if "descriptor_code" in params:
        return str(params["descriptor_code"]).upper()
    amounts = params.get("amounts") or ()
    if len(amounts) != 2:
        raise stripe_errors.malformed(
            "You must provide exactly two amounts, or a descriptor code.",
            param="amounts",
            code=f"{_CODE}amounts_invalid",
        )
    return tuple(sorted(integer("amounts", amount) for amount in amounts))


def _activate_mandate(state: AccountState, method: Obj) -> str:
    mandate = state.find("mandates", state.instruments[method["id"]].mandate or "")
    if mandate["status"] == "pending":
        state.emit("mandate.updated", state.change(mandate, status="active"), {"status": "pending"})
    return str(mandate["id"])


def _fail(state: AccountState, intent: Obj, code: str, message: str) -> Obj:
    method = state.find("payment_methods", intent["payment_method"])
    error = {"type": "invalid_request_error", "code": code, "message": message}
    return intent_outcomes.record_failure(state, intent, {**error, "payment_method": method})
