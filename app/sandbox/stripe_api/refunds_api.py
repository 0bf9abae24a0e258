"""Refunds: partial or full, at once or later, and some fail after all."""

from app.sandbox.account import money_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import balance_booking, cursor_pagination, fraud_warnings_api
from app.sandbox.stripe_api.metadata_merge import merge_metadata

# The first status of each outcome, and the last one, which comes after a delay.
_COURSES: dict[str, tuple[str, str | None]] = {
    "succeeded": ("succeeded", None),
    "pending": ("pending", "succeeded"),
    "pending_fails": ("pending", "failed"),
    "pending_canceled": ("pending", "canceled"),
    "fails": ("succeeded", "failed"),
    "requires_action": ("requires_action", None),
}
OUTCOMES = tuple(_COURSES)
_FAILURE = "lost_or_stolen_card"
_TAKEN_BACK = frozenset({"failed", "canceled"})


def create(state: AccountState, params: Obj, outcome: str | None = None) -> Obj:
    """Refunds with the outcome that the payment method prescribes, or the given one."""
    charge = _charge(state, params)
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise stripe_errors.invalid(
            f"This PaymentIntent ({charge['payment_intent']}) does not have a successful charge to "
            "refund."
        )
    if charge["refunded"]:
        raise stripe_errors.invalid(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if _is_charged_back(state, charge):
        raise stripe_errors.invalid(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    remaining = charge["amount_captured"] - charge["amount_refunded"]
    amount = params.get("amount", remaining)
    if amount < 1:
        raise stripe_errors.malformed(
            "Invalid positive integer", param="amount", code="parameter_invalid_integer"
        )
    if amount > remaining:
        message = (
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({remaining})"
        )
        raise stripe_errors.invalid(message, param="amount")
    fields = {
        "amount": amount,
        "reason": params.get("reason"),
        "metadata": merge_metadata({}, params.get("metadata")),
    }
    return _issue(
        state, charge, fields, outcome or state.instruments[charge["payment_method"]].refund
    )


def _charge(state: AccountState, params: Obj) -> Obj:
    """The charge that was named, or the latest one of the named intent."""
    if "charge" in params:
        return state.find("charges", params["charge"], param="charge")
    if "payment_intent" not in params:
        raise stripe_errors.malformed(
            "One of the following params should be provided for this request: payment_intent or "
            "charge."
        )
    intent = state.find("payment_intents", params["payment_intent"], param="payment_intent")
    if intent["latest_charge"] is None:
        raise stripe_errors.invalid(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        )
    return state.find("charges", intent["latest_charge"])


def _is_charged_back(state: AccountState, charge: Obj) -> bool:
    disputes = state["disputes"].rows(charge["id"])
    return any(
        not one["is_charge_refundable"] and one["status"] not in {"won", "prevented"}
        for one in disputes
    )


def _issue(state: AccountState, charge: Obj, fields: Obj, outcome: str) -> Obj:
    """Books the money as refunded at once; a failed or canceled refund takes it back."""
    first, last = _COURSES[outcome]
    made = money_templates.refund(
        state.ids.new("re"), state.clock.stamp(), charge, {**fields, "status": first}
    )
    made["balance_transaction"] = balance_booking.book_refund(state, made)
    refund = state.add(made, made["payment_intent"], made["charge"], made["customer"])
    charge = _add_to_charge(state, charge["id"], refund["amount"])
    state.ledger.record_refund(charge["id"], refund["amount"])
    state.emit("refund.created", refund)
    state.emit("charge.refunded", charge)
    if charge["refunded"]:
        fraud_warnings_api.close_for(state, charge["id"])
    if last is not None:
        state.clock.after(state.delays.refund, lambda: _end_if(state, refund["id"], first, last))
    return refund


def _end_if(state: AccountState, refund_id: str, expected: str, status: str) -> None:
    """Ends the refund by its timer, unless a test has ended it before."""
    refund = state["refunds"].get(refund_id)
    if refund is not None and refund["status"] == expected:
        _finish(state, refund_id, status, _FAILURE)


def end_as(
    state: AccountState, refund_id: str, status: str, failure_reason: str | None = None
) -> Obj:
    """The bank's word: succeeded, failed or canceled; a refund that succeeded may still fail."""
    was = state.find("refunds", refund_id)["status"]
    if status not in {"succeeded", *_TAKEN_BACK}:
        raise ValueError(f"unknown end of a refund: {status}")
    if was == status or was in _TAKEN_BACK or (was == "succeeded" and status == "canceled"):
        raise ValueError(f"refund {refund_id} is already {was}")
    return _finish(state, refund_id, status, failure_reason or _FAILURE)


def _add_to_charge(state: AccountState, charge_id: str, amount: int) -> Obj:
    charge = state.find("charges", charge_id)
    refunded = charge["amount_refunded"] + amount
    refunds = state["refunds"].rows(charge_id)[::-1]
    shown = {**charge["refunds"], "data": refunds}
    return state.change(
        charge,
        amount_refunded=refunded,
        refunded=refunded >= charge["amount_captured"],
        refunds=shown,
    )


def _finish(state: AccountState, refund_id: str, status: str, failure_reason: str) -> Obj:
    """A late success changes only the status; a failure gives the amount back to the charge."""
    refund = state.find("refunds", refund_id)
    changes: Obj = {"status": status}
    if status in _TAKEN_BACK:
        changes["failure_balance_transaction"] = balance_booking.book_refund_failure(state, refund)
    if status == "failed":
        changes["failure_reason"] = failure_reason
    previous = {name: refund.get(name) for name in changes}
    refund = state.change(refund, **changes)
    taken_back = refund["amount"] if status in _TAKEN_BACK else 0
    _add_to_charge(state, refund["charge"], -taken_back)
    state.ledger.record_refund(refund["charge"], -taken_back)
    state.emit("refund.updated", refund, previous)
    state.emit("charge.refund.updated", refund, previous)
    if status == "failed":
        state.emit("refund.failed", refund)
    return refund


def retrieve(state: AccountState, params: Obj, refund_id: str) -> Obj:
    return state.find("refunds", refund_id)


def update(state: AccountState, params: Obj, refund_id: str) -> Obj:
    refund = state.find("refunds", refund_id)
    previous = {"metadata": refund["metadata"]}
    refund = state.change(
        refund, metadata=merge_metadata(refund["metadata"], params.get("metadata"))
    )
    state.emit("refund.updated", refund, previous)
    return refund


def cancel(state: AccountState, params: Obj, refund_id: str) -> Obj:
    """Only a refund that waits for the customer can be canceled."""
    refund = state.find("refunds", refund_id)
    if refund["status"] != "requires_action":
        raise stripe_errors.invalid(
            f"Refund {refund_id} cannot be canceled because its status is {refund['status']}."
        )
    return _finish(state, refund_id, "canceled", _FAILURE)


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(
        state, "refunds", params, "/v1/refunds", "payment_intent", "charge"
    )
