"""Our own charges, by Stripe's records: once, of what is due, and not again where that is useless.

An intent is ours when it carries the number of an attempt and our installation's name.
"""

from collections import Counter
from typing import Any

from app.rules import money
from app.rules.claim import INSTALLATION_KEY
from app.rules.consolidation import shares_in
from tests.simulation import visitors
from tests.simulation.world import World

_MILLIONTHS = 10**6
_MOVES_MONEY = ("processing", "succeeded")
# After these codes no later try of the same method can succeed, by Stripe's own documentation.
_HOPELESS = frozenset({"stolen_card", "authentication_required", "account_closed"})


def is_ours(w: World, thing: Any) -> bool:
    """Whether we made this intent, or the intent of this charge."""
    named: str | None = thing["metadata"].get(INSTALLATION_KEY)
    return "attempt" in thing["metadata"] and named == w.node.installation


def is_taken_by_us(w: World, metadata: Any) -> bool:
    """Whether a charge is of an attempt of ours, or of what we made for the customer to pay."""
    by_us = "attempt" in metadata or visitors.is_of_customer(metadata)
    return by_us and metadata.get(INSTALLATION_KEY) == w.node.installation


def shares_of(thing: Any) -> dict[int, int]:
    """The invoices that an intent or a charge of ours is for, each with its minor units."""
    metadata = thing["metadata"]
    return shares_in(metadata) or {int(metadata["invoice_id"]): thing["amount"]}


def paid_by_client(w: World) -> set[int]:
    """The invoices whose declined intents their clients have paid."""
    intents = w.sandbox.state["payment_intents"]
    return {invoice for one in w.paid_by_client for invoice in shares_of(intents.get(one))}


def check(w: World) -> None:
    """Checks the charges that were made since the last look."""
    _check_taken_once(w)
    _check_what_was_due(w)
    _check_retries(w)


def _check_taken_once(w: World) -> None:
    """Paydue takes the money of an invoice once, whatever was given back since."""
    taken = Counter(
        invoice
        for one in w.sandbox.ledger.charges()
        if is_taken_by_us(w, one.metadata)
        for invoice in shares_of({"metadata": one.metadata, "amount": one.amount})
    )
    twice = {invoice: times for invoice, times in taken.items() if times > 1}
    assert not twice, f"collected more than once: {twice}"


def _check_what_was_due(w: World) -> None:
    """A charge is of the amount that was due before the step that made it.

    Less of an invoice that others pay too: the run asks Stripe for their payments first.
    """
    intents = w.sandbox.state["payment_intents"]
    others = {int(intents.get(one)["metadata"]["invoice_id"]) for one in w.aside}
    others |= {w.told_of[one] for one in w.assigned}
    for intent in intents.rows():
        is_new = intent["status"] in _MOVES_MONEY and intent["id"] not in w.moved
        if not is_new or not is_ours(w, intent):
            continue
        w.moved.add(intent["id"])
        if intent["id"] in w.paid_by_client:
            continue
        _check_nothing_lies_about(w, intent)
        for invoice, minor in shares_of(intent).items():
            amount = int(money.from_minor(minor, intent["currency"]) * _MILLIONTHS)
            due = w.due.get(invoice, 0)
            is_right = amount <= due if invoice in others else amount == due
            assert is_right, f"{intent['id']} takes {amount} of invoice {invoice}, {due} was due"
        assert intent["amount"] == sum(shares_of(intent).values()), intent["id"]


def _check_nothing_lies_about(w: World, intent: Any) -> None:
    """A charge waits while money of its customer's lies about that may be for the same invoice."""
    wanted = {intent["amount"], *shares_of(intent).values()}
    for unnamed, customer in w.unnamed.items():
        other = w.sandbox.state["payment_intents"].get(unnamed)
        if customer != intent["customer"] or unnamed in w.told_of:
            continue
        is_alike = other["currency"] == intent["currency"] and other["amount"] in wanted
        is_there = other["status"] == "processing" or _is_untouched(w, unnamed)
        assert not (is_alike and is_there), f"{intent['id']} takes what {unnamed} may be for"


def _is_untouched(w: World, intent_id: str) -> bool:
    """Whether an intent's money is here, none of it given back or in dispute."""
    charges = [
        one for one in w.sandbox.state["charges"].rows() if one["payment_intent"] == intent_id
    ]
    return any(
        one["status"] == "succeeded" and not one["amount_refunded"] and not one["disputed"]
        for one in charges
    )


def allow_again(w: World, invoice: int) -> None:
    """A person has the invoice tried now, whatever its declines say."""
    for tried in [one for one in w.declined_on if one[0] == invoice]:
        del w.declined_on[tried]
    w.retried |= {
        one["id"]
        for one in w.sandbox.state["payment_intents"].rows()
        if is_ours(w, one) and invoice in shares_of(one)
    }


def _check_retries(w: World) -> None:
    """One decline a day, and none of a method that was declined for good."""
    made = w.sandbox.state["charges"]
    for charge in [made.at(place) for place in range(w.charges_seen, len(made))]:
        if charge["status"] != "failed" or not is_ours(w, charge):
            continue
        if charge["payment_intent"] in w.paid_by_client:
            continue
        for tried in _tried(charge):
            assert w.declined_on.get(tried) != w.days, f"{tried} declined twice on day {w.days}"
            w.declined_on[tried] = w.days
    w.charges_seen = len(made)
    _check_hopeless(w)


def _check_hopeless(w: World) -> None:
    declined: set[Try] = set()
    passed_over = w.paid_by_client | w.forgotten | w.retried
    for charge in w.sandbox.state["charges"].rows():
        if is_ours(w, charge) and charge["payment_intent"] not in passed_over:
            tried = _tried(charge)
            again = declined & tried
            assert not again, f"{again} was declined for good, and tried again"
            if _code(charge) in _HOPELESS:
                declined |= tried


# An invoice, a payment method and an amount: another amount may be tried.
Try = tuple[int, str, int]


def _tried(charge: Any) -> set[Try]:
    method = charge["payment_method"]
    return {(invoice, method, amount) for invoice, amount in shares_of(charge).items()}


def _code(charge: Any) -> str | None:
    reason: str | None = charge["outcome"].get("reason") or charge["failure_code"]
    return reason
