"""One attempt to charge one invoice, in steps that any process may take over after a crash.

    claimed     transaction: look at the invoice under its lock; one unresolved attempt an invoice
    prepared    no transaction: an unconfirmed PaymentIntent, its exact parameters already stored
    confirming  transaction: the last look; the intent is known and the confirm is about to go out
    recorded    transaction: settlement.record, the same that webhooks use

Unknown is never taken for failed: without an answer the intent itself is asked, by its id, until it
answers. A PaymentIntent succeeds at most once, so the same one may be confirmed at any later time.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import structlog

from app.ledger import settlement
from app.payments.autopay import attempts, checkout_sessions, eligibility
from app.payments.autopay.attempts import LeaseHolder, LeaseLost
from app.payments.autopay.checkout_sessions import NoLongerDue
from app.payments.autopay.eligibility import Candidate, Skip
from app.payments.autopay.outcomes import Outcome, OutcomeKind, attempt_outcome, skipped_outcome
from app.payments.stripe.gateway import (
    Declined,
    Gateway,
    NoAnswer,
    NotAuthorized,
    ReplayedFailure,
    RequestRefused,
    StripeKeyReused,
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
    metadata_number,
)
from app.rules import attempt as keys, calendar, money, retry
from app.rules.attempt import AttemptState, AttemptStep
from app.rules.payment import PaymentReport, PaymentState
from app.rules.retry import Decline
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database, Record, Tx
from app.storage.tables.invoice_payments import InvoicePayment

log = structlog.get_logger("paydue.autopay")
PAYMENTS = table_of(InvoicePayment)
T = TypeVar("T")

# Stripe forgets a key after 24 h at the earliest; an hour less allows for clocks that differ.
KEY_LASTS = timedelta(hours=23)
CLOCK_SKEW = timedelta(minutes=5)
_TURN_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Charger:
    """Takes attempts through their steps for one run or worker. `day` None: each client's today."""

    database: Database
    gateway: Gateway
    settings: Settings
    installation: str
    holder: LeaseHolder
    day: date | None = None

    # --- the two ways in ---------------------------------------------------------------------

    async def charge(self, candidate: Candidate) -> Outcome:
        """Open a new attempt and take it as far as it goes."""
        claimed = await self._claimed(candidate)
        if isinstance(claimed, Skip):
            return skipped_outcome(candidate, claimed)
        return await self._advance(claimed, replay=False)

    async def resume(self, attempt_id: int) -> Outcome | None:
        """Go on with an attempt nobody holds; None while somebody does or when it has ended."""
        now = _now()
        async with self.database.transaction() as tx:
            row = await attempts.take_over(tx, attempt_id, self.holder, now=now)
            if row is None:
                return None
            if not await attempts.acquire_customer_lease(tx, row.customer_id, self.holder, now=now):
                await attempts.release_unresolved(
                    tx, row, now=now, reason=row.reason or "", unknown=_is_unknown(row)
                )
                return None
        return await self._advance(row, replay=True)

    # --- claimed -----------------------------------------------------------------------------

    async def _claimed(self, candidate: Candidate) -> Record | Skip:
        method = await choose_payment_method(self.gateway, candidate)
        if isinstance(method, Skip):
            return method
        deadline = _now() + attempts.LEASE
        while True:
            claimed = await self._claim(candidate.invoice_id, method)
            if claimed is not None:
                return claimed
            if _now() > deadline:
                return Skip("another charge of this customer takes long")
            await asyncio.sleep(_TURN_POLL_S)

    async def _claim(self, invoice_id: int, default_method: str) -> Record | Skip | None:
        """The attempt, or why there is none; None while the customer's turn is another's."""
        now = _now()
        async with self.database.transaction() as tx:
            one = await eligibility.lock_candidate(tx, invoice_id)
            if one is None:
                return Skip("the invoice is gone")
            method = one.payment_method_id or default_method
            skip = eligibility.skip_reason(one, self.day, now, self.settings)
            skip = skip or (await eligibility.find_unbooked_payments(tx, [invoice_id])).get(
                invoice_id
            )
            skip = skip or (await eligibility.network_limits(tx, [method], now)).get(method)
            if skip:
                return skip
            assert one.customer_id is not None, "why_not passes over clients without a customer"
            if not await attempts.acquire_customer_lease(tx, one.customer_id, self.holder, now=now):
                return None
            row = await attempts.open_attempt(
                tx, self.holder, now=now, values=self._new(one, method)
            )
            return row or Skip("another run has just taken it")

    def _new(self, one: Candidate, method: str) -> dict[str, Any]:
        amount_minor = money.to_minor(one.amount, one.currency)
        count = one.last.number + 1 if one.last else 1
        reused = eligibility.reusable_intent(one, amount_minor)
        earlier = one.last.intent_id if one.last else None
        declined = one.last is not None and one.last.state == AttemptState.DECLINED
        return {
            "invoice_id": one.invoice_id,
            "number": count,
            "step": AttemptStep.PREPARED if reused else AttemptStep.CLAIMED,
            "business_day": self._today(one.timezone),
            "amount_minor": amount_minor,
            "currency": one.currency,
            "customer_id": one.customer_id,
            "payment_method_id": method,
            "intent_id": reused,
            "replaces_intent_id": earlier if declined and not reused else None,
            "charge_before": one.last.charge_id if one.last and reused else None,
            "create_params": None if reused else _create_params(one, amount_minor, count),
            "confirm_params": {"off_session": True, "payment_method": method},
        }

    def _today(self, timezone: str | None) -> date:
        return self.day or calendar.business_day(_now(), timezone or self.settings.timezone)

    # --- from step to step -------------------------------------------------------------------

    async def _advance(self, row: Record, *, replay: bool) -> Outcome:
        """Take an attempt to its end, or leave it where the next one can go on."""
        try:
            return await self._through(row, replay=replay)
        except LeaseLost:
            return attempt_outcome(OutcomeKind.SKIPPED, row, reason="another run goes on with it")
        except (NoAnswer, StripeRateLimited) as error:
            return await self._left(row, str(error), unknown=isinstance(error, NoAnswer))
        except NotAuthorized as error:
            await self._left(row, str(error), unknown=False)
            raise

    async def _through(self, row: Record, *, replay: bool) -> Outcome:
        try:
            if replay and row.step != AttemptStep.CLAIMED:
                intent = await retrieve_intent(self.gateway, row.intent_id)
                if self._has_ended(row, intent.object):
                    return await self._recorded(row, intent)
            await checkout_sessions.close_sessions(self.database, self.gateway, row)
            if row.step == AttemptStep.CLAIMED:
                row = await self._prepared(row, replay=replay)
            await self.gateway.acquire_confirm()
            return await self._confirmed(await self._last_look(row))
        except NoLongerDue as error:
            return await self._withdrawn(row, str(error))
        except RequestRefused as error:
            return await self._refused(row, error)

    def _has_ended(self, row: Record, intent: Mapping[str, Any]) -> bool:
        """Whether the intent's state answers this attempt; if not, it may be confirmed (again)."""
        match intent_state(intent):
            case PaymentState.SUCCEEDED | PaymentState.CANCELED | PaymentState.PROCESSING:
                return True
            case PaymentState.REQUIRES_ACTION:
                return bool(row.step == AttemptStep.CONFIRMING)
            case PaymentState.FAILED if row.step == AttemptStep.CONFIRMING:
                made_here = row.create_params is not None
                failed = failed_charge_id(intent)
                return made_here or (failed is not None and failed != row.charge_before)
        return False

    # --- prepared ----------------------------------------------------------------------------

    async def _prepared(self, row: Record, *, replay: bool) -> Record:
        """The attempt with an unconfirmed intent; the same key again makes no second one."""
        if row.replaces_intent_id:
            await self._cancel_earlier(row)
        if replay and _now() - row.created_at > KEY_LASTS:
            return await self._found_or_made(row)
        try:
            answer = await self._create(row)
        except (ReplayedFailure, StripeKeyReused):
            return await self._found_or_made(row)
        return await self._known(row, answer.object["id"])

    async def _known(self, row: Record, intent_id: str) -> Record:
        """From here on support finds the intent, and any process can ask for it by its id."""
        async with self.database.transaction() as tx:
            return await attempts.update_leased(
                tx, row.id, self.holder, now=_now(), intent_id=intent_id, step=AttemptStep.PREPARED
            )

    async def _create(self, row: Record) -> StripeResponse:
        key = keys.create_key(self.installation, row.invoice_id, row.number, row.creates)
        return await with_backoff(lambda: self.gateway.create(row.create_params, key))

    async def _found_or_made(self, row: Record) -> Record:
        """Adopt the intent that an unknown create made after all, or make one under the next key.

        A new key is safe here and only here: an unconfirmed intent never moves money by itself.
        """
        since = row.created_at - CLOCK_SKEW
        async for intent in self.gateway.intents(customer_id=row.customer_id, since=since):
            if _is_of(intent, row) and intent_state(intent) != PaymentState.CANCELED:
                return await self._known(row, intent["id"])
        async with self.database.transaction() as tx:
            row = await attempts.update_leased(
                tx, row.id, self.holder, now=_now(), creates=row.creates + 1
            )
        answer = await self._create(row)
        return await self._known(row, answer.object["id"])

    async def _cancel_earlier(self, row: Record) -> None:
        """The declined intent of an earlier amount or customer must not be payable any more."""
        try:
            await with_backoff(lambda: self.gateway.cancel(row.replaces_intent_id))
        except RequestRefused as error:
            earlier = await self.gateway.retrieve(row.replaces_intent_id)
            if intent_state(earlier.object) == PaymentState.CANCELED:
                return
            news = intent_report(earlier.object, at=_now(), response=earlier.body)
            await self.database.with_retry(
                lambda tx: settlement.record(tx, [news], now=_now(), who="autopay")
            )
            raise NoLongerDue(f"{row.replaces_intent_id} has been paid") from error

    # --- confirming --------------------------------------------------------------------------

    async def _last_look(self, row: Record) -> Record:
        """About to be confirmed, or NoLongerDue. Money moves only after this commit."""
        now = _now()
        async with self.database.transaction() as tx:
            one = await eligibility.lock_candidate(tx, row.invoice_id)
            why = self._unwanted(one, row, now)
            elsewhere = await eligibility.find_unbooked_payments(tx, [row.invoice_id])
            if elsewhere:
                why = elsewhere[row.invoice_id].reason
            if why:
                raise NoLongerDue(why)
            return await attempts.update_leased(
                tx, row.id, self.holder, now=now, step=AttemptStep.CONFIRMING, confirm_sent_at=now
            )

    def _unwanted(self, one: Candidate | None, row: Record, now: datetime) -> str | None:
        if one is None:
            return "the invoice is gone"
        skip = eligibility.skip_reason(
            replace(one, last=None), row.business_day, now, self.settings
        )
        if skip:
            return skip.reason
        if money.to_minor(one.amount, one.currency) != row.amount_minor:
            return "the amount due has changed"
        return None if one.customer_id == row.customer_id else "the Stripe customer has changed"

    async def _confirmed(self, row: Record) -> Outcome:
        """Send the confirm, and book what Stripe says. Without an answer, ask the intent once."""
        key = keys.confirm_key(self.installation, row.invoice_id, row.number)
        try:
            answer = await with_backoff(
                lambda: self.gateway.confirm(row.intent_id, row.confirm_params, key)
            )
        except Declined as declined:
            return await self._recorded(row, StripeResponse(declined.intent, declined.body))
        except (NoAnswer, StripeKeyReused) as error:
            log.warning("no answer", invoice=row.invoice_id, intent=row.intent_id, why=str(error))
            answer = await retrieve_intent(self.gateway, row.intent_id)
            if not self._has_ended(row, answer.object):
                raise NoAnswer(str(error)) from error
        return await self._recorded(row, answer)

    # --- recorded ----------------------------------------------------------------------------

    async def _recorded(self, row: Record, answer: StripeResponse) -> Outcome:
        now = _now()
        news = replace(
            intent_report(answer.object, at=now.replace(microsecond=0), response=answer.body),
            invoice_id=row.invoice_id,
            attempt=row.number,
        )
        if news.state == PaymentState.REQUIRES_ACTION:
            return await self._declined(row, answer, news, _NEEDS_ACTION)
        if news.state == PaymentState.FAILED:
            return await self._declined(row, answer, news, decline_of(answer.object))

        async def book(tx: Tx) -> OutcomeKind:
            await settlement.record(tx, [news], now=now, who="autopay")
            await attempts.release_customer_lease(tx, row.customer_id, self.holder, now=now)
            return await _ended(tx, row, news, now)

        kind = await self.database.with_retry(book)
        return attempt_outcome(kind, row, intent_id=news.intent_id, reason=_REASONS[kind])

    async def _declined(
        self, row: Record, answer: StripeResponse, news: PaymentReport, decline: Decline
    ) -> Outcome:
        charge = failed_charge_id(answer.object) or charge_id(answer.object)

        async def book(tx: Tx) -> retry.Verdict:
            await settlement.record(tx, [news], now=_now(), who="autopay")
            return await self._end_declined(tx, row, decline, charge)

        verdict = await self.database.with_retry(book)
        return attempt_outcome(
            OutcomeKind.DECLINED, row, intent_id=news.intent_id, reason=verdict.reason,
            next_try=verdict.next_try_on,
        )  # fmt: skip

    async def _end_declined(
        self, tx: Tx, row: Record, decline: Decline, charge: str | None
    ) -> retry.Verdict:
        now = _now()
        tries = await attempts.count_tries(tx, row.invoice_id, row.payment_method_id)
        on = max(row.business_day, self._today(None)) if self.day is None else self.day
        verdict = retry.after_decline(decline, tries=max(tries, 1), on=on)
        await attempts.end_declined(
            tx,
            row.id,
            decline,
            now=now,
            reason=verdict.reason,
            next_try_on=verdict.next_try_on,
            charge_id=charge,
        )
        await attempts.release_customer_lease(tx, row.customer_id, self.holder, now=now)
        return verdict

    # --- every other end ---------------------------------------------------------------------

    async def _refused(self, row: Record, error: RequestRefused) -> Outcome:
        """Stripe refuses the request as it stands. What the intent says comes first."""
        async with self.database.snapshot() as tx:
            row = await attempts.load_attempt(tx, row.id)
        if row.intent_id is not None:
            answer = await retrieve_intent(self.gateway, row.intent_id)
            if self._has_ended(row, answer.object):
                return await self._recorded(row, answer)
        decline = Decline(code=error.code, message=error.message)
        async with self.database.transaction() as tx:
            verdict = await self._end_declined(tx, row, decline, row.charge_before)
        reason = f"{verdict.reason}: {error.message}"
        return attempt_outcome(
            OutcomeKind.DECLINED,
            row,
            intent_id=row.intent_id,
            reason=reason,
            next_try=verdict.next_try_on,
        )

    async def _withdrawn(self, row: Record, why: str) -> Outcome:
        """End an attempt that is not wanted any more; its intent must not be payable either."""
        async with self.database.snapshot() as tx:
            row = await attempts.load_attempt(tx, row.id)
        news = []
        if row.intent_id is not None:
            try:
                answer = await with_backoff(lambda: self.gateway.cancel(row.intent_id))
            except RequestRefused:
                return await self._recorded(row, await retrieve_intent(self.gateway, row.intent_id))
            news = [intent_report(answer.object, at=_now(), response=answer.body)]

        async def book(tx: Tx) -> None:
            now = _now()
            await settlement.record(tx, news, now=now, who="autopay")
            await attempts.end_attempt(tx, row.id, AttemptState.CANCELED, now=now, reason=why)
            await attempts.release_customer_lease(tx, row.customer_id, self.holder, now=now)

        await self.database.with_retry(book)
        return attempt_outcome(OutcomeKind.SKIPPED, row, intent_id=row.intent_id, reason=why)

    async def _left(self, row: Record, reason: str, *, unknown: bool) -> Outcome:
        """Without an end: the lease goes back, and Stripe is asked again."""
        now = _now()
        async with self.database.transaction() as tx:
            row = await attempts.load_attempt(tx, row.id)
            if row.lease_token == self.holder.token:
                unsure = unknown or _is_unknown(row)
                await attempts.release_unresolved(tx, row, now=now, reason=reason, unknown=unsure)
            await attempts.release_customer_lease(tx, row.customer_id, self.holder, now=now)
        log.warning("attempt left open", invoice=row.invoice_id, intent=row.intent_id, why=reason)
        return attempt_outcome(OutcomeKind.UNKNOWN, row, intent_id=row.intent_id, reason=reason)


async def choose_payment_method(gateway: Gateway, one: Candidate) -> str | Skip:
    """The payment method to charge: the client's own, else the Stripe customer's default."""
    method = one.payment_method_id
    try:
        if method is None and one.customer_id is not None:
            method = await gateway.default_method(one.customer_id)
    except (NoAnswer, StripeRateLimited, RequestRefused) as error:
        return Skip(f"the customer's default payment method is not known: {error}")
    return method or Skip("the client has no payment method, at Stripe neither")


_NEEDS_ACTION = Decline(code="requires_action", message="the customer must authenticate")
_REASONS = {
    OutcomeKind.CHARGED: None,
    OutcomeKind.PENDING: "the bank debit is processing",
    OutcomeKind.SKIPPED: "the intent was canceled at Stripe",
}


async def _ended(tx: Tx, row: Record, news: PaymentReport, now: datetime) -> OutcomeKind:
    match news.state:
        case PaymentState.SUCCEEDED:
            await attempts.end_attempt(
                tx, row.id, AttemptState.SUCCEEDED, now=now, charge_id=news.charge_id
            )
            return OutcomeKind.CHARGED
        case PaymentState.PROCESSING:
            await attempts.await_debit(tx, row.id, now=now, charge_id=news.charge_id)
            return OutcomeKind.PENDING
        case _:
            await attempts.end_attempt(
                tx, row.id, AttemptState.CANCELED, now=now, reason="canceled at Stripe"
            )
            return OutcomeKind.SKIPPED


def _create_params(one: Candidate, amount_minor: int, count: int) -> dict[str, Any]:
    """What the create sends, byte for byte, now and at every replay."""
    shown = one.invoicenumber or str(one.invoice_id)
    return {
        "amount": amount_minor,
        "currency": one.currency,
        "customer": one.customer_id,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "description": f"Invoice {shown}",
        "metadata": {"invoice_id": str(one.invoice_id), "attempt": str(count)},
    }


def _is_of(intent: Mapping[str, Any], row: Record) -> bool:
    named = (metadata_number(intent, "invoice_id"), metadata_number(intent, "attempt"))
    return named == (row.invoice_id, row.number)


def _is_unknown(row: Record) -> bool:
    return bool(row.state == AttemptState.UNKNOWN or row.step == AttemptStep.CONFIRMING)


def _now() -> datetime:
    return datetime.now(UTC)
