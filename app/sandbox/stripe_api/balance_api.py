"""The account's balance, and the transactions that make it up."""

from collections import defaultdict

from app.sandbox.account import money_templates
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import balance_booking, cursor_pagination


def retrieve(state: AccountState, params: Obj) -> Obj:
    sums: dict[str, defaultdict[str, int]] = {
        "available": defaultdict(int),
        "pending": defaultdict(int),
    }
    for one in balance_booking.unpaid(state):
        sums[one["status"]][one["currency"]] += one["net"]
    currencies = sorted(sums["available"].keys() | sums["pending"].keys()) or ["usd"]
    return money_templates.balance(
        {name: {currency: by[currency] for currency in currencies} for name, by in sums.items()}
    )


def list_page(state: AccountState, params: Obj) -> Obj:
    """Only an automatic payout knows which transactions it paid."""
    balance_booking.unpaid(state)
    return cursor_pagination.list_objects(
        state,
        "balance_transactions",
        params,
        "/v1/balance_transactions",
        "source",
        "type",
        "currency",
        among=params.get("payout"),
    )


def retrieve_transaction(state: AccountState, params: Obj, transaction_id: str) -> Obj:
    balance_booking.unpaid(state)
    return state.find("balance_transactions", transaction_id)
