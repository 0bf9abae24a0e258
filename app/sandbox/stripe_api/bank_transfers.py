"""Bank transfers: money comes into the customer's cash balance, in one part or in several."""

from app.sandbox.account import money_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import charge_amounts, intent_outcomes

_ACTION = "display_bank_transfer_instructions"
_TYPES = {
    "usd": "us_bank_transfer",
    "eur": "eu_bank_transfer",
    "gbp": "gb_bank_transfer",
    "jpy": "jp_bank_transfer",
    "mxn": "mx_bank_transfer",
}


def start(state: AccountState, intent: Obj) -> Obj:
    """Shows where to send the money, and takes what the cash balance already holds."""
    if intent["customer"] is None or intent["currency"] not in _TYPES:
        message = (
            "A bank transfer needs a `customer`, and a currency of these: "
            f"{', '.join(sorted(_TYPES))}."
        )
        raise stripe_errors.invalid(message, payment_intent=intent)
    intent = state.change(
        intent, status="requires_action", next_action=_instructions(state, intent, 0)
    )
    state.emit("payment_intent.requires_action", intent)
    return _apply_balance(state, intent)


def _instructions(state: AccountState, intent: Obj, received: int) -> Obj:
    details = {
        "amount_remaining": intent["amount"] - received,
        "currency": intent["currency"],
        "financial_addresses": [],
        "hosted_instructions_url": f"https://payments.stripe.com/bank_transfer/{intent['id']}",
        "reference": intent["id"][-12:].upper(),
        "type": _TYPES[intent["currency"]],
    }
    return {"type": _ACTION, _ACTION: details}


def fund(state: AccountState, params: Obj, customer_id: str) -> Obj:
    """POST /v1/test_helpers/customers/{id}/fund_cash_balance: the oldest intents are paid first."""
    customer = state.living_customer(customer_id)
    currency = charge_amounts.known_currency(params["currency"])
    key = (customer["id"], currency)
    state.cash[key] = state.cash.get(key, 0) + params["amount"]
    made = money_templates.cash_balance_transaction(
        state.ids.new("ccsbtxn"),
        state.clock.stamp(),
        customer["id"],
        {
            "currency": currency,
            "net_amount": params["amount"],
            "ending_balance": state.cash[key],
        },
    )
    state.emit("customer_cash_balance_transaction.created", made)
    for intent in state["payment_intents"].rows(customer["id"]):
        if is_waiting(intent) and intent["currency"] == currency:
            _apply_balance(state, intent)
    return made


def is_waiting(intent: Obj) -> bool:
    return intent["status"] == "requires_action" and _ACTION in (intent["next_action"] or {})


def _apply_balance(state: AccountState, intent: Obj) -> Obj:
    key = (intent["customer"], intent["currency"])
    part = min(intent["amount"] - intent["amount_received"], state.cash.get(key, 0))
    if not part:
        return intent
    state.cash[key] -= part
    received = intent["amount_received"] + part
    if received == intent["amount"]:
        method = state.find("payment_methods", intent["payment_method"])
        return intent_outcomes.succeed(state, intent, method, prefix="py")
    intent = state.change(
        intent, amount_received=received, next_action=_instructions(state, intent, received)
    )
    state.emit("payment_intent.partially_funded", intent)
    return intent


def give_back(state: AccountState, intent: Obj) -> Obj:
    """A canceled intent returns the parts it had got to the customer's cash balance."""
    if not is_waiting(intent) or not intent["amount_received"]:
        return intent
    key = (intent["customer"], intent["currency"])
    state.cash[key] = state.cash.get(key, 0) + intent["amount_received"]
    return state.change(intent, amount_received=0)


def cash_balance(state: AccountState, params: Obj, customer_id: str) -> Obj:
    state.living_customer(customer_id)
    available = {
        currency: amount for (owner, currency), amount in state.cash.items() if owner == customer_id
    }
    return money_templates.cash_balance(customer_id, available)
