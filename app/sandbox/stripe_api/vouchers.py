"""Vouchers (boleto, OXXO): the customer pays one at a bank or a shop, or lets it expire."""

from collections.abc import Callable

from app.sandbox.account import stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.stripe_errors import integer
from app.sandbox.stripe_api import intent_outcomes

_CURRENCY = {"boleto": "brl", "oxxo": "mxn"}
_DAYS_UNTIL_EXPIRY = 3
# Stripe's test e-mail addresses: a voucher's fate after so many seconds.
_FATES = {
    "succeed_immediately": (True, 0.0),
    "expire_immediately": (False, 0.0),
    "succeed_with_delay": (True, 180.0),
    "expire_with_delay": (False, 180.0),
}


def issue(state: AccountState, intent: Obj, method: Obj, options: Obj) -> Obj:
    """Gives the customer a voucher; nothing is charged before it is paid."""
    kind = method["type"]
    if intent["currency"] != _CURRENCY[kind]:
        message = f"The payment method `{kind}` takes the currency `{_CURRENCY[kind]}` only."
        raise stripe_errors.invalid(message, param="payment_method", payment_intent=intent)
    days = integer("expires_after_days", options.get("expires_after_days", _DAYS_UNTIL_EXPIRY))
    expires_at = state.clock.stamp() + days * 86400
    action = _next_action(kind, intent["id"], expires_at)
    intent = state.change(intent, status="requires_action", next_action=action)
    state.emit("payment_intent.requires_action", intent)
    state.clock.at(expires_at, lambda: _end_this(state, intent, expire))
    _seal_fate(state, intent, method)
    return intent


def _next_action(kind: str, intent_id: str, expires_at: int) -> Obj:
    url = f"https://payments.stripe.com/{kind}/voucher/{intent_id}"
    details: Obj = {"hosted_voucher_url": url, "number": "01010101010101010101010101010101"}
    if kind == "oxxo":
        details |= {"expires_after": expires_at}
    else:
        details |= {"expires_at": expires_at, "pdf": f"{url}/pdf"}
    return {"type": f"{kind}_display_details", f"{kind}_display_details": details}


def _seal_fate(state: AccountState, intent: Obj, method: Obj) -> None:
    email = method["billing_details"]["email"] or ""
    name = next((one for one in _FATES if one in email), None)
    if name is None:
        return
    is_paid, seconds = _FATES[name]
    state.clock.after(seconds, lambda: _end_this(state, intent, pay if is_paid else expire))


def _end_this(state: AccountState, issued: Obj, end: Callable[[AccountState, str], Obj]) -> None:
    """Ends this voucher, unless the intent has got another one, or is paid or canceled."""
    intent = state["payment_intents"].get(issued["id"])
    if intent is not None and intent["next_action"] == issued["next_action"]:
        end(state, issued["id"])


def pay(state: AccountState, intent_id: str) -> Obj:
    intent = _waiting(state, intent_id)
    method = state.find("payment_methods", intent["payment_method"])
    return intent_outcomes.succeed(state, intent, method, prefix="py")


def expire(state: AccountState, intent_id: str) -> Obj:
    intent = _waiting(state, intent_id)
    error = {
        "type": "invalid_request_error",
        "code": "payment_intent_payment_attempt_expired",
        "message": "The payment attempt has expired.",
        "payment_method": state.find("payment_methods", intent["payment_method"]),
    }
    return intent_outcomes.record_failure(state, intent, error)


def _waiting(state: AccountState, intent_id: str) -> Obj:
    intent = state.find("payment_intents", intent_id)
    action = (intent["next_action"] or {}).get("type", "")
    if intent["status"] != "requires_action" or not action.endswith("_display_details"):
        raise ValueError(f"{intent_id} waits for no voucher: it is {intent['status']}")
    return intent
