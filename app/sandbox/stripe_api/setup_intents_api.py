"""SetupIntents and mandates: they prepare a payment method for off-session payments."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.card_declines import CardDecline
from app.sandbox.account.instruments import BANK_DEBITS
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import (
    bank_debits,
    cursor_pagination,
    microdeposits,
    payment_methods_api,
    setup_outcomes,
)
from app.sandbox.stripe_api.metadata_merge import merge_metadata

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_FINE = ("succeed", "dispute", "inquiry", "fraud_warning")


def create(state: AccountState, params: Obj) -> Obj:
    """A declined create leaves the SetupIntent behind."""
    customer = params.get("customer")
    if customer is not None:
        state.living_customer(customer, param="customer")
    fields: Obj = {"customer": customer, "metadata": merge_metadata({}, params.get("metadata"))}
    fields |= {
        name: params[name]
        for name in ("description", "usage", "payment_method_types")
        if name in params
    }
    if params.get("payment_method"):
        method = payment_methods_api.find_or_sample(state, params["payment_method"])
        fields |= {"payment_method": method["id"], "status": "requires_confirmation"}
    new_id, secret = state.ids.new("seti"), state.ids.text("secret", 30)
    setup = state.add(
        object_templates.setup_intent(new_id, state.clock.stamp(), secret, fields), customer
    )
    state.emit("setup_intent.created", setup)
    return _attempt(state, setup, params) if params.get("confirm") else setup


def retrieve(state: AccountState, params: Obj, setup_id: str) -> Obj:
    return state.find("setup_intents", setup_id)


def confirm(state: AccountState, params: Obj, setup_id: str) -> Obj:
    setup = state.find("setup_intents", setup_id)
    if setup["status"] not in _OPEN:
        raise _unexpected_state(setup, "confirm")
    if params.get("payment_method"):
        method = payment_methods_api.find_or_sample(state, params["payment_method"])
        setup = state.change(setup, payment_method=method["id"], status="requires_confirmation")
    return _attempt(state, setup, params)


def _attempt(state: AccountState, setup: Obj, params: Obj) -> Obj:
    if setup["payment_method"] is None:
        message = "You cannot confirm this SetupIntent because it's missing a payment method."
        raise stripe_errors.invalid(
            message, code="setup_intent_unexpected_state", setup_intent=setup
        )
    method = state.find("payment_methods", setup["payment_method"])
    if method["type"] in BANK_DEBITS:
        options = (params.get("payment_method_options") or {}).get(method["type"]) or {}
        if options.get("verification_method") == "skip":
            state.instruments[method["id"]].is_verified = True
        return _authorise_debit(state, setup, method, has_mandate_data="mandate_data" in params)
    instrument = state.instruments[method["id"]]
    match instrument.steps[0]:
        case step if step in _FINE or instrument.accepts_setup:
            return setup_outcomes.succeed(state, setup)
        case step if step.startswith("authentication_"):
            return _authenticate(state, setup, params)
        case decline_code:
            raise _decline(state, setup, method, CardDecline(decline_code))


def _authorise_debit(
    state: AccountState, setup: Obj, method: Obj, *, has_mandate_data: bool
) -> Obj:
    if not has_mandate_data:
        message = "This SetupIntent requires a mandate: provide `mandate_data`."
        raise stripe_errors.invalid(message, setup_intent=setup)
    instrument = state.instruments[method["id"]]
    instrument.mandate = bank_debits.new_mandate(state, method)
    setup = state.change(setup, mandate=instrument.mandate)
    if instrument.is_verified:
        return setup_outcomes.succeed(state, setup)
    return _require(state, setup, microdeposits.next_action(state, setup))


def _authenticate(state: AccountState, setup: Obj, params: Obj) -> Obj:
    action: Obj = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
    if url := params.get("return_url"):
        hook = f"https://hooks.stripe.com/3d_secure_2/hosted?setup_intent={setup['id']}"
        action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": url, "url": hook}}
    return _require(state, setup, action)


def _require(state: AccountState, setup: Obj, action: Obj) -> Obj:
    setup = state.change(setup, status="requires_action", next_action=action)
    state.emit("setup_intent.requires_action", setup)
    return setup


def _decline(
    state: AccountState, setup: Obj, method: Obj, decline: CardDecline
) -> stripe_errors.StripeRefusal:
    error = {
        "advice_code": decline.advice_code,
        "code": decline.code,
        "decline_code": decline.decline_code,
        "message": decline.message,
        "param": decline.param,
        "payment_method": method,
    }
    known = {key: value for key, value in error.items() if value is not None}
    last = {"type": "card_error", **known}
    setup = setup_outcomes.record_failure(state, setup, last)
    return stripe_errors.card_error({**known, "setup_intent": setup})


def cancel(state: AccountState, params: Obj, setup_id: str) -> Obj:
    setup = state.find("setup_intents", setup_id)
    if setup["status"] not in _OPEN:
        raise _unexpected_state(setup, "cancel")
    setup = state.change(
        setup, status="canceled", cancellation_reason=params.get("cancellation_reason")
    )
    state.emit("setup_intent.canceled", setup)
    return setup


def _unexpected_state(setup: Obj, verb: str) -> stripe_errors.StripeRefusal:
    message = f"You cannot {verb} this SetupIntent because it has a status of {setup['status']}."
    return stripe_errors.invalid(message, code="setup_intent_unexpected_state", setup_intent=setup)


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(
        state, "setup_intents", params, "/v1/setup_intents", "customer", "payment_method"
    )


def mandate(state: AccountState, params: Obj, mandate_id: str) -> Obj:
    return state.find("mandates", mandate_id)
