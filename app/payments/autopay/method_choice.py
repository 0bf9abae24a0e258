"""The payment method that an invoice is charged to: the client's own, or the one at Stripe."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.payments.autopay import eligibility
from app.payments.autopay.asked_methods import MethodSource
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.eligibility import ChosenMethod, Skip
from app.payments.stripe.gateway import NoAnswer, RequestRefused, StripeRateLimited
from app.payments.stripe.stripe_objects import method_version, reference
from app.rules import money
from app.rules.autopay_rule import MethodChoice, MethodRule
from app.rules.retry import BANK_DEBITS


async def choose_payment_method(gateway: MethodSource, one: Candidate) -> ChosenMethod | Skip:
    """The payment method to charge: the rule's, else the client's own, else the default."""
    try:
        method = await _rule_method(gateway, one) or await find_method(gateway, one)
        over = await _over_card_max(gateway, one, method) if method else None
    except RequestRefused as error:
        return Skip(
            f"the payment method is not known at Stripe: {error}",
            fault=error.code,
            change="a payment method of the client's that Stripe knows",
        )
    except (NoAnswer, StripeRateLimited) as error:
        return Skip(
            f"Stripe was asked for the payment method and did not say: {error}",
            change="Stripe's answer, in the next run",
        )
    if method is None:
        return Skip(
            "the client has no payment method, at Stripe neither",
            change="a payment method that is saved for the client's customer",
        )
    return over or replace(method, rule_key=method_key(one))


def method_key(one: Candidate) -> str | None:
    """The wish of an invoice's rule about the payment method, as text; None for no wish.

    Invoices with the same wish may be charged together.
    """
    rule = method_rule(one)
    if rule is None or rule == MethodRule():
        return None
    max_ = "" if rule.card_max is None else f" card_max={'over' if _is_over(one, rule) else 'ok'}"
    return f"{rule.choice} {rule.payment_method_id or ''}{max_}"


def method_rule(one: Candidate) -> MethodRule | None:
    rule = one.ruling.decision.rule if one.ruling else None
    return rule.method if rule else None


def _is_over(one: Candidate, rule: MethodRule) -> bool:
    return rule.card_max is not None and one.amount > rule.card_max


async def _rule_method(gateway: MethodSource, one: Candidate) -> ChosenMethod | None:
    """The method that the rule names, or a bank debit that it prefers and the client has."""
    rule = method_rule(one)
    if rule is None or one.customer_id is None:
        return None
    if rule.payment_method_id is not None:
        shown = await gateway.payment_method(rule.payment_method_id)
        _assert_attached(shown, rule.payment_method_id, one)
        return ChosenMethod(rule.payment_method_id, method_version(shown), by_rule=True)
    if rule.choice == MethodChoice.BANK:
        return await _bank_debit(gateway, one.customer_id)
    return None


async def _bank_debit(gateway: MethodSource, customer_id: str) -> ChosenMethod | None:
    """The bank debit that was saved last, or None."""
    for shown in await gateway.payment_methods(customer_id):
        if shown.get("type") in BANK_DEBITS:
            return ChosenMethod(str(shown["id"]), method_version(shown), by_rule=True)
    return None


async def _over_card_max(
    gateway: MethodSource, one: Candidate, method: ChosenMethod
) -> ChosenMethod | Skip | None:
    """Another method, or a reason to skip, where the rule does not let a card pay so much."""
    rule = method_rule(one)
    if rule is None or rule.card_max is None or not _is_over(one, rule):
        return None
    shown = await gateway.payment_method(method.id)
    if shown.get("type") in BANK_DEBITS:
        return None
    assert one.customer_id is not None, "clients without a customer have no method"
    bank = await _bank_debit(gateway, one.customer_id)
    if bank is not None:
        return replace(bank, rule_key=method_key(one))
    most = f"{money.text(rule.card_max, one.currency)} {one.currency}"
    name = one.ruling.decision.rule_name if one.ruling else None
    return Skip(
        f"the rule {name!r} lets a card pay {most} at most, and no bank debit is saved",
        change="a bank debit that is saved for the client's customer, or another rule",
    )


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
    _assert_attached(shown, method_id, one)
    return ChosenMethod(method_id, method_version(shown))


def _assert_attached(shown: Mapping[str, Any], method_id: str, one: Candidate) -> None:
    if reference(shown.get("customer")) != one.customer_id:
        raise RequestRefused(
            "payment_method_detached", f"{method_id} is not attached to {one.customer_id}"
        )
