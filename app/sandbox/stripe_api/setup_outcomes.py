"""The ends of a SetupIntent: its payment method is ready, or refused."""

from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import payment_methods_api


def succeed(state: AccountState, setup: Obj) -> Obj:
    """Attaches the method to the customer and allows off-session charges of it."""
    state.instruments[setup["payment_method"]].is_set_up = True
    if setup["customer"]:
        payment_methods_api.attach_to(
            state, state.find("payment_methods", setup["payment_method"]), setup["customer"]
        )
    setup = state.change(setup, status="succeeded", next_action=None, last_setup_error=None)
    state.emit("setup_intent.succeeded", setup)
    return setup


def record_failure(state: AccountState, setup: Obj, error: Obj) -> Obj:
    setup = state.change(
        setup,
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_setup_error=error,
    )
    state.emit("setup_intent.setup_failed", setup)
    return setup
