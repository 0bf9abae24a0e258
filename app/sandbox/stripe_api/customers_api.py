"""Customers, their default payment method and their metadata."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import cursor_pagination, payment_methods_api
from app.sandbox.stripe_api.metadata_merge import merge_metadata

_FIELDS = (
    "address business_name description email individual_name name next_invoice_sequence phone "
    "preferred_locales shipping tax_exempt invoice_prefix"
).split()


def create(state: AccountState, params: Obj) -> Obj:
    fields = {name: params[name] for name in _FIELDS if name in params}
    fields["metadata"] = merge_metadata({}, params.get("metadata"))
    method = (
        payment_methods_api.find_or_sample(state, params["payment_method"])
        if "payment_method" in params
        else None
    )
    customer = state.add(
        object_templates.customer(
            params.get("id") or state.ids.new("cus", 14), state.clock.stamp(), fields
        )
    )
    state.emit("customer.created", customer)
    if method is not None:
        payment_methods_api.attach(state, {"customer": customer["id"]}, method["id"])
    settings = _settings(state, customer, params)
    return state.change(customer, invoice_settings=settings) if settings else customer


def _settings(state: AccountState, customer: Obj, params: Obj) -> Obj | None:
    given = params.get("invoice_settings")
    if given is None:
        return None
    default = given.get("default_payment_method")
    if default:
        method = state.find(
            "payment_methods", default, param="invoice_settings[default_payment_method]"
        )
        if method["customer"] != customer["id"]:
            message = (
                f"The customer does not have a payment method with the ID {default}. It must be "
                "attached to the customer."
            )
            raise stripe_errors.invalid(
                message, param="invoice_settings[default_payment_method]", code="resource_missing"
            )
    return {**customer["invoice_settings"], **given, "default_payment_method": default or None}


def retrieve(state: AccountState, params: Obj, customer_id: str) -> Obj:
    """A deleted customer is answered with 200: id, object and `deleted` only."""
    return state.find("customers", customer_id)


def update(state: AccountState, params: Obj, customer_id: str) -> Obj:
    customer = state.living_customer(customer_id)
    changes = {name: params[name] or None for name in _FIELDS if name in params}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(customer["metadata"], params["metadata"])
    if settings := _settings(state, customer, params):
        changes["invoice_settings"] = settings
    previous = {
        name: _previous(customer.get(name), value)
        for name, value in changes.items()
        if customer.get(name) != value
    }
    changed = state.change(customer, **changes)
    if previous:
        state.emit("customer.updated", changed, previous)
    return changed


def _previous(old: object, new: object) -> object:
    """The old value; of an object only the fields that changed, as events show it."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return old
    return {name: value for name, value in old.items() if new.get(name) != value}


def delete(state: AccountState, params: Obj, customer_id: str) -> Obj:
    customer = state.living_customer(customer_id)
    for method in state["payment_methods"].rows(customer_id):
        if method["customer"] == customer_id:
            payment_methods_api.detach(state, {}, method["id"])
    state.emit("customer.deleted", state.find("customers", customer_id))
    gone = {"id": customer["id"], "object": "customer", "deleted": True}
    state["customers"].replace(customer["id"], gone)
    return gone


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(
        state, "customers", params, "/v1/customers", "email", also=lambda row: "deleted" not in row
    )
