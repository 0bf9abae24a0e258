"""Checkout Sessions: pages at Stripe that a customer completes or lets expire."""

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import charge_amounts, cursor_pagination, line_items
from app.sandbox.stripe_api.metadata_merge import merge_metadata

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
    lifetime = {"expires_at": params["expires_at"]} if "expires_at" in params else {}
    return open_session(state, {**fields, **lifetime}, params.get("payment_intent_data") or {})


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
