"""The ends of a charge: booked, declined, refused, withdrawn, or left open until Stripe answers.

An exception of a step chooses the ending, by one table: ENDINGS.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import structlog

from app.ledger import outbox, settlement
from app.ledger.outbox import Charged
from app.payments.autopay import attempt_history, attempts, leases
from app.payments.autopay.attempts import Attempt, AttemptShare
from app.payments.autopay.charge_context import Charging
from app.payments.autopay.leases import LeaseLost
from app.payments.autopay.other_ways import NoLongerDue
from app.payments.autopay.report import Outcome, OutcomeKind, attempt_outcome
from app.payments.stripe.gateway import (
    NoAnswer,
    ReadUnanswered,
    RequestRefused,
    StripeRateLimited,
    StripeResponse,
    retrieve_intent,
    with_backoff,
)
from app.payments.stripe.stripe_objects import (
    charge_id,
    decline_of,
    failed_charge_id,
    intent_report,
    intent_state,
)
from app.rules import money, retry
from app.rules.attempt import AttemptState, AttemptStep
from app.rules.claim import Evidence
from app.rules.payment import PaymentReport, PaymentState
from app.rules.retry import Decline
from app.storage.engines import Tx

log = structlog.get_logger("paydue.autopay")
T = TypeVar("T")


# --- book ------------------------------------------------------------------------------------


async def _conclude(at: Charging, attempt: Attempt, write: Callable[[Tx], Awaitable[T]]) -> T:
    """Write an end and release the customer's lease, in one transaction."""

    async def work(tx: Tx) -> T:
        result = await write(tx)
        await leases.release_customer_lease(
            tx, attempt.customer_id, at.holder, now=at.database.now()
        )
        return result

    return await at.database.with_retry(work)


async def book(at: Charging, attempt: Attempt, response: StripeResponse) -> Outcome:
    """Book the intent as Stripe shows it, and end the attempt accordingly."""
    now = _now()
    report = response_report(at, response)._replace(
        invoice_id=attempt.invoice_id,
        shares=await _parts(at, attempt) if attempt.is_consolidated else None,
        attempt=attempt.number,
        evidence=Evidence.ATTEMPT,
    )
    if report.state == PaymentState.REQUIRES_ACTION:
        return await _book_decline(at, attempt, response, report, _NEEDS_ACTION)
    if report.state == PaymentState.FAILED or _was_declined_first(attempt, response.object):
        return await _book_decline(at, attempt, response, report, decline_of(response.object))

    async def write(tx: Tx) -> OutcomeKind:
        await settlement.record(tx, [report], now=now, who="autopay")
        return await _write_end(tx, attempt, report, now)

    kind = await _conclude(at, attempt, write)
    return attempt_outcome(kind, attempt, intent_id=report.intent_id, reason=_REASONS[kind])


async def _parts(at: Charging, attempt: Attempt) -> dict[int, Decimal]:
    return {
        one.invoice_id: money.from_minor(one.amount_minor, attempt.currency)
        for one in await load_shares(at, attempt)
    }


def response_report(at: Charging, response: StripeResponse) -> PaymentReport:
    """The intent as Stripe shows it now; its own times have no fractions of seconds."""
    return intent_report(
        response.object,
        at=_now().replace(microsecond=0),
        installation=at.installation,
        response=response.body,
    )


_NEEDS_ACTION = Decline(code="requires_action", message="the customer must authenticate")
_REASONS = {
    OutcomeKind.CHARGED: None,
    OutcomeKind.PENDING: "the bank debit is processing",
    OutcomeKind.SKIPPED: "the intent was canceled at Stripe",
}


async def _write_end(tx: Tx, attempt: Attempt, report: PaymentReport, now: datetime) -> OutcomeKind:
    match report.state:
        case PaymentState.SUCCEEDED:
            await attempts.end_attempt(
                tx, attempt.id, AttemptState.SUCCEEDED, now=now, charge_id=report.charge_id
            )
            return OutcomeKind.CHARGED
        case PaymentState.PROCESSING:
            await attempts.await_debit(tx, attempt.id, now=now, charge_id=report.charge_id)
            return OutcomeKind.PENDING
        case _:
            await attempts.end_attempt(
                tx, attempt.id, AttemptState.CANCELED, now=now, reason="canceled at Stripe"
            )
            return OutcomeKind.SKIPPED


async def _book_decline(
    at: Charging,
    attempt: Attempt,
    response: StripeResponse,
    report: PaymentReport,
    decline: Decline,
) -> Outcome:
    failed_charge = failed_charge_id(response.object) or charge_id(response.object)

    async def write(tx: Tx) -> retry.Verdict:
        await settlement.record(tx, [report], now=_now(), who="autopay")
        return await _write_decline(at, tx, attempt, decline, failed_charge)

    verdict = await _conclude(at, attempt, write)
    return attempt_outcome(
        OutcomeKind.DECLINED,
        attempt,
        intent_id=report.intent_id,
        reason=verdict.reason,
        next_try=verdict.next_try_on,
    )


async def _write_decline(
    at: Charging, tx: Tx, attempt: Attempt, decline: Decline, failed_charge: str | None
) -> retry.Verdict:
    """End the attempt as declined, with the day of the next try if there is one."""
    version = decline.method_version or attempt.payment_method_version
    shares = await attempts.load_shares(tx, attempt)
    tries = await attempt_history.count_tries(tx, attempt, shares, version)
    on = at.day or max(attempt.business_day, at.today(None))
    verdict = retry.after_decline(decline, tries=max(tries, 1), on=on)
    await attempts.end_declined(
        tx,
        attempt,
        decline,
        now=_now(),
        reason=verdict.reason,
        next_try_on=verdict.next_try_on,
        charge_id=failed_charge,
    )
    await outbox.queue_decline(
        tx,
        attempt.id,
        _charged(attempt, shares),
        client_id=attempt.client_id,
        was_processing=attempt.state == AttemptState.PROCESSING,
        next_try_on=verdict.next_try_on,
        now=_now(),
    )
    return verdict


def _charged(attempt: Attempt, shares: Sequence[AttemptShare]) -> Charged:
    parts = {one.invoice_id: money.from_minor(one.amount_minor, attempt.currency) for one in shares}
    return Charged(
        money.from_minor(attempt.amount_minor, attempt.currency), attempt.currency, parts
    )


# --- every other ending ------------------------------------------------------------------------


async def _refuse(at: Charging, attempt: Attempt, error: Exception) -> Outcome:
    """Stripe refuses the request as it stands, and no bank was asked: held, and no try counted.

    The intent's own state comes first.
    """
    assert isinstance(error, RequestRefused), "ENDINGS has it so"
    attempt = await _reload(at, attempt)
    if attempt.intent_id is not None:
        response = await retrieve_intent(at.gateway, attempt.intent_id)
        if has_ended(attempt, response.object):
            return await book(at, attempt, response)
    await _conclude(at, attempt, lambda tx: _write_refusal(tx, attempt, error))
    return attempt_outcome(
        OutcomeKind.HELD,
        attempt,
        intent_id=attempt.intent_id,
        reason=_refusal(error),
        fault=error.code,
    )


async def _write_refusal(tx: Tx, attempt: Attempt, error: RequestRefused) -> None:
    await attempts.end_refused(tx, attempt.id, now=_now(), code=error.code, reason=_refusal(error))


def _refusal(error: RequestRefused) -> str:
    return f"{error.code}: {error.message}"


async def _withdraw(at: Charging, attempt: Attempt, error: Exception) -> Outcome:
    """End an attempt that is not wanted any more; its intent must not be payable either."""
    attempt = await _reload(at, attempt)
    intent_id = attempt.intent_id
    reports = []
    if intent_id is not None:
        try:
            response = await with_backoff(lambda: at.gateway.cancel(intent_id))
        except RequestRefused:
            return await book(at, attempt, await retrieve_intent(at.gateway, intent_id))
        reports = [response_report(at, response)]

    async def write(tx: Tx) -> None:
        now = _now()
        await settlement.record(tx, reports, now=now, who="autopay")
        await attempts.end_attempt(
            tx, attempt.id, AttemptState.CANCELED, now=now, reason=str(error)
        )

    await _conclude(at, attempt, write)
    outcome = attempt_outcome(OutcomeKind.SKIPPED, attempt, intent_id=intent_id, reason=str(error))
    named = error.invoices if isinstance(error, NoLongerDue) else {}
    return replace(outcome, withdrawn=named)


async def leave_open(at: Charging, attempt: Attempt, error: Exception) -> Outcome:
    """Leave the attempt unresolved: the lease is released, and Stripe is asked again."""

    async def write(tx: Tx) -> Attempt:
        current = await attempts.load_attempt(tx, attempt.id)
        if current.lease_token == at.holder.token:
            is_unknown = _is_unknown(current, error)
            await attempts.release_unresolved(
                tx, current, now=at.database.now(), reason=str(error), unknown=is_unknown
            )
        return current

    left = await _conclude(at, attempt, write)
    why = str(error)
    log.warning("attempt left open", invoice=left.invoice_id, intent=left.intent_id, why=why)
    if _is_unknown(left, error):
        return attempt_outcome(OutcomeKind.UNKNOWN, left, intent_id=left.intent_id, reason=why)
    why = f"nothing was sent that moves money: {why}"
    return attempt_outcome(OutcomeKind.SKIPPED, left, intent_id=left.intent_id, reason=why)


def _is_unknown(attempt: Attempt, error: Exception) -> bool:
    """Whether something was sent whose answer is missing; a question alone changes nothing."""
    is_change = isinstance(error, NoAnswer) and not isinstance(error, ReadUnanswered)
    return is_change or attempt.may_have_moved_money


async def _let_go(at: Charging, attempt: Attempt, error: Exception) -> Outcome:
    """Another run has the lease and goes on; its customer's lease is its own too."""
    return attempt_outcome(OutcomeKind.SKIPPED, attempt, reason="another run goes on with it")


async def _reload(at: Charging, attempt: Attempt) -> Attempt:
    """The attempt as the last step left it: an ending may follow from the middle of one."""
    async with at.database.snapshot() as tx:
        return await attempts.load_attempt(tx, attempt.id)


Ending = Callable[[Charging, Attempt, Exception], Awaitable[Outcome]]

ENDINGS: Mapping[type[Exception], Ending] = {
    LeaseLost: _let_go,
    NoLongerDue: _withdraw,
    RequestRefused: _refuse,
    StripeRateLimited: leave_open,
    NoAnswer: leave_open,
}


def has_ended(attempt: Attempt, intent: Mapping[str, Any]) -> bool:
    """Whether the intent's state answers this attempt; if not, it may be confirmed (again)."""
    match intent_state(intent):
        case PaymentState.SUCCEEDED | PaymentState.CANCELED | PaymentState.PROCESSING:
            return True
        case PaymentState.REQUIRES_ACTION:
            return attempt.step == AttemptStep.CONFIRMING
        case PaymentState.FAILED if attempt.step == AttemptStep.CONFIRMING:
            return _has_failed(attempt, intent)
    return False


def _was_declined_first(attempt: Attempt, intent: Mapping[str, Any]) -> bool:
    """Whether a cancelled intent had been declined in this attempt: the bank's word counts."""
    is_canceled = intent_state(intent) == PaymentState.CANCELED
    is_confirmed = is_canceled and attempt.step == AttemptStep.CONFIRMING
    return is_confirmed and _has_failed(attempt, intent)


def _has_failed(attempt: Attempt, intent: Mapping[str, Any]) -> bool:
    """Whether the intent's last error is of this attempt, not of one that used it before."""
    failed = failed_charge_id(intent)
    if attempt.create_params is not None:  # the intent was made for this attempt
        return bool(intent.get("last_payment_error"))
    return failed is not None and failed != attempt.charge_before


async def load_shares(at: Charging, attempt: Attempt) -> Sequence[AttemptShare]:
    """The invoices of an attempt. They never change, so that no lock is needed."""
    if not attempt.is_consolidated:
        return [attempts.only_share(attempt)]
    async with at.database.snapshot() as tx:
        return await attempts.load_shares(tx, attempt)


def _now() -> datetime:
    return datetime.now(UTC)
