"""Bank debits: a mandate first, then days of processing until the bank answers."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import disputes_api, intent_outcomes


def start(state: AccountState, intent: Obj, method: Obj, mandate: str) -> Obj:
    """Sets the intent to processing; the bank answers after a delay of the sandbox clock."""
    instrument = state.instruments[method["id"]]
    step = instrument.next_step()
    charge = intent_outcomes.new_charge(state, intent, method, prefix="py", mandate=mandate)
    charge = intent_outcomes.add_charge(state, {**charge, "status": "pending"})
    intent = state.change(
        intent,
        status="processing",
        latest_charge=charge["id"],
        next_action=None,
        processing={"type": method["type"]},
        last_payment_error=None,
    )
    state.emit("charge.pending", charge)
    state.emit("payment_intent.processing", intent)
    if step != "bank_debit_stays":
        delay = instrument.answer_delay
        state.clock.after(
            state.delays.bank_debit if delay is None else delay,
            lambda: _apply_bank_answer(state, intent["id"], charge["id"], step),
        )
    return intent


def answer_now(state: AccountState, intent_id: str, failure: str | None) -> Obj:
    """The bank answers before its time; the timer of the debit finds nothing left to do."""
    intent = state.find("payment_intents", intent_id)
    if intent["status"] != "processing":
        raise ValueError(f"{intent_id} is {intent['status']}")
    step = f"bank_debit_fails:{failure}" if failure else "bank_debit_succeeds"
    _apply_bank_answer(state, intent_id, intent["latest_charge"], step)
    return state.find("payment_intents", intent_id)


def _apply_bank_answer(state: AccountState, intent_id: str, charge_id: str, step: str) -> None:
    intent, charge = state.find("payment_intents", intent_id), state.find("charges", charge_id)
    if intent["status"] != "processing" or intent["latest_charge"] != charge_id:
        return
    _, _, failure = step.partition(":")
    if failure:
        _fail(state, intent, charge, failure)
        return
    intent_outcomes.record_success(state, intent, charge)
    if step == "bank_debit_disputed":
        charged = state.find("charges", charge_id)
        disputes_api.open_for_charge(state, charged, {"reason": "debit_not_authorized"})


def _fail(state: AccountState, intent: Obj, charge: Obj, failure: str) -> None:
    charge = state.change(
        charge,
        status="failed",
        captured=False,
        failure_code=failure,
        failure_message="The payment failed.",
    )
    state.emit("charge.failed", charge)
    intent_outcomes.record_failure(state, intent, _bank_error(state, charge, failure))


def _bank_error(state: AccountState, charge: Obj, failure: str) -> Obj:
    """Unlike a card's error, ACH's has the reason in `code` and a generic decline_code."""
    method = state.find("payment_methods", charge["payment_method"])
    is_ach = method["type"] == "us_bank_account"
    return {
        "type": "card_error",
        "charge": charge["id"],
        "code": failure if is_ach else "payment_intent_payment_attempt_failed",
        "decline_code": "generic_decline",
        "message": "The payment failed.",
        "payment_method": method,
    }


def mandate_of(
    state: AccountState, intent: Obj, method: Obj, wanted: str | None, *, has_mandate_data: bool
) -> str:
    """The mandate; without one the answer is 400 and the intent waits in requires_confirmation."""
    instrument = state.instruments[method["id"]]
    if has_mandate_data:
        instrument.mandate = new_mandate(state, method)
    mandate = wanted or instrument.mandate
    if mandate is None:
        intent = state.change(intent, status="requires_confirmation")
        message = (
            "This PaymentIntent requires a mandate, but no existing mandate was found for "
            f"{method['id']}. Collect one with a SetupIntent, or provide `mandate_data`."
        )
        raise stripe_errors.invalid(message, payment_intent=intent)
    return str(state.find("mandates", mandate, param="mandate")["id"])


def new_mandate(state: AccountState, method: Obj) -> str:
    """A mandate for this account, which pends until the account is verified."""
    made = object_templates.mandate(state.ids.new("mandate"), state.clock.stamp(), method)
    if not state.instruments[method["id"]].is_verified:
        made = {**made, "status": "pending"}
    return str(state.add(made)["id"])
