"""Other ways to pay an invoice that is about to be paid: closed, or the payment has to wait.

When a confirm goes out, or the address of a Checkout Session of ours, nothing else that is known to
be for the invoice can still take money. Stripe itself is asked: for the customer's Checkout
Sessions and PaymentIntents, and for sessions of guests that name the invoice. An unfinished one is
closed; money that is held, awaited or taken is booked, and the payment waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

import structlog
from sqlalchemy import select

from app.ledger import settlement
from app.payments.autopay import attempt_reports, holds, unnamed_pages
from app.payments.autopay.attempts import AttemptShare
from app.payments.stripe.gateway import Gateway, RequestRefused, retrieve_intent, with_backoff
from app.payments.stripe.stripe_objects import (
    StripeObject,
    evidence_in,
    instant_of,
    intent_report,
    metadata_number,
    named_shares,
    next_action,
    reference,
    text_of,
    whole_number,
)
from app.rules.claim import Evidence
from app.rules.payment import TAKES_DAYS, PaymentReport, PaymentState
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.stripe_payments import StripePayment

INTENTS = table_of(StripePayment)
log = structlog.get_logger("paydue.autopay")
# By intent, the invoices that its completed session is for.
Named = Mapping[str, set[int]]

# A bank debit from a Checkout Session takes two weeks; Stripe keeps events so long.
LOOK_BACK = timedelta(days=30)
# A Checkout Session can be paid for a day at most; an hour more allows for clocks that differ.
SESSION_LIFE = timedelta(hours=25)
# Sessions of guests are listed again when the last list is older than this: a request a second.
GUESTS_STALE_S = 1.0
# Stripe's lists may lag a little behind, and its times are whole seconds.
OVERLAP = timedelta(seconds=60)


class NoLongerDue(Exception):
    """The last look found that this charge is not wanted any more, or has to wait.

    `invoices` are those it is about, each with the reason; without any, all of the attempt's.
    """

    def __init__(self, reason: str, invoices: Mapping[int, str] | Iterable[int] = ()) -> None:
        super().__init__(reason)
        self.invoices = (
            invoices if isinstance(invoices, Mapping) else dict.fromkeys(invoices, reason)
        )


class PlannedPayment(Protocol):
    """A payment that is about to be made: a charge attempt, or a Checkout Session."""

    @property
    def customer_id(self) -> str | None: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def currency(self) -> str: ...
    @property
    def intent_id(self) -> str | None:
        """Its own intent, which is no other way."""

    @property
    def replaces_intent_id(self) -> str | None: ...


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


async def _no_look() -> None:
    """A charge attempt has claimed its invoices: no other can begin meanwhile."""


@dataclass(frozen=True, slots=True)
class OtherWays:
    """The other ways to pay the invoices of one planned payment."""

    database: Database
    gateway: Gateway
    installation: str
    guests: GuestSessions
    attempt: PlannedPayment
    shares: Sequence[AttemptShare]
    # Whether an open session is this very payment, begun before.
    is_own_session: Callable[[StripeObject], bool] = lambda _: False
    # The same of an unfinished intent.
    is_own_intent: Callable[[StripeObject], bool] = lambda _: False
    # Called between the lists and the closing: NoLongerDue where an intent listed may be at work.
    look_at_claims: Callable[[], Awaitable[None]] = _no_look
    who: str = "autopay"

    @property
    def _amounts(self) -> dict[int, int]:
        """By invoice, in minor units."""
        return {one.invoice_id: one.amount_minor for one in self.shares}

    async def close(self) -> StripeObject | None:
        """Close what is unfinished and book what is not; NoLongerDue when it must wait.

        Answers the session or the intent that is this very payment, which stays open.
        """
        since = datetime.now(UTC) - LOOK_BACK
        sessions, intents = await self._list_of_customer(since)
        sessions += await self._guests_trusted()
        own = next((one for one in sessions if self._is_own(one)), None)
        named = await self._close_sessions([one for one in sessions if one is not own])
        await self._refuse_changed(intents)
        listed = {one["id"] for one in intents}
        for intent_id, invoices in (await self._known_unfinished()).items():
            named.setdefault(intent_id, set()).update(invoices)
        for intent_id in sorted(named.keys() - listed):
            shown = await self._retrieve(intent_id)
            if shown is not None:
                intents.append(shown)
        own = own or next((one for one in intents if self._is_own_unfinished(one)), None)
        of_own = {reference(own), reference(own.get("payment_intent"))} if own else {None}
        others = [one for one in intents if self._is_another(one) and one["id"] not in of_own]
        await self.look_at_claims()
        await self._book_news(others, named)
        for intent in others:
            await self._close_intent(intent, self._names(intent, named))
        unnamed = [one for one in others if not self._names(one, named)]
        await self._refuse_unnamed(sessions, unnamed)
        return own

    async def _list_of_customer(
        self, since: datetime
    ) -> tuple[list[StripeObject], list[StripeObject]]:
        """The sessions and intents of the customer; of nobody there are none."""
        customer = self.attempt.customer_id
        if customer is None:
            return [], []
        sessions = await with_backoff(lambda: self.gateway.sessions(customer, since))
        intents = [one async for one in self.gateway.intents(customer_id=customer, since=since)]
        return sessions, intents

    def _is_own(self, session: StripeObject) -> bool:
        return session.get("status") == "open" and self.is_own_session(session)

    def _is_own_unfinished(self, intent: StripeObject) -> bool:
        return intent.get("status") in _UNFINISHED and self.is_own_intent(intent)

    async def _refuse_unnamed(
        self, sessions: Iterable[StripeObject], unnamed: Iterable[StripeObject]
    ) -> None:
        customer = self.attempt.customer_id
        if customer is None:
            return
        page = await unnamed_pages.find_page(
            self.database, customer, self.attempt.currency, self._amounts, sessions, unnamed
        )
        if page is not None:
            raise NoLongerDue(
                f"{page.id} names no invoice of the client, is unfinished and may be for it",
                page.invoice_ids,
            )

    async def _refuse_changed(self, intents: Iterable[StripeObject]) -> None:
        """NoLongerDue where the attempt's own intent would take other money, or only hold it.

        Whoever has a key can change an intent until it is confirmed, such as one that waits for a
        second try.
        """
        own = next((one for one in intents if one["id"] == self.attempt.intent_id), None)
        if own is None and self.attempt.intent_id is not None:
            own = await self._retrieve(self.attempt.intent_id)
        if own is None:
            return  # the confirm says so
        attempt = self.attempt
        wanted = (attempt.amount_minor, attempt.currency, attempt.customer_id)
        found = (own.get("amount"), own.get("currency"), reference(own.get("customer")))
        if found != wanted or own.get("capture_method") == "manual":
            raise NoLongerDue(
                f"{attempt.intent_id} was changed at Stripe and would take other money"
            )

    async def _retrieve(self, intent_id: str) -> StripeObject | None:
        """The intent; None for one that Stripe does not know, and so cannot take money by."""
        try:
            return (await with_backoff(lambda: self.gateway.retrieve(intent_id))).object
        except RequestRefused as error:
            log.warning("intent not shown", intent=intent_id, why=error.message)
            return None

    async def _known_unfinished(self) -> dict[str, set[int]]:
        """Intents for the invoices that the customer's list has not: guests', old or moved ones."""
        async with self.database.snapshot() as tx:
            found = await holds.find_unfinished(tx, self._amounts)
        ours = (self.attempt.intent_id, self.attempt.replaces_intent_id)
        return {intent_id: named for intent_id, named in found.items() if intent_id not in ours}

    # --- sessions ------------------------------------------------------------------------------

    async def _guests_trusted(self) -> list[StripeObject]:
        """Others' sessions whose claim counts: our own, or a guest's for exactly what is due.

        One of ours may be another customer's: the client had him before.
        """
        found = {
            one["id"]: one
            for invoice_id, amount_minor in self._amounts.items()
            for one in await self.guests.naming(invoice_id)
            if self._is_trusted(one, amount_minor)
        }
        return list(found.values())

    def _is_trusted(self, session: StripeObject, amount_minor: int) -> bool:
        customer = reference(session.get("customer"))
        if customer is not None and customer == self.attempt.customer_id:
            return False  # it is in the customer's own list
        if evidence_in(session, self.installation) == Evidence.METADATA:
            return True
        return customer is None and session.get("amount_total") == amount_minor

    async def _close_sessions(self, sessions: Iterable[StripeObject]) -> dict[str, set[int]]:
        """Expire open sessions for the invoices; the intents of the completed ones, with theirs."""
        intents: dict[str, set[int]] = {}
        for session in sessions:
            is_foreign = evidence_in(session, self.installation) == Evidence.FOREIGN
            named = _named_by_session(session) & self._amounts.keys()
            if is_foreign or not named:
                continue
            if session["status"] == "open":
                await self._expire(session, named)
            elif session["status"] == "complete":
                intent_id = self._intent_of(session, named)
                if intent_id is not None:
                    intents.setdefault(intent_id, set()).update(named)
        return intents

    async def _expire(self, session: StripeObject, named: set[int]) -> None:
        try:
            await with_backoff(lambda: self.gateway.expire(session["id"]))
        except RequestRefused as error:
            now = await self.gateway.session(session["id"])
            if now.get("status") == "expired":
                return
            raise NoLongerDue("a Checkout Session for it is being paid", named) from error

    def _intent_of(self, session: StripeObject, named: set[int]) -> str | None:
        intent_id = reference(session.get("payment_intent"))
        if intent_id is None and session.get("payment_status") == "unpaid":
            raise NoLongerDue(
                f"the Checkout Session {session['id']} is complete and awaits its money", named
            )
        return intent_id

    # --- intents -------------------------------------------------------------------------------

    def _is_another(self, intent: StripeObject) -> bool:
        replaced = {one.replaces_intent_id for one in self.shares}
        is_ours = intent["id"] in {self.attempt.intent_id, *replaced}
        return not is_ours and evidence_in(intent, self.installation) != Evidence.FOREIGN

    def _names(self, intent: StripeObject, named: Named) -> set[int]:
        """The invoices of the attempt that an intent, or its session, says that it is for."""
        alone = metadata_number(intent, "invoice_id")
        said = {*named.get(intent["id"], ()), *named_shares(intent), alone}
        return {one for one in self._amounts if one in said}

    async def _book_news(self, intents: Sequence[StripeObject], named: Named) -> None:
        """Book what Stripe has taken, holds or awaits and we have not heard of; it may be for this.

        Their events may still be on the way.
        """
        relevant = [one for one in intents if _is_taken(one) or _is_held(one)]
        if not relevant:
            return
        known = await self._known_states([one["id"] for one in relevant])
        reports = [self._report(one, named) for one in relevant]
        news = [one for one in reports if one is not None and known.get(one.intent_id) != one.state]
        if news:
            await self._record(news)

    async def _known_states(self, intent_ids: Sequence[str]) -> dict[str, int]:
        async with self.database.snapshot() as tx:
            rows = await _STATES.all(tx, ids=intent_ids)
            return {row.intent_id: row.state for row in rows}

    def _report(self, intent: StripeObject, named: Named) -> PaymentReport:
        at = datetime.now(UTC).replace(microsecond=0)
        report = intent_report(intent, at=at, installation=self.installation)
        if intent["id"] in named and report.invoice_id is None:
            return report._replace(invoice_id=min(named[intent["id"]]))
        return report

    async def _record(self, reports: Sequence[PaymentReport]) -> None:
        now = datetime.now(UTC)

        async def work(tx: Tx) -> None:
            await settlement.record(tx, reports, now=now, who=self.who)
            await attempt_reports.follow_reports(tx, reports, now=now)

        await self.database.with_retry(work)

    async def _close_intent(self, intent: StripeObject, named: set[int]) -> None:
        for_these = named or self._of_same_amount(intent)
        status = intent.get("status")
        if not for_these or status in {"succeeded", "canceled"}:
            return  # what was taken is booked, and the last look reads the books
        if status == "processing":
            raise NoLongerDue(f"{intent['id']} is processing and may be for it", for_these)
        if _is_held(intent):
            raise NoLongerDue(_held_reason(intent), for_these)
        if named:
            await self._cancel(intent["id"], named)

    def _of_same_amount(self, intent: StripeObject) -> set[int]:
        """The invoices that an intent without a name may be for: one of them, or all at once."""
        is_named = metadata_number(intent, "invoice_id") is not None
        if is_named or intent.get("currency") != self.attempt.currency:
            return set()
        amount = intent.get("amount")
        if amount == self.attempt.amount_minor:
            return set(self._amounts)
        return {one for one, share in self._amounts.items() if share == amount}

    async def _cancel(self, intent_id: str, named: set[int]) -> None:
        """Cancel an unfinished intent for an invoice; one that was paid meanwhile is booked."""
        try:
            response = await with_backoff(lambda: self.gateway.cancel(intent_id))
        except RequestRefused:
            response = await retrieve_intent(self.gateway, intent_id)
        found = self._report(response.object, {intent_id: named})
        report = found._replace(response=response.body)
        await self._record([report])
        if report.state != PaymentState.CANCELED:
            raise NoLongerDue(f"{intent_id} for it cannot be cancelled and may be paid", named)


_UNFINISHED = frozenset({"requires_payment_method", "requires_confirmation"})


class _IntentState(NamedTuple):
    intent_id: str
    state: int


_STATES = PreparedStatement(
    select(INTENTS.c.intent_id, INTENTS.c.state).where(any_of(INTENTS.c.intent_id, "ids")),
    _IntentState,
)


def _named_by_session(session: StripeObject) -> set[int]:
    named = (
        metadata_number(session, "invoice_id"),
        whole_number(session.get("client_reference_id")),
        *named_shares(session),
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
