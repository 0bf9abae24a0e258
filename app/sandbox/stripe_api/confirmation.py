"""One attempt to pay a PaymentIntent. It succeeds at most once, and money is taken only here."""

from dataclasses import dataclass

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.test_cards import BANK_DEBITS, CardDecline, Instrument
from app.sandbox.account.truth_ledger import TakenCharge
from app.sandbox.stripe_api import disputes_api


@dataclass(frozen=True, slots=True)
class ConfirmOptions:
    """The parameters of a confirm beside its payment method."""

    off_session: bool = False
    error_on_requires_action: bool = False
    return_url: str | None = None
    mandate: str | None = None
    has_mandate_data: bool = False


def attempt(state: AccountState, intent: Obj, options: ConfirmOptions) -> Obj:
    """The intent as succeeded, processing or requires_action; a refusal has changed it as well."""
    method = state.find("payment_methods", intent["payment_method"], param="payment_method")
    instrument = state.instruments[method["id"]]
    _check_preconditions(state, intent, method, options)
    if method["type"] in BANK_DEBITS:
        return _start_debit(state, intent, method, _mandate(state, intent, method, options))
    instrument.is_spent = True
    match instrument.next_step():
        case "succeed":
            return _succeed(state, intent, method)
        case "dispute":
            paid = _succeed(state, intent, method)
            disputes_api.open_for_charge(
                state, state.find("charges", paid["latest_charge"]), {"reason": "fraudulent"}
            )
            return paid
        case "authentication_required_on_setup" if instrument.is_set_up:
            return _succeed(state, intent, method)
        case "authentication_required" | "authentication_required_on_setup":
            return _authenticate(state, intent, method, options)
        case decline_code:
            raise _decline(state, intent, method, CardDecline(decline_code))


def finish_action(state: AccountState, intent: Obj, *, succeeded: bool) -> Obj:
    """Ends the 3-D Secure of an intent, for a customer who has come back from it."""
    method = state.find("payment_methods", intent["payment_method"])
    if succeeded:
        return _succeed(state, intent, method)
    message = (
        "The provided PaymentMethod has failed authentication. You can provide payment_method_data "
        "or a new one."
    )
    error = {
        "type": "invalid_request_error",
        "code": "payment_intent_authentication_failure",
        "message": message,
    }
    return _record_failure(state, intent, {**error, "payment_method": method})


def _check_preconditions(
    state: AccountState, intent: Obj, method: Obj, options: ConfirmOptions
) -> None:
    if method["customer"] is None and state.instruments[method["id"]].is_spent:
        intent = state.change(intent, status="requires_payment_method", payment_method=None)
        message = (
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
            "attachment, or was detached from a Customer. It may not be used again."
        )
        raise stripe_errors.invalid(message, payment_intent=intent)
    if intent["automatic_payment_methods"] is None and method["type"] not in _allowed_types(intent):
        message = (
            f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent. "
            f"It may be of these types: {', '.join(_allowed_types(intent))}."
        )
        raise stripe_errors.invalid(message, param="payment_method", payment_intent=intent)
    if intent["statement_descriptor"] and method["type"] == "card":
        message = (
            "The `statement_descriptor` parameter is not supported for card; use "
            "`statement_descriptor_suffix`."
        )
        raise stripe_errors.invalid(message, param="statement_descriptor", payment_intent=intent)
    if _needs_return_url(intent) and not options.return_url and not options.off_session:
        message = (
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. "
            "Because some of these might redirect your customer off of your page, you must provide "
            "a `return_url`."
        )
        raise stripe_errors.invalid(message, payment_intent=intent)


def _allowed_types(intent: Obj) -> list[str]:
    types: list[str] = intent["payment_method_types"]
    return types


def _needs_return_url(intent: Obj) -> bool:
    automatic = intent["automatic_payment_methods"] or {}
    return bool(automatic.get("enabled")) and automatic.get("allow_redirects") != "never"


def _succeed(state: AccountState, intent: Obj, method: Obj) -> Obj:
    charge = _new_charge(state, intent, method, prefix="ch")
    return _record_success(
        state, intent, state.add(charge, charge["payment_intent"], charge["customer"])
    )


def _new_charge(
    state: AccountState, intent: Obj, method: Obj, *, prefix: str, mandate: str | None = None
) -> Obj:
    return object_templates.charge(
        state.ids.new(prefix), state.clock.stamp(), intent, method, mandate
    )


def _record_success(state: AccountState, intent: Obj, charge: Obj) -> Obj:
    if intent["status"] == "succeeded":
        raise AssertionError("a PaymentIntent has at most one successful charge")
    charge = state.change(
        charge,
        status="succeeded",
        paid=True,
        amount_captured=charge["amount"],
        receipt_url=_receipt(charge),
    )
    intent = state.change(
        intent,
        status="succeeded",
        amount_received=intent["amount"],
        latest_charge=charge["id"],
        last_payment_error=None,
        next_action=None,
        processing=None,
    )
    state.ledger.record_charge(_taken_charge(state, intent, charge))
    state.emit("charge.succeeded", charge)
    state.emit("payment_intent.succeeded", intent)
    booked = state.change(charge, balance_transaction=state.ids.new("txn"))
    state.emit("charge.updated", booked, {"balance_transaction": None})
    return intent


def _receipt(charge: Obj) -> str:
    return f"https://pay.stripe.com/receipts/{charge['id']}"


def _taken_charge(state: AccountState, intent: Obj, charge: Obj) -> TakenCharge:
    """The ledger also holds a session's metadata, which Stripe does not copy to the intent."""
    sessions = state["sessions"].rows(intent["id"])
    metadata = {**(sessions[0]["metadata"] if sessions else {}), **charge["metadata"]}
    return TakenCharge(
        charge=charge["id"],
        payment_intent=intent["id"],
        customer=charge["customer"],
        amount=charge["amount"],
        currency=charge["currency"],
        metadata=metadata,
        at=state.clock.now(),
    )


def _authenticate(state: AccountState, intent: Obj, method: Obj, options: ConfirmOptions) -> Obj:
    if options.error_on_requires_action:
        raise _refuse_unattended(state, intent, method)
    if options.off_session:
        raise _decline(state, intent, method, CardDecline("authentication_required"))
    redirect = {
        "redirect_to_url": {"return_url": options.return_url, "url": _authentication_url(intent)},
        "type": "redirect_to_url",
    }
    action = (
        redirect
        if options.return_url
        else {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
    )
    intent = state.change(intent, status="requires_action", next_action=action)
    state.emit("payment_intent.requires_action", intent)
    return intent


def _authentication_url(intent: Obj) -> str:
    return f"https://hooks.stripe.com/3d_secure_2/hosted?payment_intent={intent['id']}"


def _refuse_unattended(
    state: AccountState, intent: Obj, method: Obj
) -> stripe_errors.StripeRefusal:
    """The refusal by error_on_requires_action: no charge is tried, and the decline code differs."""
    error = {
        "code": "authentication_required",
        "decline_code": "authentication_not_handled",
        "message": (
            "This payment required an authentication action to complete, but "
            "`error_on_requires_action` was set."
        ),
        "payment_method": method,
    }
    intent = _record_failure(state, intent, {"type": "card_error", **error})
    return stripe_errors.card_error({**error, "payment_intent": intent})


def _decline(
    state: AccountState, intent: Obj, method: Obj, decline: CardDecline
) -> stripe_errors.StripeRefusal:
    failure = {
        "status": "failed",
        "failure_code": decline.code,
        "failure_message": decline.message,
        "captured": False,
    }
    charge = {
        **_new_charge(state, intent, method, prefix="ch"),
        **failure,
        "outcome": object_templates.declined_outcome(decline),
    }
    state.add(charge, intent["id"], intent["customer"])
    error = {
        "advice_code": decline.advice_code,
        "charge": charge["id"],
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "network_advice_code": decline.network_advice_code,
        "network_decline_code": decline.network_decline_code,
        "param": decline.param,
        "payment_method": method,
    }
    known = {key: value for key, value in error.items() if value is not None}
    state.emit("charge.failed", charge)
    intent = _record_failure(
        state, intent, {**known, "type": "card_error"}, latest_charge=charge["id"]
    )
    return stripe_errors.card_error({**known, "payment_intent": intent})


def _record_failure(state: AccountState, intent: Obj, error: Obj, **changes: object) -> Obj:
    """Opens the intent for another method; only the error still names the refused one."""
    intent = state.change(
        intent,
        status="requires_payment_method",
        payment_method=None,
        last_payment_error=error,
        next_action=None,
        processing=None,
        **changes,
    )
    state.emit("payment_intent.payment_failed", intent)
    return intent


def _mandate(state: AccountState, intent: Obj, method: Obj, options: ConfirmOptions) -> str:
    """The mandate; without one the answer is 400 and the intent waits in requires_confirmation."""
    instrument = state.instruments[method["id"]]
    if options.has_mandate_data:
        instrument.mandate = new_mandate(state, method)
    mandate = options.mandate or instrument.mandate
    if mandate is None:
        intent = state.change(intent, status="requires_confirmation")
        message = (
            "This PaymentIntent requires a mandate, but no existing mandate was found for "
            f"{method['id']}. Collect one with a SetupIntent, or provide `mandate_data`."
        )
        raise stripe_errors.invalid(message, payment_intent=intent)
    return str(state.find("mandates", mandate, param="mandate")["id"])


def new_mandate(state: AccountState, method: Obj) -> str:
    return str(
        state.add(object_templates.mandate(state.ids.new("mandate"), state.clock.stamp(), method))[
            "id"
        ]
    )


def _start_debit(state: AccountState, intent: Obj, method: Obj, mandate: str) -> Obj:
    """Sets the intent to processing; the bank answers after a delay of the sandbox clock."""
    instrument: Instrument = state.instruments[method["id"]]
    _, _, failure = instrument.next_step().partition(":")
    charge = _new_charge(state, intent, method, prefix="py", mandate=mandate)
    charge = state.add({**charge, "status": "pending"}, intent["id"], intent["customer"])
    intent = state.change(
        intent,
        status="processing",
        latest_charge=charge["id"],
        processing={"type": method["type"]},
        last_payment_error=None,
    )
    state.emit("charge.pending", charge)
    state.emit("payment_intent.processing", intent)
    state.clock.after(
        state.delays.bank_debit,
        lambda: _apply_bank_answer(state, intent["id"], charge["id"], failure),
    )
    return intent


def _apply_bank_answer(state: AccountState, intent_id: str, charge_id: str, failure: str) -> None:
    intent, charge = state.find("payment_intents", intent_id), state.find("charges", charge_id)
    if not failure:
        _record_success(state, intent, charge)
        return
    charge = state.change(
        charge,
        status="failed",
        captured=False,
        failure_code=failure,
        failure_message="The payment failed.",
    )
    state.emit("charge.failed", charge)
    _record_failure(state, intent, _bank_error(state, charge, failure))


def _bank_error(state: AccountState, charge: Obj, failure: str) -> Obj:
    """Unlike a card's error, ACH's has the reason in `code` and a generic decline_code."""
    method = state.find("payment_methods", charge["payment_method"])
    is_ach = method["type"] == "us_bank_account"
    return {
        "type": "card_error",
        "charge": charge["id"],
        "code": failure if is_ach else "payment_intent_payment_attempt_failed",
        "decline_code": "generic_decline",
        "message": "The payment failed.",
        "payment_method": method,
    }
