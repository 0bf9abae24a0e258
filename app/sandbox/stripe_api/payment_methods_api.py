"""Payment methods: made from test names, attached to a customer, detached for good."""

from typing import Any

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.instruments import BANK_DEBITS, SampleMethod
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.test_bank_accounts import sample_of_account
from app.sandbox.account.test_cards import find_card_of_number, find_card_sample
from app.sandbox.account.test_methods import OFFERED_TYPES, find_sample
from app.sandbox.stripe_api import cursor_pagination
from app.sandbox.stripe_api.metadata_merge import merge_metadata

_WITH_LAST4 = ("card", *BANK_DEBITS)
_OWN_FIELDS = ("billing_details", "metadata", "allow_redisplay")


def create(state: AccountState, params: Obj) -> Obj:
    """Makes the method of this type; one of Stripe's test numbers decides how its payments end."""
    kind = params["type"]
    if kind not in OFFERED_TYPES:
        raise stripe_errors.invalid(
            f"The payment method type '{kind}' is not offered by this sandbox.", param="type"
        )
    own = {
        name: params[name] for name in _OWN_FIELDS if name in params and name != "billing_details"
    }
    own["metadata"] = merge_metadata({}, own.get("metadata"))
    own |= _billing(params.get("billing_details"))
    return new_method(state, _named_sample(kind, params.get(kind) or {}), **own)


def _named_sample(kind: str, details: Obj) -> SampleMethod:
    """Stripe's test account, token or card number; every other number succeeds."""
    if kind in BANK_DEBITS:
        return sample_of_account(kind, details)
    if "token" in details:
        sample = find_card_sample(details["token"])
        if sample is None:
            raise stripe_errors.missing(
                "token", details["token"], param="card[token]", in_path=False
            )
        return sample
    return find_card_of_number(details.get("number", "")) or SampleMethod(kind)


def _card_of_token(token: str) -> SampleMethod:
    sample = find_card_sample(token)
    if sample is None:
        raise stripe_errors.missing("token", token, param="card[token]", in_path=False)
    return sample


def new_method(state: AccountState, sample: SampleMethod, **fields: Any) -> Obj:
    details: Obj = {"last4": sample.last4} if sample.type in _WITH_LAST4 else {}
    if sample.type == "card":
        details["brand"] = sample.brand
    return state.new_method(sample.type, sample.instrument(), details=details, **fields)


def _billing(given: Obj | None) -> Obj:
    if not given:
        return {}
    blank = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    return {"billing_details": {**blank, **given}}


def retrieve(state: AccountState, params: Obj, method_id: str) -> Obj:
    return find_or_sample(state, method_id, param=None)


def find_or_sample(state: AccountState, token: str, *, param: str | None = "payment_method") -> Obj:
    """The payment method of this id; a test name such as pm_card_visa makes a new one."""
    sample = find_sample(token) if token not in state.instruments else None
    if sample is None:
        return state.find("payment_methods", token, param=param)
    return new_method(state, sample)


def update(state: AccountState, params: Obj, method_id: str) -> Obj:
    method = state.find("payment_methods", method_id)
    changes = {name: params[name] for name in _OWN_FIELDS if name in params}
    if "metadata" in changes:
        changes["metadata"] = merge_metadata(method["metadata"], changes["metadata"])
    if "billing_details" in changes:
        changes = {
            **changes,
            **_billing({**method["billing_details"], **changes["billing_details"]}),
        }
    if "card" in params:
        card = {
            name: int(value)
            for name, value in params["card"].items()
            if name in {"exp_month", "exp_year"}
        }
        changes["card"] = {**method["card"], **card}
    previous = {name: method[name] for name in changes if method[name] != changes[name]}
    method = state.change(method, **changes)
    state.emit("payment_method.updated", method, previous)
    return method


def attach(state: AccountState, params: Obj, method_id: str) -> Obj:
    method = find_or_sample(state, method_id, param=None)
    customer = state.living_customer(params["customer"], param="customer")
    instrument = state.instruments[method["id"]]
    if instrument.is_detached or (method["customer"] is None and instrument.is_spent):
        raise stripe_errors.invalid(
            "This PaymentMethod was previously used without being attached to a Customer or was "
            "detached from a Customer, and may not be used again."
        )
    if method["customer"] not in {None, customer["id"]}:
        raise stripe_errors.invalid(
            "The payment method you provided has already been attached to a customer."
        )
    return attach_to(state, method, customer["id"])


def attach_to(state: AccountState, method: Obj, customer_id: str) -> Obj:
    if method["customer"] == customer_id:
        return method
    method = state.change(method, customer=customer_id)
    state["payment_methods"].index(method["id"], customer_id)
    state.emit("payment_method.attached", method)
    return method


def detach(state: AccountState, params: Obj, method_id: str) -> Obj:
    method = state.find("payment_methods", method_id)
    if method["customer"] is None:
        raise stripe_errors.invalid(
            "The payment method you provided is not attached to a customer so detachment is "
            "impossible."
        )
    customer = state["customers"].get(method["customer"])
    state.instruments[method_id].is_detached = True
    detached = state.change(method, customer=None)
    state.emit("payment_method.detached", detached, {"customer": method["customer"]})
    if customer is not None and not customer.get("deleted"):
        _forget_default(state, customer, method_id)
    return detached


def _forget_default(state: AccountState, customer: Obj, method_id: str) -> None:
    settings = customer["invoice_settings"]
    if settings["default_payment_method"] == method_id:
        changed = state.change(
            customer, invoice_settings={**settings, "default_payment_method": None}
        )
        state.emit(
            "customer.updated", changed, {"invoice_settings": {"default_payment_method": method_id}}
        )


def list_page(state: AccountState, params: Obj) -> Obj:
    """Only a customer's methods are listed; without a customer Stripe lists none of these."""
    if "customer" not in params:
        return object_templates.sublist("/v1/payment_methods", [])
    return _list_methods(state, params, "/v1/payment_methods")


def list_of_customer(state: AccountState, params: Obj, customer_id: str) -> Obj:
    return _list_methods(
        state, {**params, "customer": customer_id}, f"/v1/customers/{customer_id}/payment_methods"
    )


def _list_methods(state: AccountState, params: Obj, url: str) -> Obj:
    state.living_customer(params["customer"], param="customer")
    return cursor_pagination.list_objects(state, "payment_methods", params, url, "customer", "type")


def retrieve_of_customer(state: AccountState, params: Obj, customer_id: str, method_id: str) -> Obj:
    """A detached method is answered with 404, param customer and no code (measured)."""
    state.living_customer(customer_id)
    method = state.find("payment_methods", method_id)
    if method["customer"] != customer_id:
        message = (
            f"The customer {customer_id} does not have a payment method with the ID {method_id}."
        )
        raise stripe_errors.invalid(message, param="customer", status=404)
    return method
