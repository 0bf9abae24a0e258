"""PaymentIntents: their calls, and the states in which Stripe allows them."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import (
    bank_transfers,
    captures,
    charge_amounts,
    confirmation,
    cursor_pagination,
    payment_methods_api,
)
from app.sandbox.stripe_api.confirmation import ConfirmOptions
from app.sandbox.stripe_api.metadata_merge import merge_metadata

_COPIED = (
    "description receipt_email setup_future_usage shipping statement_descriptor "
    "statement_descriptor_suffix transfer_group capture_method confirmation_method "
    "allowed_payment_method_types excluded_payment_method_types payment_method_types"
).split()
# "This parameter can only be used with confirm=true."
_WITH_CONFIRM = ("off_session", "error_on_requires_action", "mandate", "mandate_data", "return_url")
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (*_OPEN, "requires_capture")


def create(state: AccountState, params: Obj) -> Obj:
    """A refused confirm leaves the intent behind, as Stripe does."""
    confirms = params.get("confirm", False)
    for name in _WITH_CONFIRM:
        if name in params and not confirms:
            raise stripe_errors.malformed(
                f"`{name}` can only be used with `confirm`=true.", param=name
            )
    currency = charge_amounts.validate(params["amount"], params["currency"])
    customer = params.get("customer")
    if customer is not None:
        state.living_customer(customer, param="customer")
    method = _method(state, params, customer)
    new_id, secret = state.ids.new("pi"), state.ids.text("secret", 25)
    fields = {
        **_fields(params, method),
        "amount": params["amount"],
        "currency": currency,
        "customer": customer,
    }
    intent = state.add(
        object_templates.payment_intent(new_id, state.clock.stamp(), secret, fields), customer
    )
    state.ledger.record_maker(new_id, state.cause.api_key)
    state.emit("payment_intent.created", intent)
    return _attempt(state, intent, params) if confirms else intent


def _method(state: AccountState, params: Obj, customer: str | None) -> Obj | None:
    """The method that the parameters name, if it may be used for this customer."""
    if "payment_method_data" in params:
        return payment_methods_api.create(state, params["payment_method_data"])
    if not params.get("payment_method"):
        return None
    method = payment_methods_api.find_or_sample(state, params["payment_method"])
    owner = method["customer"]
    if owner is not None and customer is None:
        message = (
            f"The PaymentMethod provided ({method['id']}) is attached to a Customer. Please "
            "include the Customer in the `customer` parameter."
        )
        raise stripe_errors.invalid(message)
    if owner not in {None, customer}:
        message = (
            f"The customer does not have a payment method with the ID {method['id']}. The payment "
            "method must be attached to the customer."
        )
        raise stripe_errors.invalid(message, param="payment_method", code="resource_missing")
    return method


def _fields(params: Obj, method: Obj | None) -> Obj:
    fields: Obj = {name: params[name] for name in _COPIED if name in params}
    fields["metadata"] = merge_metadata({}, params.get("metadata"))
    if method is not None:
        fields |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if types := params.get("payment_method_types") or params.get("allowed_payment_method_types"):
        fields["payment_method_types"] = types
    else:
        fields["automatic_payment_methods"] = _automatic_payment_methods(params)
    return fields


def _automatic_payment_methods(params: Obj) -> Obj:
    given = params.get("automatic_payment_methods") or {}
    return {
        "allow_redirects": given.get("allow_redirects", "always"),
        "enabled": given.get("enabled", "true") == "true",
    }


def retrieve(state: AccountState, params: Obj, intent_id: str) -> Obj:
    return state.find("payment_intents", intent_id)


def update(state: AccountState, params: Obj, intent_id: str) -> Obj:
    """Changes metadata and description at any time, the rest only while the intent is open."""
    intent = state.find("payment_intents", intent_id)
    if (
        params.keys() - {"metadata", "description", "expand", "receipt_email"}
        and intent["status"] not in _OPEN
    ):
        raise _unexpected_state(intent, "update")
    changes: Obj = {name: params[name] or None for name in _COPIED if name in params}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    if "amount" in params or "currency" in params:
        wanted = {**intent, **params}
        currency = charge_amounts.validate(wanted["amount"], wanted["currency"])
        changes |= {"amount": wanted["amount"], "currency": currency}
    if "customer" in params:
        changes["customer"] = state.living_customer(params["customer"], param="customer")["id"]
        state["payment_intents"].index(intent_id, changes["customer"])
    if method := _method(state, params, changes.get("customer", intent["customer"])):
        changes |= {"payment_method": method["id"], "status": "requires_confirmation"}
    return state.change(intent, **changes)


def confirm(state: AccountState, params: Obj, intent_id: str) -> Obj:
    intent = state.find("payment_intents", intent_id)
    if intent["status"] not in _OPEN:
        raise _unexpected_state(intent, "confirm")
    if params.get("amount_to_confirm", intent["amount"]) != intent["amount"]:
        message = f"The amount of this PaymentIntent is {intent['amount']}."
        raise stripe_errors.invalid(message, param="amount_to_confirm", payment_intent=intent)
    changes: Obj = {
        name: params[name]
        for name in ("receipt_email", "setup_future_usage", "shipping", "capture_method")
        if name in params
    }
    if method := _method(state, params, intent["customer"]):
        changes |= {"payment_method": method["id"], "status": "requires_confirmation"}
    return _attempt(state, state.change(intent, **changes) if changes else intent, params)


def _attempt(state: AccountState, intent: Obj, params: Obj) -> Obj:
    if intent["payment_method"] is None:
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise stripe_errors.invalid(
            message, code="payment_intent_unexpected_state", payment_intent=intent
        )
    method_id = intent["payment_method"]
    intent = confirmation.attempt(state, intent, _confirm_options(params))
    if intent["setup_future_usage"] and intent["customer"]:
        state.instruments[method_id].is_set_up = True
        payment_methods_api.attach_to(
            state, state.find("payment_methods", method_id), intent["customer"]
        )
    return intent


def _confirm_options(params: Obj) -> ConfirmOptions:
    return ConfirmOptions(
        off_session=params.get("off_session", False),
        error_on_requires_action=params.get("error_on_requires_action", False),
        return_url=params.get("return_url"),
        mandate=params.get("mandate"),
        has_mandate_data="mandate_data" in params,
        method_options=params.get("payment_method_options") or {},
    )


_CHECKOUTS = "You cannot perform this action on PaymentIntents created by Checkout."


def cancel(state: AccountState, params: Obj, intent_id: str) -> Obj:
    intent = state.find("payment_intents", intent_id)
    if any(one["status"] == "open" for one in state["sessions"].rows(intent_id)):
        raise stripe_errors.invalid(_CHECKOUTS)
    if intent["status"] not in _CANCELABLE:
        raise _unexpected_state(intent, "cancel")
    intent = captures.release(state, bank_transfers.give_back(state, intent))
    intent = state.change(
        intent,
        status="canceled",
        canceled_at=state.clock.stamp(),
        cancellation_reason=params.get("cancellation_reason"),
        next_action=None,
    )
    state.emit("payment_intent.canceled", intent)
    return intent


def _unexpected_state(intent: Obj, verb: str) -> stripe_errors.StripeRefusal:
    message = (
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}. Only "
        f"a PaymentIntent with one of the following statuses may be {verb}ed: {', '.join(_OPEN)}."
    )
    return stripe_errors.invalid(
        message, code="payment_intent_unexpected_state", payment_intent=intent
    )


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(
        state, "payment_intents", params, "/v1/payment_intents", "customer"
    )
