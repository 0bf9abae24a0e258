"""Disputes: opened and closed on command, by a test card, or accepted over the API."""

from app.sandbox.account import money_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import balance_booking, cursor_pagination, fraud_warnings_api
from app.sandbox.stripe_api.metadata_merge import merge_metadata

_INQUIRY = "warning_"
_CLOSED = ("won", "lost", "warning_closed", "prevented")
_DECIDING = {"winning_evidence": "won", "losing_evidence": "lost"}


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


def update(state: AccountState, params: Obj, dispute_id: str) -> Obj:
    """Submitted evidence waits for the bank; Stripe's two test texts decide the dispute at once."""
    dispute = state.find("disputes", dispute_id)
    if dispute["status"] in _CLOSED:
        raise stripe_errors.invalid("This dispute is already closed.")
    evidence: Obj = params.get("evidence") or {}
    changes: Obj = {
        "evidence": {**dispute["evidence"], **evidence},
        "metadata": merge_metadata(dispute["metadata"], params.get("metadata")),
    }
    submits = bool(evidence) and params.get("submit", True)
    if submits:
        changes |= _submitted(dispute)
    previous = {name: dispute[name] for name in changes if dispute[name] != changes[name]}
    dispute = state.change(dispute, **changes)
    state.emit("charge.dispute.updated", dispute, previous)
    decided = _DECIDING.get(evidence.get("uncategorized_text", "")) if submits else None
    return close_as(state, dispute, decided) if decided else dispute


def _submitted(dispute: Obj) -> Obj:
    details = dispute["evidence_details"]
    is_inquiry = dispute["status"].startswith(_INQUIRY)
    return {
        "status": "warning_under_review" if is_inquiry else "under_review",
        "evidence_details": {
            **details,
            "has_evidence": True,
            "submission_count": details["submission_count"] + 1,
        },
    }


def open_for_charge(state: AccountState, charge: Obj, fields: Obj) -> Obj:
    """Opens a dispute of any first status and amount; a charge can have several."""
    dispute = money_templates.dispute(state.ids.new("du"), state.clock.stamp(), charge, fields)
    withdraws = not dispute["status"].startswith(_INQUIRY) and dispute["status"] != "prevented"
    if withdraws:
        dispute["balance_transactions"] = [balance_booking.book_dispute(state, dispute)]
    dispute["is_charge_refundable"] = not withdraws
    state.add(dispute, dispute["payment_intent"], dispute["charge"])
    state.change(charge, disputed=True)
    state.emit("charge.dispute.created", dispute)
    if withdraws:
        state.emit("charge.dispute.funds_withdrawn", dispute)
    if dispute["status"] == "lost":
        state.ledger.record_loss(dispute["charge"], _lost_of_charge(state, dispute))
    fraud_warnings_api.close_for(state, charge["id"])
    return dispute


def escalate(state: AccountState, dispute: Obj) -> Obj:
    """An inquiry becomes a chargeback: the same dispute, and now the money is taken."""
    was = dispute["status"]
    if not was.startswith(_INQUIRY) or was in _CLOSED:
        raise ValueError(f"dispute {dispute['id']} is no open inquiry: it is {was}")
    withdrawn = balance_booking.book_dispute(state, dispute)
    dispute = state.change(
        dispute,
        status="needs_response",
        is_charge_refundable=False,
        balance_transactions=[withdrawn],
    )
    state.emit("charge.dispute.updated", dispute, {"status": was})
    state.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_as(state: AccountState, dispute: Obj, status: str) -> Obj:
    """Closes it as won, lost or warning_closed; winning a lost one sends the events again."""
    was = dispute["status"]
    if was == status or was in {"won", "warning_closed", "prevented"}:
        raise ValueError(f"dispute {dispute['id']} is already {was}")
    changes: Obj = {"status": status}
    gives_back = status == "won" and bool(dispute["balance_transactions"])
    if gives_back:
        back = balance_booking.book_dispute_reversal(state, dispute)
        changes["balance_transactions"] = [*dispute["balance_transactions"], back]
    dispute = state.change(dispute, **changes)
    state.emit("charge.dispute.updated", dispute, {"status": was})
    if gives_back:
        state.emit("charge.dispute.funds_reinstated", dispute)
    state.emit("charge.dispute.closed", dispute)
    _record_loss(state, dispute, was)
    return dispute


def _record_loss(state: AccountState, dispute: Obj, was: str) -> None:
    if dispute["status"] == "lost":
        state.ledger.record_loss(dispute["charge"], _lost_of_charge(state, dispute))
    elif was == "lost":
        state.ledger.record_loss(dispute["charge"], -_lost_of_charge(state, dispute))


def _lost_of_charge(state: AccountState, dispute: Obj) -> int:
    """In minor units of the charge: a dispute in another currency takes it whole."""
    charge = state.find("charges", dispute["charge"])
    amount: int = (dispute if dispute["currency"] == charge["currency"] else charge)["amount"]
    return amount
