"""Other ways to pay an invoice that is about to be charged: closed, or the charge is held.

When a confirm goes out, nothing else that is known to be for the invoice can still take money.
Stripe itself is asked: for the customer's Checkout Sessions and PaymentIntents, and for sessions of
guests that name the invoice. An unfinished one is closed; money that is held, awaited or taken is
booked, and the charge waits.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from app.ledger import settlement
from app.payments.autopay import holds, unnamed_pages
from app.payments.autopay.attempts import Attempt
from app.payments.stripe.gateway import Gateway, RequestRefused, retrieve_intent, with_backoff
from app.payments.stripe.stripe_objects import (
    StripeObject,
    evidence_in,
    instant_of,
    intent_report,
    metadata_number,
    next_action,
    reference,
    text_of,
    whole_number,
)
from app.rules.claim import Evidence
from app.rules.payment import TAKES_DAYS, PaymentReport, PaymentState
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.stripe_payments import StripePayment

INTENTS = table_of(StripePayment)

# A bank debit from a Checkout Session takes two weeks; Stripe keeps events so long.
LOOK_BACK = timedelta(days=30)
# A Checkout Session can be paid for a day at most; an hour more allows for clocks that differ.
SESSION_LIFE = timedelta(hours=25)
# An unfinished intent that names no invoice may be a page that somebody has open, for so long.
PAGE_LIFE = timedelta(hours=24)
# Sessions of guests are listed again when the last list is older than this: a request a second.
GUESTS_STALE_S = 1.0
# Stripe's lists may lag a little behind, and its times are whole seconds.
OVERLAP = timedelta(seconds=60)


class NoLongerDue(Exception):
    """The last look found that this charge is not wanted any more, or has to wait."""


@dataclass(slots=True)
class GuestSessions:
    """Checkout Sessions by the invoice they name, whoever pays; one list for a whole run."""

    gateway: Gateway
    _by_invoice: dict[int, dict[str, StripeObject]] = field(default_factory=dict)
    # Stripe's own time of the newest one listed: our clock may be ahead of it.
    _newest: datetime | None = None
    _listed_at: float | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def naming(self, invoice_id: int) -> list[StripeObject]:
        async with self._turn:
            loop = asyncio.get_running_loop()
            if self._listed_at is None or loop.time() > self._listed_at + GUESTS_STALE_S:
                await self._list()
                self._listed_at = loop.time()
        return list(self._by_invoice.get(invoice_id, {}).values())

    async def _list(self) -> None:
        since = (self._newest or datetime.now(UTC) - SESSION_LIFE) - OVERLAP
        for session in await with_backoff(lambda: self.gateway.sessions(since=since)):
            for invoice_id in _named_by_session(session):
                self._by_invoice.setdefault(invoice_id, {})[session["id"]] = session
            created = instant_of(session, "created")
            if created is not None:
                self._newest = max(self._newest or created, created)


@dataclass(frozen=True, slots=True)
class OtherWays:
    """The other ways to pay one attempt's invoice."""

    database: Database
    gateway: Gateway
    installation: str
    guests: GuestSessions
    attempt: Attempt

    async def close(self) -> None:
        """Close what is unfinished and book what is not; NoLongerDue when the charge must wait."""
        since = datetime.now(UTC) - LOOK_BACK
        customer = self.attempt.customer_id
        sessions = await with_backoff(lambda: self.gateway.sessions(customer, since))
        sessions += await self._guests_trusted()
        named = await self._close_sessions(sessions)
        intents = [one async for one in self.gateway.intents(customer_id=customer, since=since)]
        listed = {one["id"] for one in intents}
        named |= await self._known_unfinished()
        for intent_id in sorted(named - listed):
            intents.append((await retrieve_intent(self.gateway, intent_id)).object)
        others = [one for one in intents if self._is_another(one)]
        await self._book_news(others, named)
        for intent in others:
            await self._close_intent(intent, is_named=self._names(intent, named))
        page = await unnamed_pages.find_page(self.database, self.attempt, sessions, others)
        if page is not None:
            raise NoLongerDue(
                f"{page} names no invoice of the client, is unfinished and may be for it"
            )

    async def _known_unfinished(self) -> set[str]:
        """Intents for the invoice that the customer's list has not: guests', old or moved ones."""
        async with self.database.snapshot() as tx:
            known = set(await holds.list_unfinished(tx, self.attempt.invoice_id))
        return known - {self.attempt.intent_id, self.attempt.replaces_intent_id}

    # --- sessions ------------------------------------------------------------------------------

    async def _guests_trusted(self) -> list[StripeObject]:
        """Others' sessions whose claim counts: our own, or a guest's for exactly what is due.

        One of ours may be another customer's: the client had him before.
        """
        found = await self.guests.naming(self.attempt.invoice_id)
        return [one for one in found if self._is_trusted(one)]

    def _is_trusted(self, session: StripeObject) -> bool:
        customer = reference(session.get("customer"))
        if customer == self.attempt.customer_id:
            return False  # it is in the customer's own list
        if evidence_in(session, self.installation) == Evidence.METADATA:
            return True
        return customer is None and session.get("amount_total") == self.attempt.amount_minor

    async def _close_sessions(self, sessions: Iterable[StripeObject]) -> set[str]:
        """Expire open sessions for the invoice; the ids of the intents of the completed ones."""
        intents = set()
        for session in sessions:
            is_foreign = evidence_in(session, self.installation) == Evidence.FOREIGN
            if is_foreign or self.attempt.invoice_id not in _named_by_session(session):
                continue
            if session["status"] == "open":
                await self._expire(session)
            elif session["status"] == "complete":
                intents.add(self._intent_of(session))
        return {one for one in intents if one is not None}

    async def _expire(self, session: StripeObject) -> None:
        try:
            await with_backoff(lambda: self.gateway.expire(session["id"]))
        except RequestRefused as error:
            now = await self.gateway.session(session["id"])
            if now.get("status") == "expired":
                return
            raise NoLongerDue("a Checkout Session for it is being paid") from error

    def _intent_of(self, session: StripeObject) -> str | None:
        intent_id = reference(session.get("payment_intent"))
        if intent_id is None and session.get("payment_status") == "unpaid":
            raise NoLongerDue(
                f"the Checkout Session {session['id']} is complete and awaits its money"
            )
        return intent_id

    # --- intents -------------------------------------------------------------------------------

    def _is_another(self, intent: StripeObject) -> bool:
        is_ours = intent["id"] in (self.attempt.intent_id, self.attempt.replaces_intent_id)
        return not is_ours and evidence_in(intent, self.installation) != Evidence.FOREIGN

    def _names(self, intent: StripeObject, named: set[str]) -> bool:
        return (
            intent["id"] in named
            or metadata_number(intent, "invoice_id") == self.attempt.invoice_id
        )

    async def _book_news(self, intents: Sequence[StripeObject], named: set[str]) -> None:
        """Book what Stripe has taken, holds or awaits and we have not heard of; it may be for this.

        Their events may still be on the way.
        """
        relevant = [one for one in intents if _is_taken(one) or _is_held(one)]
        known = await self._known_states([one["id"] for one in relevant])
        reports = [self._report(one, named) for one in relevant]
        news = [one for one in reports if one is not None and known.get(one.intent_id) != one.state]
        if news:
            await self._record(news)

    async def _known_states(self, intent_ids: Sequence[str]) -> dict[str, int]:
        async with self.database.snapshot() as tx:
            rows = await tx.execute(
                select(INTENTS.c.intent_id, INTENTS.c.state).where(
                    INTENTS.c.intent_id.in_(intent_ids)
                )
            )
            return {intent_id: state for intent_id, state in rows}

    def _report(self, intent: StripeObject, named: set[str]) -> PaymentReport:
        at = datetime.now(UTC).replace(microsecond=0)
        report = intent_report(intent, at=at, installation=self.installation)
        if intent["id"] in named and report.invoice_id is None:
            return replace(report, invoice_id=self.attempt.invoice_id)
        return report

    async def _record(self, reports: Sequence[PaymentReport]) -> None:
        now = datetime.now(UTC)
        await self.database.with_retry(
            lambda tx: settlement.record(tx, reports, now=now, who="autopay")
        )

    async def _close_intent(self, intent: StripeObject, *, is_named: bool) -> None:
        may_be_for_it = is_named or self._is_of_same_amount(intent)
        status = intent.get("status")
        if not may_be_for_it or status in {"succeeded", "canceled"}:
            return  # what was taken is booked, and the last look reads the books
        if status == "processing":
            raise NoLongerDue(f"{intent['id']} is processing and may be for it")
        if _is_held(intent):
            raise NoLongerDue(_held_reason(intent))
        if is_named:
            await self._cancel(intent["id"])
        elif _is_recent(intent):
            raise NoLongerDue(
                f"{intent['id']} of the same amount is unfinished and may be for it, until a day "
                "after it was made"
            )

    def _is_of_same_amount(self, intent: StripeObject) -> bool:
        same = (self.attempt.amount_minor, self.attempt.currency)
        return metadata_number(intent, "invoice_id") is None and same == (
            intent.get("amount"),
            intent.get("currency"),
        )

    async def _cancel(self, intent_id: str) -> None:
        """Cancel an unfinished intent for the invoice; one that was paid meanwhile is booked."""
        try:
            response = await with_backoff(lambda: self.gateway.cancel(intent_id))
        except RequestRefused:
            response = await retrieve_intent(self.gateway, intent_id)
        report = replace(self._report(response.object, {intent_id}), response=response.body)
        await self._record([report])
        if report.state != PaymentState.CANCELED:
            raise NoLongerDue(f"{intent_id} for it cannot be cancelled and may be paid")


def _named_by_session(session: StripeObject) -> set[int]:
    named = (
        metadata_number(session, "invoice_id"),
        whole_number(session.get("client_reference_id")),
    )
    return {one for one in named if one is not None}


def _is_taken(intent: StripeObject) -> bool:
    return intent.get("status") in {"succeeded", "processing"}


def _is_held(intent: StripeObject) -> bool:
    """A card holds the money for us, or the customer pays in their own time."""
    status = intent.get("status")
    return status == "requires_capture" or (
        status == "requires_action" and next_action(intent) in TAKES_DAYS
    )


def _held_reason(intent: StripeObject) -> str:
    if intent.get("status") == "requires_capture":
        return f"{intent['id']} holds money on a card for it and may be captured"
    return f"{intent['id']} for it waits for the customer: {text_of(next_action(intent))}"


def _is_recent(intent: StripeObject) -> bool:
    created = instant_of(intent, "created")
    return created is not None and datetime.now(UTC) - created < PAGE_LIFE
