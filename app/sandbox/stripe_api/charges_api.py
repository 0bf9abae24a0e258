"""Charges, as they are read; charging.py makes them."""

from app.sandbox.account.account_state import State
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import cursor_pagination
from app.sandbox.stripe_api.customers_api import merged


def retrieve(state: State, params: Obj, charge_id: str) -> Obj:
    return state.find("charges", charge_id)


def listing(state: State, params: Obj) -> Obj:
    return cursor_pagination.listed(
        state, "charges", params, "/v1/charges", "payment_intent", "customer"
    )


def update(state: State, params: Obj, charge_id: str) -> Obj:
    charge = state.find("charges", charge_id)
    changes: Obj = {
        name: params[name] for name in ("description", "receipt_email") if name in params
    }
    changes["metadata"] = merged(charge["metadata"], params.get("metadata"))
    previous = {name: charge[name] for name in changes if charge[name] != changes[name]}
    charge = state.change(charge, **changes)
    if previous:
        state.emit("charge.updated", charge, previous)
    return charge
