"""Charges: read and annotated here, made in `confirmation`."""

from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import cursor_pagination
from app.sandbox.stripe_api.metadata_merge import merge_metadata


def retrieve(state: AccountState, params: Obj, charge_id: str) -> Obj:
    return state.find("charges", charge_id)


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(
        state, "charges", params, "/v1/charges", "payment_intent", "customer"
    )


def update(state: AccountState, params: Obj, charge_id: str) -> Obj:
    charge = state.find("charges", charge_id)
    changes: Obj = {
        name: params[name] for name in ("description", "receipt_email") if name in params
    }
    changes["metadata"] = merge_metadata(charge["metadata"], params.get("metadata"))
    previous = {name: charge[name] for name in changes if charge[name] != changes[name]}
    charge = state.change(charge, **changes)
    if previous:
        state.emit("charge.updated", charge, previous)
    return charge
