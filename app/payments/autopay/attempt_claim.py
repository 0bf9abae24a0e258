"""The claim of a charge: its invoices under their locks, looked at again, and a new attempt.

The database allows one unresolved attempt an invoice, and one lease a Stripe customer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.ledger import audit
from app.payments.autopay import (
    attempts,
    eligibility,
    held_invoices,
    holds,
    leases,
    spending_limits,
)
from app.payments.autopay.attempts import Attempt, AttemptShare, NewAttempt
from app.payments.autopay.candidates import Candidate, lock_candidates
from app.payments.autopay.charge_context import Charging, ManualRetry
from app.payments.autopay.eligibility import ChosenMethod, Skip
from app.payments.autopay.method_choice import choose_payment_method, method_key
from app.rules import consolidation, money
from app.rules.attempt import AttemptStep
from app.rules.claim import INSTALLATION_KEY
from app.storage.engines import Tx

_LEASE_POLL_S = 0.05


class ClaimedAttempt(NamedTuple):
    """A new attempt, and the reasons to skip invoices; without an attempt all are skipped."""

    attempt: Attempt | None
    skips: Mapping[int, Skip]


async def claim_attempt(
    at: Charging, candidates: Sequence[Candidate], manual: ManualRetry | None = None
) -> ClaimedAttempt:
    # After a no, the method is asked for its version, which all its invoices are compared with.
    asked = next((one for one in candidates if eligibility.has_verdict(one)), candidates[0])
    method = await choose_payment_method(at.gateway, asked)
    if isinstance(method, Skip):
        return _skipped(candidates, method)
    deadline = at.database.now() + leases.LEASE
    while True:
        claimed = await _try_claim(at, candidates, method, manual)
        if claimed is not None:
            return claimed
        if at.database.now() > deadline:
            return _skipped(
                candidates,
                Skip(
                    "another charge of this customer takes long",
                    change="the next run looks at it again",
                ),
            )
        await asyncio.sleep(_LEASE_POLL_S)


def _skipped(candidates: Sequence[Candidate], skip: Skip) -> ClaimedAttempt:
    return ClaimedAttempt(None, {one.invoice_id: skip for one in candidates})


async def _try_claim(
    at: Charging,
    candidates: Sequence[Candidate],
    chosen: ChosenMethod,
    manual: ManualRetry | None,
) -> ClaimedAttempt | None:
    """The claim; None while the customer's lease is another's."""
    now = at.database.now()
    async with at.database.transaction() as tx:
        found = await lock_candidates(tx, [one.invoice_id for one in candidates])
        locked = await at.policies.rule_by_id(tx, found, now=now, day=at.day)
        skips = await _claim_refusals(at, tx, locked, chosen, manual, now)
        await held_invoices.hold(tx, locked, skips, now=now)
        gone = Skip("the invoice is gone", change="nothing: it was deleted")
        skips |= {one.invoice_id: gone for one in candidates if one.invoice_id not in locked}
        wanted = [one for one in locked.values() if one.invoice_id not in skips]
        if not wanted:
            return ClaimedAttempt(None, skips)
        customer = wanted[0].customer_id
        assert customer is not None, "clients without a customer are skipped"
        if not await leases.acquire_customer_lease(tx, customer, at.holder, now=now):
            return None
        attempt = await _open(at, tx, wanted, customer, _method_of(wanted[0], chosen), now)
        if attempt is None:
            return _skipped(
                candidates,
                Skip("another run has just taken it", change="the end of that run's attempt"),
            )
        if manual:
            await _audit_retry(tx, wanted[0], manual, now)
        return ClaimedAttempt(attempt, skips)


async def _claim_refusals(
    at: Charging,
    tx: Tx,
    locked: Mapping[int, Candidate],
    chosen: ChosenMethod,
    manual: ManualRetry | None,
    now: datetime,
) -> dict[int, Skip]:
    """The invoices, all locked, that are not charged now, each with the reason."""
    candidates = list(locked.values())
    methods = {one.invoice_id: _method_of(one, chosen) for one in candidates}
    held = await holds.find_holds(tx, candidates)
    forbidden = await eligibility.network_limits(tx, {one.id for one in methods.values()}, now)
    skips: dict[int, Skip] = {}
    first: Candidate | None = None
    for one in candidates:
        method = methods[one.invoice_id]
        skip = (
            _skip_reason(at, one, method, manual, now)
            or held.get(one.invoice_id)
            or forbidden.get(method.id)
            or _unlike(one, first or one)
            or _method_rule_changed(one, chosen)
        )
        if skip:
            skips[one.invoice_id] = skip
        else:
            first = first or one
    wanted = [one for one in candidates if one.invoice_id not in skips]
    return skips | await spending_limits.over_limits(tx, at, wanted)


def _method_rule_changed(one: Candidate, chosen: ChosenMethod) -> Skip | None:
    """The method was chosen before the lock, by the rules and the amount of then."""
    if method_key(one) == chosen.rule_key:
        return None
    return Skip(
        "the rule about its payment method has just changed",
        change="the next run looks at it again",
    )


def _method_of(one: Candidate, chosen: ChosenMethod) -> ChosenMethod:
    own = one.payment_method_id
    if chosen.by_rule or own in (None, chosen.id):
        return chosen
    return ChosenMethod(own, rule_key=chosen.rule_key)


def _unlike(one: Candidate, other: Candidate) -> Skip | None:
    """Invoices that are charged together have one client, customer, method and currency."""
    ours = (one.client_id, one.customer_id, one.payment_method_id, one.currency)
    if ours == (other.client_id, other.customer_id, other.payment_method_id, other.currency):
        return None
    return Skip(
        "its client or its currency has just changed", change="the next run looks at it again"
    )


async def _open(
    at: Charging,
    tx: Tx,
    wanted: Sequence[Candidate],
    customer: str,
    method: ChosenMethod,
    now: datetime,
) -> Attempt | None:
    if len(wanted) == 1:
        new = new_attempt(at, wanted[0], customer, method)
        return await attempts.open_attempt(tx, at.holder, now=now, new=new)
    shares = [
        AttemptShare(
            one.invoice_id,
            money.to_minor(one.amount, one.currency),
            eligibility.replaced_intent(one),
            _rule_name(one),
            _approval_id(one),
        )
        for one in sorted(wanted, key=lambda one: one.invoice_id)
    ]
    new = new_consolidated_attempt(at, wanted, shares, customer, method)
    return await attempts.open_attempt(tx, at.holder, now=now, new=new, shares=shares)


def _skip_reason(
    at: Charging,
    one: Candidate,
    method: ChosenMethod,
    manual: ManualRetry | None,
    now: datetime,
) -> Skip | None:
    """A person may overrule a verdict on the day of the next try, and nothing else."""
    if manual is None:
        return eligibility.skip_reason(one, at.day, now, at.settings, method)
    skip = eligibility.skip_reason(one, at.day, now, at.settings)
    return skip or eligibility.network_refusal(one, method)


async def _audit_retry(tx: Tx, one: Candidate, manual: ManualRetry, now: datetime) -> None:
    before = one.last.reason if one.last else None
    change = audit.AuditChange(one.invoice_id, "payment_retry", before, manual.reason)
    await audit.write(tx, [change], who=manual.who, now=now)


def new_attempt(at: Charging, one: Candidate, customer: str, method: ChosenMethod) -> NewAttempt:
    amount_minor = money.to_minor(one.amount, one.currency)
    last = one.last
    number = last.number + 1 if last else 1
    reused = eligibility.reusable_intent(one, amount_minor)
    return {
        "invoice_id": one.invoice_id,
        "number": number,
        "step": AttemptStep.PREPARED if reused else AttemptStep.CLAIMED,
        "business_day": at.today(one.timezone),
        "stripe_account": at.account,
        "client_id": one.client_id,
        "amount_minor": amount_minor,
        "currency": one.currency,
        "customer_id": customer,
        "payment_method_id": method.id,
        "payment_method_version": method.version,
        "is_default_method": one.payment_method_id is None and not method.by_rule,
        "is_consolidated": False,
        "intent_id": reused,
        "replaces_intent_id": None if reused else eligibility.replaced_intent(one),
        "charge_before": last.charge_id if last and reused else None,
        "create_params": None if reused else _create_params(at, one, amount_minor, number),
        "confirm_params": _confirm_params(method.id),
        "rule_name": _rule_name(one),
        "approval_id": _approval_id(one),
        "method_rule": method.rule_key,
        "is_rule_method": method.by_rule,
    }


def new_consolidated_attempt(
    at: Charging,
    wanted: Sequence[Candidate],
    shares: Sequence[AttemptShare],
    customer: str,
    method: ChosenMethod,
) -> NewAttempt:
    """One attempt for several invoices. Its number is a new one for each of them."""
    first = min(wanted, key=lambda one: one.invoice_id)
    number = max(one.last.number if one.last else 0 for one in wanted) + 1
    amount_minor = sum(one.amount_minor for one in shares)
    params = _create_params(at, first, amount_minor, number)
    names = {one.invoice_id: one.invoicenumber or str(one.invoice_id) for one in wanted}
    named = consolidation.metadata_of({one.invoice_id: one.amount_minor for one in shares})
    description = consolidation.description_of([names[one.invoice_id] for one in shares])
    return {
        "invoice_id": first.invoice_id,
        "number": number,
        "step": AttemptStep.CLAIMED,
        "business_day": at.today(first.timezone),
        "stripe_account": at.account,
        "client_id": first.client_id,
        "amount_minor": amount_minor,
        "currency": first.currency,
        "customer_id": customer,
        "payment_method_id": method.id,
        "payment_method_version": method.version,
        "is_default_method": first.payment_method_id is None and not method.by_rule,
        "is_consolidated": True,
        "intent_id": None,
        "replaces_intent_id": None,
        "charge_before": None,
        "create_params": {
            **params,
            "description": description,
            "metadata": {**params["metadata"], **named},
        },
        "confirm_params": _confirm_params(method.id),
        # Each share has its own.
        "rule_name": None,
        "approval_id": None,
        "method_rule": method.rule_key,
        "is_rule_method": method.by_rule,
    }


def _rule_name(one: Candidate) -> str | None:
    return one.ruling.decision.rule_name if one.ruling else None


def _approval_id(one: Candidate) -> int | None:
    """The approval that lets the charge happen."""
    approval = one.ruling.approval if one.ruling else None
    return approval.id if approval and eligibility.is_approved(one) else None


def _create_params(at: Charging, one: Candidate, amount_minor: int, number: int) -> dict[str, Any]:
    """The parameters of the create, byte for byte, now and at every replay."""
    shown = one.invoicenumber or str(one.invoice_id)
    return {
        "amount": amount_minor,
        "currency": one.currency,
        "customer": one.customer_id,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "description": f"Invoice {shown}",
        "metadata": {
            INSTALLATION_KEY: at.installation,
            "invoice_id": str(one.invoice_id),
            "attempt": str(number),
        },
    }


def _confirm_params(method_id: str) -> dict[str, Any]:
    """Stripe answers with the whole charge, so that the card or the bank is known by its name."""
    return {"off_session": True, "payment_method": method_id, "expand": ["latest_charge"]}
