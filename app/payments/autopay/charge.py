"""One charge of an invoice, or of several of a client: steps that any process may go on with.

    claim       transaction: the invoices under their locks; one unresolved attempt an invoice
    prepare     no transaction: an unconfirmed PaymentIntent, its exact parameters already stored
    look_again  transaction: the last look; the intent is known and the confirm is about to go out
    confirm     no transaction: the money moves
    book        transaction: settlement.record, the same function that webhooks use

Each step answers the next one, or the outcome. An exception chooses the ending, by one table:
ENDINGS. Unknown is not failed: without an answer the intent itself is retrieved, by its id, until
it answers. A PaymentIntent succeeds at most once, so the same one may be confirmed at any time.

A charge of several invoices that some of them may not have any more is withdrawn, and the others
are claimed anew under the next key: an intent's amount and its metadata never change.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import structlog

from app import tracing
from app.errors import RecordLocked
from app.ledger import settlement
from app.payments.autopay import attempts, eligibility, holds, leases
from app.payments.autopay.attempt_claim import claim_attempt
from app.payments.autopay.attempts import Attempt, AttemptShare
from app.payments.autopay.candidates import (
    Candidate,
    find_candidate,
    find_candidates,
    lock_candidates,
)
from app.payments.autopay.charge_context import Charging, ManualRetry
from app.payments.autopay.charge_endings import (
    ENDINGS,
    book,
    has_ended,
    leave_open,
    load_shares,
    response_report,
)
from app.payments.autopay.eligibility import Skip
from app.payments.autopay.method_choice import find_method, method_key
from app.payments.autopay.other_ways import NoLongerDue, OtherWays
from app.payments.autopay.report import (
    Outcome,
    share_outcomes,
    skipped_outcome,
)
from app.payments.stripe.gateway import (
    Declined,
    NoAnswer,
    NotAuthorized,
    ReplayedFailure,
    RequestRefused,
    StripeKeyReused,
    StripeResponse,
    retrieve_intent,
    with_backoff,
)
from app.payments.stripe.stripe_objects import (
    evidence_in,
    intent_state,
    metadata_number,
    named_shares,
    reference,
)
from app.rules import attempt as keys, money
from app.rules.attempt import AttemptStep
from app.rules.claim import Evidence
from app.rules.payment import PaymentState

log = structlog.get_logger("paydue.autopay")
T = TypeVar("T")

# Stripe forgets a key after 24 h at the earliest; an hour less allows for clocks that differ.
KEY_LASTS = timedelta(hours=23)
# An intent of an attempt may be older than its row: the row was made again after a restore.
MADE_BEFORE = timedelta(days=30)
# A default payment method that was read so shortly before is not asked for again, unless the
# attempt has waited meanwhile: customers are read at the same rate as charges are confirmed.
CHOICE_LASTS = timedelta(seconds=20)
# Every withdrawal takes at least one invoice out; what still changes then is left to the next run.
WITHDRAWALS_MAX = 5


Step = Callable[[Charging, Attempt], Awaitable["Next"]]


class Advance(NamedTuple):
    """The step that comes next, and the attempt as it is then."""

    step: Step
    attempt: Attempt


Next = Advance | Outcome


# --- the two ways in -------------------------------------------------------------------------


async def charge(at: Charging, candidate: Candidate, manual: ManualRetry | None = None) -> Outcome:
    """Open a new attempt of one invoice and take it as far as it goes."""
    claim = await claim_attempt(at, [candidate], manual)
    if claim.attempt is None:
        return skipped_outcome(candidate, claim.skips[candidate.invoice_id])
    return await _run(at, _first_advance(claim.attempt))


async def charge_together(at: Charging, candidates: Sequence[Candidate]) -> list[Outcome]:
    """Charge invoices of one client and currency at once; the outcome of each."""
    outcomes: list[Outcome] = []
    rest = list(candidates)
    for _ in range(WITHDRAWALS_MAX):
        claim = await claim_attempt(at, rest)
        outcomes += [
            skipped_outcome(one, claim.skips[one.invoice_id])
            for one in rest
            if one.invoice_id in claim.skips
        ]
        if claim.attempt is None:
            return outcomes
        ended = await _run_whole(at, _first_advance(claim.attempt))
        outcomes += ended.outcomes
        rest = [one for one in rest if one.invoice_id in ended.left]
        if not rest:
            return outcomes
    late = Skip("invoices charged with it keep changing", change="the next run looks at it again")
    return outcomes + [skipped_outcome(one, late) for one in rest]


async def resume(at: Charging, attempt_id: int) -> list[Outcome]:
    """Go on with an attempt whose lease is free; no outcome while it is not, or when it has ended.

    The invoices that a change of others leaves over are charged at once.
    """
    now = at.database.now()
    async with at.database.transaction() as tx:
        attempt = await attempts.take_over(tx, attempt_id, at.holder, now=now)
        if attempt is None:
            return []
        if not await leases.acquire_customer_lease(tx, attempt.customer_id, at.holder, now=now):
            await attempts.release_unresolved(
                tx,
                attempt,
                now=now,
                reason=attempt.reason or "",
                unknown=attempt.may_have_moved_money,
            )
            return []
    is_claimed = attempt.step == AttemptStep.CLAIMED
    ended = await _run_whole(at, Advance(_prepare if is_claimed else _ask_first, attempt))
    if not ended.left:
        return ended.outcomes
    async with at.database.snapshot() as tx:
        left = await at.policies.rule_by_id(
            tx, await find_candidates(tx, ended.left), now=now, day=at.day
        )
    return ended.outcomes + await charge_together(at, list(left.values()))


class _Ended(NamedTuple):
    """The outcomes of an attempt, and the invoices that it was withdrawn from without a fault."""

    outcomes: list[Outcome]
    left: frozenset[int]


async def _run_whole(at: Charging, first: "Advance") -> _Ended:
    """Take an attempt as far as it goes; each of its invoices has an outcome or is left over."""
    outcome = await _run(at, first)
    shares = await load_shares(at, first.attempt)
    ids = frozenset(one.invoice_id for one in shares)
    left = ids - outcome.withdrawn.keys() if outcome.withdrawn else frozenset()
    known = [one for one in shares if one.invoice_id not in left]
    return _Ended(share_outcomes(outcome, known), left)


def _first_advance(attempt: Attempt) -> "Advance":
    return Advance(_first_step(attempt), attempt)


def _first_step(attempt: Attempt) -> Step:
    return _prepare if attempt.step == AttemptStep.CLAIMED else _close_other_ways


async def _run(at: Charging, first: Advance) -> Outcome:
    with tracing.span("charge") as span:
        span.set_attribute("paydue.attempt.id", first.attempt.id)
        span.set_attribute("paydue.invoice.id", first.attempt.invoice_id)
        outcome = await _run_steps(at, first)
        span.set_attribute("paydue.outcome", str(outcome.kind))
        return outcome


async def _run_steps(at: Charging, following: Next) -> Outcome:
    """Take step after step; an exception is followed by the ending that ENDINGS has for it."""
    while isinstance(following, Advance):
        attempt = following.attempt
        try:
            following = await following.step(at, attempt)
        except NotAuthorized as error:
            await leave_open(at, attempt, error)
            raise  # no charge succeeds until somebody mends the key
        except RecordLocked as error:
            return await leave_open(at, attempt, error)
        except tuple(ENDINGS) as error:
            following = Advance(_ending_for(error), attempt)
    return following


# --- steps -----------------------------------------------------------------------------------


async def _ask_first(at: Charging, attempt: Attempt) -> Next:
    """Somebody else began this attempt: its intent may have ended meanwhile."""
    assert attempt.intent_id is not None, "a prepared attempt has its intent"
    intent = await retrieve_intent(at.gateway, attempt.intent_id)
    if has_ended(attempt, intent.object):
        return await book(at, attempt, intent)
    return Advance(_close_other_ways, attempt)


async def _close_other_ways(at: Charging, attempt: Attempt) -> Next:
    """Nothing else may take money for the invoices once the rate limiter allows the confirm."""
    shares = await load_shares(at, attempt)
    await at.gateway.acquire_confirm()
    await OtherWays(at.database, at.gateway, at.installation, at.guests, attempt, shares).close()
    return Advance(_look_again, attempt)


async def _prepare(at: Charging, attempt: Attempt) -> Next:
    """Create the intent, unconfirmed; the same key again makes no second one."""
    shares = await load_shares(at, attempt)
    for intent_id in sorted({one.replaces_intent_id for one in shares if one.replaces_intent_id}):
        await _cancel_replaced(at, intent_id, shares)
    if at.database.now() - attempt.created_at > KEY_LASTS:
        return Advance(_adopt_or_create, attempt)
    try:
        intent_id = await _create(at, attempt)
    except (ReplayedFailure, StripeKeyReused):
        return Advance(_adopt_or_create, attempt)
    return Advance(_close_other_ways, await _record_intent(at, attempt, intent_id))


async def _adopt_or_create(at: Charging, attempt: Attempt) -> Next:
    """Adopt the intent that an unknown create made after all, or create under the next key.

    A new key is safe here and only here: an unconfirmed intent never moves money by itself.
    """
    since = attempt.created_at - MADE_BEFORE
    async for intent in at.gateway.intents(customer_id=attempt.customer_id, since=since):
        intent_id = reference(intent)
        if intent_id is None or not _is_made_by(at, attempt, intent):
            continue
        if intent_state(intent) == PaymentState.CANCELED:
            continue
        if _fits(attempt, intent):
            return Advance(_close_other_ways, await _record_intent(at, attempt, intent_id))
        await _cancel_replaced(at, intent_id, ())
    async with at.database.transaction() as tx:
        attempt = await attempts.update_leased(
            tx, attempt.id, at.holder, now=at.database.now(), creates=attempt.creates + 1
        )
    intent_id = await _create(at, attempt)
    return Advance(_close_other_ways, await _record_intent(at, attempt, intent_id))


async def _create(at: Charging, attempt: Attempt) -> str:
    key = keys.create_key(
        at.installation, attempt.invoice_id, attempt.number, attempt.creates, epoch=at.epoch
    )
    params = attempt.create_params or {}
    response = await with_backoff(lambda: at.gateway.create(params, key))
    return str(response.object["id"])


async def _record_intent(at: Charging, attempt: Attempt, intent_id: str) -> Attempt:
    """From here on support finds the intent, and any process can retrieve it by its id."""
    async with at.database.transaction() as tx:
        return await attempts.update_leased(
            tx,
            attempt.id,
            at.holder,
            now=at.database.now(),
            intent_id=intent_id,
            step=AttemptStep.PREPARED,
        )


async def _cancel_replaced(at: Charging, intent_id: str, shares: Sequence[AttemptShare]) -> None:
    """The declined intent of an earlier amount or customer must not be payable any more."""
    try:
        await with_backoff(lambda: at.gateway.cancel(intent_id))
    except RequestRefused as error:
        earlier = await at.gateway.retrieve(intent_id)
        if intent_state(earlier.object) == PaymentState.CANCELED:
            return
        report = response_report(at, earlier)
        await at.database.with_retry(
            lambda tx: settlement.record(tx, [report], now=_now(), who="autopay")
        )
        paid = [one.invoice_id for one in shares if one.replaces_intent_id == intent_id]
        raise NoLongerDue(f"{intent_id} has been paid", paid) from error


async def _look_again(at: Charging, attempt: Attempt) -> Next:
    """The last look: money moves only after this.

    All that made the charge right is read again, however long the attempt has waited.
    """
    default_method = await _default_method(at, attempt) if attempt.is_default_method else None
    now = at.database.now()
    async with at.database.transaction() as tx:
        shares = await attempts.load_shares(tx, attempt)
        found = await lock_candidates(tx, [one.invoice_id for one in shares])
        candidates = await at.policies.rule_by_id(tx, found, now=now, day=attempt.business_day)
        held = await holds.find_holds(tx, list(candidates.values()))
        unwanted = {invoice_id: skip.reason for invoice_id, skip in held.items()}
        for share in shares:
            one = candidates.get(share.invoice_id)
            why = _unwanted_reason(at, one, attempt, share, default_method, now)
            if why:
                unwanted.setdefault(share.invoice_id, why)
        if unwanted:
            raise NoLongerDue(next(iter(unwanted.values())), unwanted)
        confirming = await attempts.update_leased(
            tx,
            attempt.id,
            at.holder,
            now=now,
            step=AttemptStep.CONFIRMING,
            confirm_sent_at=now,
        )
    return Advance(_confirm, confirming)


async def _default_method(at: Charging, attempt: Attempt) -> str | None:
    """The method that would be chosen now: the customer's default may be another one."""
    has_waited = attempt.checks > 0
    if not has_waited and at.database.now() - attempt.created_at < CHOICE_LASTS:
        return attempt.payment_method_id
    async with at.database.snapshot() as tx:
        candidate = await find_candidate(tx, attempt.invoice_id)
    try:
        chosen = await find_method(at.gateway, candidate) if candidate else None
        return chosen.id if chosen else None
    except RequestRefused as error:
        raise NoLongerDue(f"the Stripe customer cannot be charged: {error.message}") from error


def _unwanted_reason(
    at: Charging,
    one: Candidate | None,
    attempt: Attempt,
    share: AttemptShare,
    default_method: str | None,
    now: datetime,
) -> str | None:
    """The first of all that made the charge right and does not hold any more."""
    if one is None:
        return "the invoice is gone"
    before = replace(one, last=None)
    skip = eligibility.skip_reason(before, attempt.business_day, now, at.settings)
    if skip:
        return skip.reason
    if one.currency != attempt.currency:
        return "the currency has changed"
    if money.to_minor(one.amount, one.currency) != share.amount_minor:
        return "the amount due has changed"
    if attempt.client_id not in (None, one.client_id):
        return "the client of the invoice has changed"
    if one.customer_id != attempt.customer_id:
        return "the Stripe customer has changed"
    if method_key(one) != attempt.method_rule:
        return "the rule about its payment method has changed"
    is_same = (one.payment_method_id or default_method) == attempt.payment_method_id
    return None if is_same or attempt.is_rule_method else "the payment method has changed"


async def _confirm(at: Charging, attempt: Attempt) -> Next:
    """Confirm off-session, and book the answer. Without one, the intent is asked once."""
    assert attempt.intent_id is not None, "a prepared attempt has its intent"
    intent_id = attempt.intent_id
    params = attempt.confirm_params or {}
    key = keys.confirm_key(at.installation, attempt.invoice_id, attempt.number, epoch=at.epoch)
    try:
        response = await with_backoff(lambda: at.gateway.confirm(intent_id, params, key))
    except Declined as declined:
        return await book(at, attempt, StripeResponse(declined.intent, declined.body))
    except (NoAnswer, StripeKeyReused) as error:
        log.warning("no answer", invoice=attempt.invoice_id, intent=intent_id, why=str(error))
        response = await retrieve_intent(at.gateway, intent_id)
        if not has_ended(attempt, response.object):
            raise NoAnswer(str(error)) from error
    return await book(at, attempt, response)


def _is_made_by(at: Charging, attempt: Attempt, intent: Mapping[str, Any]) -> bool:
    named = (metadata_number(intent, "invoice_id"), metadata_number(intent, "attempt"))
    is_ours = evidence_in(intent, at.installation) == Evidence.METADATA
    return is_ours and named == (attempt.invoice_id, attempt.number)


def _fits(attempt: Attempt, intent: Mapping[str, Any]) -> bool:
    """Whether an intent of this name takes the very money that the attempt wants.

    An earlier life of a restored database may have given the same name to another amount.
    """
    found = (intent.get("amount"), intent.get("currency"), reference(intent.get("customer")))
    is_same = found == (attempt.amount_minor, attempt.currency, attempt.customer_id)
    return is_same and named_shares(intent) == attempt.planned_shares


def _ending_for(error: Exception) -> Step:
    ending = next(ending for kind, ending in ENDINGS.items() if isinstance(error, kind))

    async def step(at: Charging, attempt: Attempt) -> Next:
        return await ending(at, attempt, error)

    return step


def _now() -> datetime:
    return datetime.now(UTC)
