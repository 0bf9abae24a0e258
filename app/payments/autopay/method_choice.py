"""The payment method that an invoice is charged to: the client's own, or the one at Stripe."""

from app.payments.autopay import eligibility
from app.payments.autopay.asked_methods import MethodSource
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.eligibility import ChosenMethod, Skip
from app.payments.stripe.gateway import NoAnswer, RequestRefused, StripeRateLimited
from app.payments.stripe.stripe_objects import method_version, reference


async def choose_payment_method(gateway: MethodSource, one: Candidate) -> ChosenMethod | Skip:
    """The payment method to charge: the client's own, else the Stripe customer's default."""
    try:
        method = await find_method(gateway, one)
    except RequestRefused as error:
        return Skip(f"the payment method is not known at Stripe: {error}", fault=error.code)
    except (NoAnswer, StripeRateLimited) as error:
        return Skip(f"Stripe was asked for the payment method and did not say: {error}")
    return method or Skip("the client has no payment method, at Stripe neither")


async def find_method(gateway: MethodSource, one: Candidate) -> ChosenMethod | None:
    """The client's own, which a person set; else the default at Stripe; else the newest saved."""
    if one.payment_method_id is not None:
        return await _own_method(gateway, one, one.payment_method_id)
    if one.customer_id is None:
        return None
    default = await gateway.default_method(one.customer_id)
    if default is not None:
        return ChosenMethod(str(default["id"]), method_version(default))
    if one.saved_method_id is not None:
        return await _own_method(gateway, one, one.saved_method_id)
    return None


async def _own_method(gateway: MethodSource, one: Candidate, method_id: str) -> ChosenMethod:
    """The method of that id; after a no, as Stripe shows it now, or RequestRefused."""
    if not eligibility.has_verdict(one):
        return ChosenMethod(method_id)
    shown = await gateway.payment_method(method_id)
    if reference(shown.get("customer")) != one.customer_id:
        raise RequestRefused(
            "payment_method_detached", f"{method_id} is not attached to {one.customer_id}"
        )
    return ChosenMethod(method_id, method_version(shown))
