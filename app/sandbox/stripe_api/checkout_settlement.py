"""Completed Checkout Sessions follow their PaymentIntent until it is paid or has failed."""

from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj


def follow(state: AccountState, intent: Obj) -> None:
    """Tells the session of a payment that ended after the customer had left the page."""
    for session in state["sessions"].rows(intent["id"]):
        if session["status"] == "complete" and session["payment_status"] == "unpaid":
            _apply(state, session, intent)


def _apply(state: AccountState, session: Obj, intent: Obj) -> None:
    if intent["status"] != "succeeded":
        state.emit("checkout.session.async_payment_failed", session)
        return
    session = state.change(session, payment_status="paid")
    if intent["capture_method"] != "manual":
        state.emit("checkout.session.async_payment_succeeded", session)
