"""The ends of one attempt: paid, at most once, or declined. Money is taken only here."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.card_declines import CardDecline
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.truth_ledger import TakenCharge
from app.sandbox.stripe_api import balance_booking, checkout_settlement


def succeed(state: AccountState, intent: Obj, method: Obj, *, prefix: str = "ch") -> Obj:
    charge = new_charge(state, intent, method, prefix=prefix)
    return record_success(state, intent, add_charge(state, charge))


def new_charge(
    state: AccountState, intent: Obj, method: Obj, *, prefix: str, mandate: str | None = None
) -> Obj:
    return object_templates.charge(
        state.ids.new(prefix), state.clock.stamp(), intent, method, mandate
    )


def add_charge(state: AccountState, charge: Obj) -> Obj:
    return state.add(charge, charge["payment_intent"], charge["customer"])


def record_success(
    state: AccountState,
    intent: Obj,
    charge: Obj,
    *,
    captured: int | None = None,
    event: str = "charge.succeeded",
) -> Obj:
    """Books the charge, or the captured part of it, as money received."""
    if intent["status"] == "succeeded":
        raise AssertionError("a PaymentIntent has at most one successful charge")
    received = charge["amount"] if captured is None else captured
    charge = state.change(
        charge,
        status="succeeded",
        paid=True,
        captured=True,
        amount_captured=received,
        receipt_url=_receipt(charge),
    )
    intent = state.change(
        intent,
        status="succeeded",
        amount_received=received,
        amount_capturable=0,
        latest_charge=charge["id"],
        last_payment_error=None,
        next_action=None,
        processing=None,
    )
    state.ledger.record_charge(_taken_charge(state, intent, charge))
    state.emit(event, charge)
    state.emit("payment_intent.succeeded", intent)
    booked = state.change(charge, balance_transaction=balance_booking.book_charge(state, charge))
    state.emit("charge.updated", booked, {"balance_transaction": None})
    checkout_settlement.follow(state, intent)
    return intent


def _receipt(charge: Obj) -> str:
    return f"https://pay.stripe.com/receipts/{charge['id']}"


def _taken_charge(state: AccountState, intent: Obj, charge: Obj) -> TakenCharge:
    """The ledger also holds a session's metadata, which Stripe does not copy to the intent."""
    sessions = state["sessions"].rows(intent["id"])
    metadata = {**(sessions[0]["metadata"] if sessions else {}), **charge["metadata"]}
    return TakenCharge(
        charge=charge["id"],
        payment_intent=intent["id"],
        customer=charge["customer"],
        amount=charge["amount_captured"],
        currency=charge["currency"],
        metadata=metadata,
        at=state.clock.now(),
        maker=state.ledger.maker(intent["id"]),
    )


def decline(
    state: AccountState, intent: Obj, method: Obj, decline: CardDecline
) -> stripe_errors.StripeRefusal:
    """Records the failed charge, and answers the refusal to be raised."""
    failure = {
        "status": "failed",
        "failure_code": decline.code,
        "failure_message": decline.message,
        "captured": False,
    }
    charge = {
        **new_charge(state, intent, method, prefix="ch"),
        **failure,
        "outcome": object_templates.declined_outcome(decline),
    }
    state.add(charge, intent["id"], intent["customer"])
    error = {
        "advice_code": decline.advice_code,
        "charge": charge["id"],
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "network_advice_code": decline.network_advice_code,
        "network_decline_code": decline.network_decline_code,
        "param": decline.param,
        "payment_method": method,
    }
    known = {key: value for key, value in error.items() if value is not None}
    state.emit("charge.failed", charge)
    intent = record_failure(
        state, intent, {**known, "type": "card_error"}, latest_charge=charge["id"]
    )
    return stripe_errors.card_error({**known, "payment_intent": intent})


def record_failure(state: AccountState, intent: Obj, error: Obj, **changes: object) -> Obj:
    """Opens the intent for another method; only the error still names the refused one."""
    intent = state.change(
        intent,
        status="requires_payment_method",
        payment_method=None,
        last_payment_error=error,
        next_action=None,
        processing=None,
        **changes,
    )
    state.emit("payment_intent.payment_failed", intent)
    checkout_settlement.follow(state, intent)
    return intent
