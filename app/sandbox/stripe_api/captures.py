"""Manual capture: a card's money is held first, then captured, released or let expire."""

from app.sandbox.account import stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import intent_outcomes

# Most card networks hold money for 7 days.
HOLD_SECONDS = 7 * 86400


def hold(state: AccountState, intent: Obj, method: Obj) -> Obj:
    """Authorizes the amount; no money is taken before the capture."""
    charge = intent_outcomes.new_charge(state, intent, method, prefix="ch")
    until = state.clock.stamp() + HOLD_SECONDS
    charge = intent_outcomes.add_charge(
        state,
        {
            **charge,
            "captured": False,
            "paid": True,
            "status": "succeeded",
            "payment_method_details": _with_deadline(charge["payment_method_details"], until),
        },
    )
    intent = state.change(
        intent,
        status="requires_capture",
        amount_capturable=intent["amount"],
        latest_charge=charge["id"],
        last_payment_error=None,
        next_action=None,
    )
    state.emit("charge.succeeded", charge)
    state.emit("payment_intent.amount_capturable_updated", intent)
    state.clock.at(until, lambda: _expire_if_held(state, intent["id"]))
    return intent


def _with_deadline(details: Obj, until: int) -> Obj:
    return {**details, "card": {**details["card"], "capture_before": until}}


def capture(state: AccountState, params: Obj, intent_id: str) -> Obj:
    """POST /v1/payment_intents/{id}/capture: a part may be taken, and the rest is released."""
    intent = state.find("payment_intents", intent_id)
    if intent["status"] != "requires_capture":
        message = (
            "This PaymentIntent could not be captured because it has a status of "
            f"{intent['status']}. Only a PaymentIntent with one of the following statuses may be "
            "captured: requires_capture."
        )
        raise stripe_errors.invalid(
            message, code="payment_intent_unexpected_state", payment_intent=intent
        )
    capturable: int = intent["amount_capturable"]
    amount: int = params.get("amount_to_capture", capturable)
    if not 1 <= amount <= capturable:
        message = (
            f"The requested capture amount ({amount}) is not between 1 and the amount that is "
            f"capturable ({capturable})."
        )
        raise stripe_errors.invalid(
            message, param="amount_to_capture", code="amount_too_large", payment_intent=intent
        )
    charge = state.find("charges", intent["latest_charge"])
    return intent_outcomes.record_success(
        state, intent, charge, captured=amount, event="charge.captured"
    )


def release(state: AccountState, intent: Obj) -> Obj:
    """The held money of a canceled intent goes back, and the charge reads as refunded."""
    if intent["status"] != "requires_capture":
        return intent
    charge = state.find("charges", intent["latest_charge"])
    charge = state.change(charge, refunded=True, amount_refunded=charge["amount"])
    state.emit("charge.refunded", charge)
    return state.change(intent, amount_capturable=0)


def expire(state: AccountState, intent_id: str) -> Obj:
    """The network releases the hold, and Stripe cancels the intent."""
    intent = state.find("payment_intents", intent_id)
    if intent["status"] != "requires_capture":
        raise ValueError(f"{intent_id} holds nothing: it is {intent['status']}")
    charge = state.find("charges", intent["latest_charge"])
    charge = state.change(charge, refunded=True, amount_refunded=charge["amount"])
    state.emit("charge.expired", charge)
    intent = state.change(
        intent,
        status="canceled",
        amount_capturable=0,
        canceled_at=state.clock.stamp(),
        cancellation_reason="automatic",
    )
    state.emit("payment_intent.canceled", intent)
    return intent


def _expire_if_held(state: AccountState, intent_id: str) -> None:
    intent = state["payment_intents"].get(intent_id)
    if intent is not None and intent["status"] == "requires_capture":
        expire(state, intent_id)
