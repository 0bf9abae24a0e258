"""Checkout Sessions: pages at Stripe that a customer completes or lets expire."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import charge_amounts, cursor_pagination
from app.sandbox.stripe_api.customers_api import merge_metadata

_COPIED = (
    "success_url cancel_url client_reference_id customer customer_email payment_method_types "
    "ui_mode locale submit_type customer_creation"
).split()


def create(state: AccountState, params: Obj) -> Obj:
    """A session has no PaymentIntent before the customer pays; only price_data lines are known."""
    if params.get("mode", "payment") != "payment":
        raise stripe_errors.invalid(
            f"This sandbox offers mode=payment, not {params['mode']}.", param="mode"
        )
    if params.get("customer"):
        state.living_customer(params["customer"], param="customer")
    currency, total = _total(params.get("line_items"))
    charge_amounts.validate(total, currency)
    now = state.clock.stamp()
    fields: Obj = {name: params[name] for name in _COPIED if name in params}
    fields |= {"amount_subtotal": total, "amount_total": total, "currency": currency}
    fields |= {
        "metadata": merge_metadata({}, params.get("metadata")),
        "expires_at": params.get("expires_at", now + state.delays.checkout),
    }
    session_id = f"cs_test_{state.ids.text('cs', 58)}"
    session = state.add(
        object_templates.checkout_session(session_id, now, fields), params.get("customer")
    )
    state.checkout_intents[session_id] = params.get("payment_intent_data") or {}
    state.clock.at(session["expires_at"], lambda: _expire_if_open(state, session_id))
    return session


def _total(lines: object) -> tuple[str, int]:
    if not isinstance(lines, list) or not lines:
        raise stripe_errors.malformed(
            "Missing required param: line_items.", param="line_items", code="parameter_missing"
        )
    prices = [_price(line, at) for at, line in enumerate(lines)]
    currencies = {currency for currency, _ in prices}
    if len(currencies) > 1:
        raise stripe_errors.invalid(
            "All line items must have the same currency.", param="line_items"
        )
    return currencies.pop(), sum(amount for _, amount in prices)


def _price(line: Obj, at: int) -> tuple[str, int]:
    if "price" in line:
        raise stripe_errors.missing(
            "price", line["price"], param=f"line_items[{at}][price]", in_path=False
        )
    price = line.get("price_data") or {}
    if "currency" not in price or "unit_amount" not in price:
        param = f"line_items[{at}][price_data]"
        raise stripe_errors.malformed(
            f"Missing required param: {param}.", param=param, code="parameter_missing"
        )
    try:
        return price["currency"].lower(), int(price["unit_amount"]) * int(line.get("quantity", 1))
    except ValueError:
        param = f"line_items[{at}]"
        raise stripe_errors.malformed(
            "Invalid integer", param=param, code="parameter_invalid_integer"
        ) from None


def retrieve(state: AccountState, params: Obj, session_id: str) -> Obj:
    return state.find("sessions", session_id)


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(
        state, "sessions", params, "/v1/checkout/sessions", "payment_intent", "customer", "status"
    )


def expire(state: AccountState, params: Obj, session_id: str) -> Obj:
    session = state.find("sessions", session_id)
    if session["status"] != "open":
        message = (
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of `{session['status']}`."
        )
        raise stripe_errors.invalid(message)
    return _expire(state, session)


def _expire_if_open(state: AccountState, session_id: str) -> None:
    session = state.find("sessions", session_id)
    if session["status"] == "open":
        _expire(state, session)


def _expire(state: AccountState, session: Obj) -> Obj:
    session = state.change(session, status="expired", url=None)
    state.emit("checkout.session.expired", session)
    return session
