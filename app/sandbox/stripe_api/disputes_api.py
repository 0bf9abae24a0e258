"""Disputes: opened and closed on command, by a test card, or accepted over the API."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import cursor_pagination

_INQUIRY = "warning_"
_CLOSED = ("won", "lost", "warning_closed", "prevented")


def retrieve(state: AccountState, params: Obj, dispute_id: str) -> Obj:
    return state.find("disputes", dispute_id)


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(
        state, "disputes", params, "/v1/disputes", "payment_intent", "charge"
    )


def close(state: AccountState, params: Obj, dispute_id: str) -> Obj:
    """Accepting a dispute over the API loses it."""
    dispute = state.find("disputes", dispute_id)
    if dispute["status"] in _CLOSED:
        raise stripe_errors.invalid("This dispute is already closed.")
    return close_as(state, dispute, "lost")


def open_for_charge(state: AccountState, charge: Obj, fields: Obj) -> Obj:
    """Opens a dispute of any first status and amount; a charge can have several."""
    dispute = object_templates.dispute(state.ids.new("du"), state.clock.stamp(), charge, fields)
    is_inquiry = dispute["status"].startswith(_INQUIRY)
    if not is_inquiry:
        dispute["balance_transactions"] = [_balance_transaction(state, dispute, -dispute["amount"])]
    dispute["is_charge_refundable"] = is_inquiry
    state.add(dispute, dispute["payment_intent"], dispute["charge"])
    state.change(charge, disputed=True)
    state.emit("charge.dispute.created", dispute)
    if not is_inquiry:
        state.emit("charge.dispute.funds_withdrawn", dispute)
    if dispute["status"] == "lost":
        state.ledger.record_loss(dispute["charge"], dispute["amount"])
    return dispute


def _balance_transaction(state: AccountState, dispute: Obj, amount: int) -> Obj:
    return {
        "id": state.ids.new("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "created": state.clock.stamp(),
        "currency": dispute["currency"],
        "type": "adjustment",
    }


def close_as(state: AccountState, dispute: Obj, status: str) -> Obj:
    """Closes it as won, lost or warning_closed; winning a lost one sends the events again."""
    was = dispute["status"]
    if was == status or was in {"won", "warning_closed", "prevented"}:
        raise ValueError(f"dispute {dispute['id']} is already {was}")
    changes: Obj = {"status": status}
    if status == "won":
        back = _balance_transaction(state, dispute, dispute["amount"])
        changes["balance_transactions"] = [*dispute["balance_transactions"], back]
    dispute = state.change(dispute, **changes)
    state.emit("charge.dispute.updated", dispute, {"status": was})
    if status == "won":
        state.emit("charge.dispute.funds_reinstated", dispute)
    state.emit("charge.dispute.closed", dispute)
    _record_loss(state, dispute, was)
    return dispute


def _record_loss(state: AccountState, dispute: Obj, was: str) -> None:
    if dispute["status"] == "lost":
        state.ledger.record_loss(dispute["charge"], dispute["amount"])
    elif was == "lost":
        state.ledger.record_loss(dispute["charge"], -dispute["amount"])
