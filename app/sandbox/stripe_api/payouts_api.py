"""Payouts: the available balance goes to the bank account, arrives days later, or fails."""

from app.sandbox.account import money_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import balance_booking, charge_amounts, cursor_pagination
from app.sandbox.stripe_api.metadata_merge import merge_metadata


def create(state: AccountState, params: Obj) -> Obj:
    """A payout by hand takes any part of what is available."""
    currency = charge_amounts.known_currency(params["currency"])
    available = _sum(_available(state, currency))
    if params["amount"] > available:
        message = f"You have insufficient funds in your Stripe account: {available} are available."
        raise stripe_errors.invalid(message, code="balance_insufficient")
    fields: Obj = {"automatic": False, "reconciliation_status": "not_applicable"}
    fields["metadata"] = merge_metadata({}, params.get("metadata"))
    return _send(state, params["amount"], currency, fields)


def pay_everything(state: AccountState, currency: str) -> Obj:
    """The automatic payout of all that is available, which knows its transactions."""
    paid = _available(state, currency)
    if _sum(paid) <= 0:
        raise ValueError(f"nothing in {currency} is available")
    payout = _send(state, _sum(paid), currency, {})
    settled = {one["id"] for one in paid} | {payout["balance_transaction"]}
    for transaction_id in settled:
        state["balance_transactions"].index(transaction_id, payout["id"])
    state.unpaid_transactions = [one for one in state.unpaid_transactions if one not in settled]
    return payout


def _available(state: AccountState, currency: str) -> list[Obj]:
    found = balance_booking.unpaid(state, currency)
    return [one for one in found if one["status"] == "available"]


def _sum(transactions: list[Obj]) -> int:
    return sum(one["net"] for one in transactions)


def _send(state: AccountState, amount: int, currency: str, fields: Obj) -> Obj:
    arrival = state.clock.stamp() + state.delays.payout
    own = {"amount": amount, "currency": currency, "arrival_date": arrival, **fields}
    payout = money_templates.payout(state.ids.new("po"), state.clock.stamp(), own)
    payout = {**payout, "balance_transaction": balance_booking.book_payout(state, payout)}
    state.add(payout, payout["balance_transaction"])
    state.emit("payout.created", payout)
    state.clock.at(arrival, lambda: _arrive(state, payout["id"]))
    return payout


def _arrive(state: AccountState, payout_id: str) -> None:
    payout = state["payouts"].get(payout_id)
    if payout is not None and payout["status"] == "in_transit":
        end_as(state, payout_id, "paid", None)


def end_as(state: AccountState, payout_id: str, status: str, failure_code: str | None) -> Obj:
    """The bank takes the payout, or sends it back, even days after it was paid."""
    payout = state.find("payouts", payout_id)
    was = payout["status"]
    if status not in {"paid", "failed"} or was in {status, "failed"}:
        raise ValueError(f"{payout_id} is {was} and cannot become {status}")
    changes: Obj = {"status": status}
    if status == "failed":
        changes |= {
            "failure_code": failure_code or "account_closed",
            "failure_message": "The bank account has been closed.",
            "failure_balance_transaction": balance_booking.book_payout_failure(state, payout),
        }
    payout = state.change(payout, **changes)
    state.emit(f"payout.{status}", payout)
    return payout


def retrieve(state: AccountState, params: Obj, payout_id: str) -> Obj:
    return state.find("payouts", payout_id)


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(state, "payouts", params, "/v1/payouts", "status")
