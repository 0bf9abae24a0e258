"""The customer's side of a Checkout Session: it is paid at once, later, or not at all."""

from dataclasses import dataclass

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import confirmation, customers_api, payment_methods_api
from app.sandbox.stripe_api.confirmation import ConfirmOptions
from app.sandbox.stripe_api.metadata_merge import merge_metadata

_OPTIONS = ConfirmOptions(return_url="https://checkout.stripe.com/return", has_mandate_data=True)


@dataclass(frozen=True, slots=True)
class CheckoutChoice:
    """A customer's choices on the page. An account that is not verified waits for microdeposits;
    with `delays_intent` the session has no PaymentIntent before the money has come.
    """

    payment_method: str = "pm_card_visa"
    is_verified: bool = True
    delays_intent: bool = False
    email: str | None = None


def complete(state: AccountState, session_id: str, choice: CheckoutChoice) -> Obj:
    """The customer submits the page; a declined card leaves the session open, with its intent."""
    session = state.find("sessions", session_id)
    if session["status"] != "open":
        raise ValueError(f"{session_id} is {session['status']}")
    session = _with_customer(state, session, choice)
    method = payment_methods_api.find_or_sample(state, choice.payment_method)
    state.instruments[method["id"]].is_verified |= choice.is_verified
    if choice.delays_intent:
        state.awaited_methods[session_id] = method["id"]
        return _finish(state, session, method, choice, is_paid=False)
    session, intent = _ensure_intent(state, session, method)
    try:
        intent = _pay(state, intent)
    except stripe_errors.StripeRefusal:
        return session
    return _finish(state, session, method, choice, is_paid=intent["status"] == "succeeded")


def _with_customer(state: AccountState, session: Obj, choice: CheckoutChoice) -> Obj:
    if session["customer"] is not None or session["customer_creation"] != "always":
        return session
    customer = customers_api.create(state, {"email": choice.email or session["customer_email"]})
    state["sessions"].index(session["id"], customer["id"])
    return state.change(session, customer=customer["id"])


def _pay(state: AccountState, intent: Obj) -> Obj:
    """One attempt; the customer passes an authentication at once."""
    intent = confirmation.attempt(state, intent, _OPTIONS)
    if (intent["next_action"] or {}).get("type") in confirmation.AUTHENTICATIONS:
        return confirmation.finish_action(state, intent, succeeded=True)
    return intent


def pay_later(state: AccountState, session_id: str) -> Obj:
    """The money of a session without an intent has come: it gets one, which is paid."""
    session = state.find("sessions", session_id)
    method = state.find("payment_methods", state.awaited_methods.pop(session_id))
    state.instruments[method["id"]].is_verified = True
    session, intent = _ensure_intent(state, session, method)
    confirmation.receive(state, intent)
    return state.find("sessions", session_id)


def _ensure_intent(state: AccountState, session: Obj, method: Obj) -> tuple[Obj, Obj]:
    if session["payment_intent"] is not None:
        intent = state.find("payment_intents", session["payment_intent"])
        return session, state.change(
            intent, payment_method=method["id"], status="requires_confirmation"
        )
    intent = _new_intent(state, session, method)
    session = state.change(session, payment_intent=intent["id"])
    state["sessions"].index(session["id"], intent["id"])
    return session, intent


def _new_intent(state: AccountState, session: Obj, method: Obj) -> Obj:
    """The intent gets payment_intent_data's metadata; the session's own is not copied."""
    given = state.checkout_intents[session["id"]]
    fields: Obj = {
        name: given[name]
        for name in ("description", "setup_future_usage", "receipt_email", "capture_method")
        if name in given
    }
    fields |= {
        "amount": session["amount_total"],
        "currency": session["currency"],
        "customer": session["customer"],
        "metadata": merge_metadata({}, given.get("metadata")),
        "payment_method": method["id"],
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
    }
    new_id, secret = state.ids.new("pi"), state.ids.text("secret", 25)
    intent = state.add(
        object_templates.payment_intent(new_id, state.clock.stamp(), secret, fields),
        session["customer"],
    )
    state.ledger.record_maker(new_id, state.ledger.maker(session["id"]))
    state.emit("payment_intent.created", intent)
    return intent


def _finish(
    state: AccountState, session: Obj, method: Obj, choice: CheckoutChoice, *, is_paid: bool
) -> Obj:
    billing = method["billing_details"]
    session = state.change(
        session,
        status="complete",
        payment_status="paid" if is_paid else "unpaid",
        url=None,
        customer_details=object_templates.customer_details(
            choice.email or session["customer_email"] or billing["email"], billing["name"]
        ),
    )
    state.emit("checkout.session.completed", session)
    return session
