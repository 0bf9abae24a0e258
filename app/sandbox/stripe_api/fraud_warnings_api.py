"""Early fraud warnings: the card network suspects a charge before anybody disputes it."""

from app.sandbox.account import money_templates
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import cursor_pagination


def retrieve(state: AccountState, params: Obj, warning_id: str) -> Obj:
    return state.find("fraud_warnings", warning_id)


def list_page(state: AccountState, params: Obj) -> Obj:
    url = "/v1/radar/early_fraud_warnings"
    return cursor_pagination.list_objects(
        state, "fraud_warnings", params, url, "payment_intent", "charge"
    )


def warn(state: AccountState, charge: Obj, fraud_type: str) -> Obj:
    """A warning of this charge, which can be acted upon until it is refunded or disputed."""
    is_open = not charge["refunded"] and not charge["disputed"]
    new_id = state.ids.new("issfr")
    fields = {"fraud_type": fraud_type, "actionable": is_open}
    made = money_templates.fraud_warning(new_id, state.clock.stamp(), charge, fields)
    state.add(made, charge["id"], charge["payment_intent"])
    state.emit("radar.early_fraud_warning.created", made)
    return made


def close_for(state: AccountState, charge_id: str) -> None:
    """Nothing is left to be done about the warnings of a charge that was refunded or disputed."""
    for warning in state["fraud_warnings"].rows(charge_id):
        if warning["actionable"]:
            closed = state.change(warning, actionable=False)
            state.emit("radar.early_fraud_warning.updated", closed, {"actionable": True})
