"""One attempt to pay a PaymentIntent: the checks before it, and the way that its method takes."""

from dataclasses import dataclass, field

from app.sandbox.account import stripe_errors
from app.sandbox.account.account_state import AccountState
from app.sandbox.account.card_declines import CardDecline
from app.sandbox.account.instruments import BANK_DEBITS, BANK_TRANSFER, VOUCHERS
from app.sandbox.account.object_templates import Obj
from app.sandbox.stripe_api import (
    bank_debits,
    bank_transfers,
    captures,
    disputes_api,
    fraud_warnings_api,
    intent_outcomes,
    microdeposits,
    vouchers,
)

AUTHENTICATIONS = ("redirect_to_url", "use_stripe_sdk")


@dataclass(frozen=True, slots=True)
class ConfirmOptions:
    """The parameters of a confirm beside its payment method."""

    off_session: bool = False
    error_on_requires_action: bool = False
    return_url: str | None = None
    mandate: str | None = None
    has_mandate_data: bool = False
    method_options: Obj = field(default_factory=dict)

    def of_type(self, kind: str) -> Obj:
        options: Obj = self.method_options.get(kind) or {}
        return options


def attempt(state: AccountState, intent: Obj, options: ConfirmOptions) -> Obj:
    """The intent as succeeded, processing or requires_action; a refusal has changed it as well."""
    method = state.find("payment_methods", intent["payment_method"], param="payment_method")
    _check_preconditions(state, intent, method, options)
    match method["type"]:
        case kind if kind in BANK_DEBITS:
            return _debit(state, intent, method, options)
        case kind if kind in VOUCHERS:
            return vouchers.issue(state, intent, method, options.of_type(kind))
        case kind if kind == BANK_TRANSFER:
            return bank_transfers.start(state, intent)
        case _:
            return _pay_at_once(state, intent, method, options)


def _debit(state: AccountState, intent: Obj, method: Obj, options: ConfirmOptions) -> Obj:
    instrument = state.instruments[method["id"]]
    if options.of_type(method["type"]).get("verification_method") == "skip":
        instrument.is_verified = True
    mandate = bank_debits.mandate_of(
        state, intent, method, options.mandate, has_mandate_data=options.has_mandate_data
    )
    if not instrument.is_verified:
        return microdeposits.wait_for_verification(state, intent, method)
    return bank_debits.start(state, intent, method, mandate)


def _pay_at_once(state: AccountState, intent: Obj, method: Obj, options: ConfirmOptions) -> Obj:
    instrument = state.instruments[method["id"]]
    instrument.is_spent = True
    match instrument.next_step():
        case "succeed":
            return _succeed(state, intent, method)
        case "dispute" | "inquiry" | "fraud_warning" as step:
            paid = _succeed(state, intent, method)
            if paid["status"] == "succeeded":
                _doubt(state, state.find("charges", paid["latest_charge"]), step)
            return paid
        case "authentication_required_on_setup" if instrument.is_set_up:
            return _succeed(state, intent, method)
        case "authentication_required" | "authentication_required_on_setup":
            return _authenticate(state, intent, method, options)
        case step if step.startswith("authentication_then:"):
            return _authenticate(state, intent, method, options)
        case decline_code:
            declined = CardDecline(decline_code, method["type"])
            raise intent_outcomes.decline(state, intent, method, declined)


def _doubt(state: AccountState, charge: Obj, step: str) -> None:
    match step:
        case "dispute":
            disputes_api.open_for_charge(state, charge, {"reason": "fraudulent"})
        case "inquiry":
            inquiry = {"reason": "fraudulent", "status": "warning_needs_response"}
            disputes_api.open_for_charge(state, charge, inquiry)
        case _:
            fraud_warnings_api.warn(state, charge, "made_with_stolen_card")


def _succeed(state: AccountState, intent: Obj, method: Obj) -> Obj:
    if intent["capture_method"] == "manual":
        return captures.hold(state, intent, method)
    return intent_outcomes.succeed(state, intent, method)


def receive(state: AccountState, intent: Obj) -> Obj:
    """Money that came by itself pays the intent, without any attempt before it."""
    method = state.find("payment_methods", intent["payment_method"])
    return intent_outcomes.succeed(state, intent, method, prefix="py")


def finish_action(state: AccountState, intent: Obj, *, succeeded: bool) -> Obj:
    """Ends the 3-D Secure of an intent, for a customer who has come back from it."""
    if (intent["next_action"] or {}).get("type") not in AUTHENTICATIONS:
        raise ValueError(f"{intent['id']} waits for no authentication")
    method = state.find("payment_methods", intent["payment_method"])
    if succeeded and (code := state.instruments[method["id"]].step_after_authentication):
        intent_outcomes.decline(state, intent, method, CardDecline(code))
        return state.find("payment_intents", intent["id"])
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
    return intent_outcomes.record_failure(state, intent, {**error, "payment_method": method})


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


def _authenticate(state: AccountState, intent: Obj, method: Obj, options: ConfirmOptions) -> Obj:
    if options.error_on_requires_action:
        raise _refuse_unattended(state, intent, method)
    if options.off_session:
        raise intent_outcomes.decline(state, intent, method, CardDecline("authentication_required"))
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
    intent = intent_outcomes.record_failure(state, intent, {"type": "card_error", **error})
    return stripe_errors.card_error({**error, "payment_intent": intent})
