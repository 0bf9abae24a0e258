"""Ends an attempt that nobody can go on with, where Stripe proves that it can move no money.

A proof is one of these: Stripe cancels its intent now; the intent is canceled already; or the
account and mode in which the attempt began do not know the intent. Without one the attempt stays.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from app.errors import ChargeUnderWay, InvalidField, NotFound, Refused, Unavailable
from app.ledger import audit, settlement
from app.payments.autopay import attempts, leases
from app.payments.autopay.attempts import Attempt
from app.payments.autopay.leases import LeaseHolder
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeRateLimited,
)
from app.payments.stripe.stripe_objects import (
    evidence_in,
    intent_report,
    intent_state,
    metadata_number,
)
from app.rules.attempt import UNRESOLVED, AttemptState
from app.rules.claim import Evidence
from app.rules.payment import PaymentState
from app.storage.engines import Database, Tx, database_time

# An intent is looked for from a little before its attempt began: two clocks may differ.
_CLOCK_SKEW = timedelta(minutes=5)
# A sentence or two; it stands in the audit and in every list of attempts.
REASON_MAX = 500
_UNKNOWN = "resource_missing"


@dataclass(frozen=True, slots=True)
class Proof:
    """The words that the attempt ends with, and its intent where Stripe has one."""

    words: str
    intent: Mapping[str, Any] | None = None
    body: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnding:
    """Ends attempts by hand. Its gateway is open."""

    database: Database
    gateway: Gateway
    installation: str

    async def end(self, attempt_id: int, *, reason: str, who: str) -> str:
        """End an unresolved attempt and answer the proof; Refused where there is none."""
        if not 0 < len(reason.strip()) <= REASON_MAX:
            raise InvalidField("reason", f"has not 1 to {REASON_MAX} characters")
        holder = LeaseHolder(uuid4().hex)
        async with self._hold_lease(attempt_id, holder) as attempt:
            with _silence_as_refusal():
                proof = await self._prove(attempt)
            await self.database.with_retry(
                lambda tx: _write(tx, attempt, proof, reason, who, self.installation)
            )
        return proof.words

    @asynccontextmanager
    async def _hold_lease(self, attempt_id: int, holder: LeaseHolder) -> AsyncIterator[Attempt]:
        """The attempt under a lease of ours, so that no run goes on with it meanwhile."""
        async with self.database.transaction() as tx:
            attempt = await _take(tx, attempt_id, holder)
        try:
            yield attempt
        finally:
            async with self.database.transaction() as tx:
                await leases.release_leases(tx, holder, now=await database_time(tx))

    async def _prove(self, attempt: Attempt) -> Proof:
        intent_id = attempt.intent_id
        try:
            intent_id = intent_id or await self._find_intent(attempt)
        except RequestRefused as error:
            return await self._prove_absence(attempt, f"customer {attempt.customer_id}", error)
        if intent_id is None:
            return Proof("Stripe has no intent of it")
        return await self._cancel(attempt, intent_id)

    async def _find_intent(self, attempt: Attempt) -> str | None:
        """The intent of a create that got no answer."""
        since = attempt.created_at - _CLOCK_SKEW
        async for intent in self.gateway.intents(customer_id=attempt.customer_id, since=since):
            named = (metadata_number(intent, "invoice_id"), metadata_number(intent, "attempt"))
            is_foreign = evidence_in(intent, self.installation) == Evidence.FOREIGN
            if named == (attempt.invoice_id, attempt.number) and not is_foreign:
                return str(intent["id"])
        return None

    async def _cancel(self, attempt: Attempt, intent_id: str) -> Proof:
        try:
            canceled = await self.gateway.cancel(intent_id)
        except RequestRefused:
            return await self._prove_canceled(attempt, intent_id)
        return Proof(f"Stripe has canceled {intent_id}", canceled.object, canceled.body)

    async def _prove_canceled(self, attempt: Attempt, intent_id: str) -> Proof:
        """Stripe does not cancel the intent: it is canceled, or unknown, or money may move."""
        try:
            found = await self.gateway.retrieve(intent_id)
        except RequestRefused as error:
            return await self._prove_absence(attempt, intent_id, error)
        if intent_state(found.object) == PaymentState.CANCELED:
            return Proof(f"{intent_id} is canceled at Stripe", found.object, found.body)
        status = found.object.get("status")
        raise Refused(
            f"attempt {attempt.id} cannot be ended: Stripe says that {intent_id} is {status}"
        )

    async def _prove_absence(self, attempt: Attempt, what: str, error: RequestRefused) -> Proof:
        """That Stripe does not know it proves something only where the attempt began."""
        why = f"attempt {attempt.id} cannot be ended"
        if error.code != _UNKNOWN:
            raise Refused(f"{why}: {error.message}")
        account = await self.gateway.account_name()
        if attempt.stripe_account is None and not await self._knows_customer(attempt):
            raise Refused(f"{why}: {account} knows neither it nor {attempt.customer_id}")
        if attempt.stripe_account not in (None, account):
            raise Refused(f"{why}: it began under {attempt.stripe_account}, the key is {account}'s")
        return Proof(f"{account} does not know {what}")

    async def _knows_customer(self, attempt: Attempt) -> bool:
        """For an attempt of before 0005: its customer belongs to one account and mode."""
        try:
            await self.gateway.default_method(attempt.customer_id)
        except RequestRefused:
            return False
        return True


@contextmanager
def _silence_as_refusal() -> Iterator[None]:
    """Without Stripe's word there is no proof, whatever the reason for its silence."""
    try:
        yield
    except (NoAnswer, StripeRateLimited) as error:
        raise Unavailable(f"Stripe gives no usable answer: {error}") from error
    except NotAuthorized as error:
        raise Refused(f"Stripe does not accept the key: {error}") from error


async def _take(tx: Tx, attempt_id: int, holder: LeaseHolder) -> Attempt:
    now = await database_time(tx)
    current = await attempts.find_attempt(tx, attempt_id)
    if current is None:
        raise NotFound("ChargeAttempt", attempt_id)
    if current.state not in UNRESOLVED:
        raise Refused(f"attempt {attempt_id} has ended already: it is {current.state}")
    attempt = await attempts.take_over(tx, attempt_id, holder, now=now)
    if attempt is None or not await leases.acquire_customer_lease(
        tx, attempt.customer_id, holder, now=now
    ):
        raise ChargeUnderWay(f"a run is charging for attempt {attempt_id} now; wait a minute")
    return attempt


async def _write(
    tx: Tx, attempt: Attempt, proof: Proof, reason: str, who: str, installation: str
) -> None:
    """Book the intent as it is now, end the attempt, and record who ended it and why."""
    now = await database_time(tx)
    if proof.intent is not None:
        report = intent_report(
            proof.intent,
            at=now.replace(microsecond=0),
            installation=installation,
            response=proof.body,
        )
        await settlement.record(tx, [report], now=now, who=who)
    await _assert_still_ours(tx, attempt)
    words = f"{reason} (ended by {who}: {proof.words})"
    await attempts.end_attempt(tx, attempt.id, AttemptState.CANCELED, now=now, reason=words)
    field = f"attempts[{attempt.number}].state"
    ended = f"{AttemptState.CANCELED}: {words}"
    changes = [
        audit.AuditChange(one.invoice_id, field, attempt.state, ended)
        for one in await attempts.load_shares(tx, attempt)
    ]
    await audit.write(tx, changes, who=who, now=now)


async def _assert_still_ours(tx: Tx, attempt: Attempt) -> None:
    """A lease that ran out may have let a run go on; an event may have ended the attempt."""
    current = await attempts.load_attempt(tx, attempt.id)
    is_ours = current.lease_token == attempt.lease_token
    if current.state != AttemptState.CANCELED and not (is_ours and current.state in UNRESOLVED):
        raise ChargeUnderWay(f"attempt {attempt.id} has gone on meanwhile: it is {current.state}")
