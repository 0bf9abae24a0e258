"""Checkout Sessions: pages at Stripe that a customer completes or lets expire."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import charge_amounts, cursor_pagination, line_items
from app.sandbox.stripe_api.metadata_merge import merge_metadata

_LIFE_MIN_S, _LIFE_MAX_S = 30 * 60, 24 * 3600
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
    currency, total = line_items.total(params.get("line_items"))
    charge_amounts.validate(total, currency)
    fields: Obj = {name: params[name] for name in _COPIED if name in params}
    fields |= {"amount_subtotal": total, "amount_total": total, "currency": currency}
    fields["metadata"] = merge_metadata({}, params.get("metadata"))
    lifetime = {"expires_at": _ends_at(state, params)} if "expires_at" in params else {}
    return open_session(state, {**fields, **lifetime}, params.get("payment_intent_data") or {})


def _ends_at(state: AccountState, params: Obj) -> int:
    """Between half an hour and a day from now, as Stripe has it."""
    ends_at = int(params["expires_at"])
    left = ends_at - state.clock.stamp()
    for is_wrong, bound in (
        (left < _LIFE_MIN_S, "at least 30 minutes"),
        (left > _LIFE_MAX_S, "less than 24 hours"),
    ):
        if is_wrong:
            message = f"The `expires_at` timestamp must be {bound} from Checkout Session creation."
            raise stripe_errors.invalid(message, param="expires_at")
    return ends_at


def open_session(state: AccountState, fields: Obj, intent_data: Obj) -> Obj:
    """A new page; `intent_data` is for the PaymentIntent that it will make."""
    now = state.clock.stamp()
    session_id = f"cs_test_{state.ids.text('cs', 58)}"
    made = object_templates.checkout_session(
        session_id, now, {"expires_at": now + state.delays.checkout, **fields}
    )
    session = state.add(made, made["customer"], made["payment_link"])
    state.checkout_intents[session_id] = intent_data
    state.ledger.record_maker(session_id, state.cause.api_key)
    state.clock.at(session["expires_at"], lambda: _expire_if_open(state, session_id))
    return session


def retrieve(state: AccountState, params: Obj, session_id: str) -> Obj:
    return state.find("sessions", session_id)


def list_page(state: AccountState, params: Obj) -> Obj:
    return cursor_pagination.list_objects(
        state,
        "sessions",
        params,
        "/v1/checkout/sessions",
        "payment_intent",
        "customer",
        "payment_link",
        "status",
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
