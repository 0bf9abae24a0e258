"""From the button of a link's page to the address of a Checkout Session, under autopay's guard.

    lease     the customer's, as charges have it: one mutation at a time
    close     no transaction: every other way to pay the invoices is closed, or what waits is told
    claim     transaction: the invoices under their locks, looked at again; the session's number
    open      no transaction: the session, under a key of its own; it can take money once shown
    confirm   transaction: the invoices are looked at again, and only then is the address shown

An automatic charge claims its invoices before it asks Stripe for sessions, and the address of a
session is shown only after a look at the claims. So whichever comes first, the other one sees it,
however long a process may have slept in between. A session whose address nobody was shown can take
no money.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog

from app.errors import Unavailable
from app.ledger import pay_links
from app.ledger.link_sessions import ShownSession, record_session
from app.ledger.pay_links import StoredPayLink
from app.payments.autopay.leases import LeaseHolder
from app.payments.autopay.other_ways import NoLongerDue
from app.payments.checkout.owed_invoices import (
    Owed,
    PayableInvoice,
    PayState,
    load_owed,
    set_aside,
)
from app.payments.checkout.payable_way import PayableWay, PaymentPlan
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeKeyReused,
    StripeRateLimited,
)
from app.payments.stripe.stripe_objects import (
    StripeObject,
    evidence_in,
    instant_of,
    metadata_number,
    named_shares,
    reference,
)
from app.rules import consolidation
from app.rules.claim import INSTALLATION_KEY, Evidence
from app.storage.engines import Database, Tx

log = structlog.get_logger("paydue.pay_links")

# Stripe's least is half an hour from its own clock, which may be a little ahead of ours.
SESSION_LASTS = timedelta(minutes=32)
# A session that ends sooner is replaced: nobody finds a card within seconds.
SESSION_LEFT_MIN = timedelta(minutes=5)
# The session's metadata names its link under this key.
LINK_KEY = "paydue_link"
# Each round takes at least one invoice out, or finds that one has just changed.
_ROUNDS_MAX = 5


class Opened(NamedTuple):
    """The page at Stripe where the customer pays now."""

    url: str


class NotOpened(NamedTuple):
    """Nothing can be paid now: what the page shows, with what each invoice waits for."""

    owed: Owed


@dataclass(frozen=True, slots=True)
class PayLinkCheckout:
    """Opens the Checkout Sessions of links."""

    database: Database
    gateway: Gateway
    installation: str

    @property
    def _way(self) -> PayableWay:
        return PayableWay(self.database, self.gateway, self.installation, who="pay link")

    async def open(self, link: StoredPayLink, currency: str, page_url: str) -> Opened | NotOpened:
        """A session for all that the link shows as due in a currency, or the reasons why not.

        Unavailable when Stripe cannot be asked. The same button again finds the same session.
        """
        holder = LeaseHolder(secrets.token_hex(16))
        waiting: set[int] = set()
        for _ in range(_ROUNDS_MAX):
            owed, plan = await self._plan(link, currency, waiting)
            if plan is None:
                break
            if not await self._way.acquire(plan, holder):
                waiting.update(plan.shares_minor)
                continue
            try:
                url = await self._open(link, plan, holder, page_url)
            except NoLongerDue as error:
                log.info("checkout waits", link=link.id, why=str(error))
                waiting.update(error.invoices or plan.shares_minor)
                continue
            except RequestRefused as error:
                log.warning("checkout refused", link=link.id, why=error.message)
                return NotOpened(_refused(owed, plan))
            except (NoAnswer, NotAuthorized, StripeRateLimited) as error:
                log.warning("checkout not opened", link=link.id, why=str(error))
                raise Unavailable("Stripe cannot be asked now") from error
            finally:
                await self._way.release(plan, holder)
            if url is not None:
                return Opened(url)
        owed, _ = await self._plan(link, currency, waiting)
        return NotOpened(owed)

    async def _plan(
        self, link: StoredPayLink, currency: str, waiting: set[int]
    ) -> tuple[Owed, PaymentPlan | None]:
        async with self.database.snapshot() as tx:
            owed = await load_owed(tx, link)
        owed = Owed(
            set_aside(owed.invoices, waiting), owed.client_name, owed.customer_id, owed.has_more
        )
        due = owed.due(currency)
        if not due:
            return owed, None
        first = consolidation.charges_of([one.amount_minor for one in due])[0]
        return owed, PaymentPlan(owed.customer_id, currency, due[first])

    # --- steps -----------------------------------------------------------------------------------

    async def _open(
        self, link: StoredPayLink, plan: PaymentPlan, holder: LeaseHolder, page_url: str
    ) -> str | None:
        """The address; None when an invoice has just changed and all is looked at again."""
        found = await self._close_other_ways(link, plan)
        if found is None:
            number = await self._claim(link, plan, holder)
            if number is None:
                return None
            found = await self._create(link, plan, number, page_url)
            if found is None:
                return None
        url = found.get("url")
        if not isinstance(url, str) or not await self._confirm(link, plan, holder, found):
            await self._expire(found["id"])
            return None
        log.info("checkout opened", link=link.id, session=found["id"], invoices=len(plan.invoices))
        return url

    async def _close_other_ways(
        self, link: StoredPayLink, plan: PaymentPlan
    ) -> StripeObject | None:
        """Close them; answer the session that is this very payment, where one is open."""
        return await self._way.close_others(
            plan, is_own_session=lambda session: self._is_same(session, link, plan)
        )

    def _is_same(self, session: StripeObject, link: StoredPayLink, plan: PaymentPlan) -> bool:
        ends_at = instant_of(session, "expires_at")
        return (
            evidence_in(session, self.installation) == Evidence.METADATA
            and metadata_number(session, LINK_KEY) == link.id
            and named_shares(session) == plan.shares_minor
            and session.get("amount_total") == plan.amount_minor
            and session.get("currency") == plan.currency
            and reference(session.get("customer")) == plan.customer_id
            and ends_at is not None
            and ends_at - self.database.now() > SESSION_LEFT_MIN
        )

    async def _claim(
        self, link: StoredPayLink, plan: PaymentPlan, holder: LeaseHolder
    ) -> int | None:
        async def work(tx: Tx) -> int | None:
            if not await self._way.is_unchanged(tx, plan, holder):
                return None
            return await pay_links.next_session(tx, link.id)

        return await self.database.with_retry(work)

    async def _create(
        self, link: StoredPayLink, plan: PaymentPlan, number: int, page_url: str
    ) -> StripeObject | None:
        """The session; None where the key was used by another life of this database."""
        params = self._params(link, plan, page_url, self.database.now() + SESSION_LASTS)
        key = f"paydue-{self.installation}-link-{link.id}-{number}"
        try:
            try:
                return await self.gateway.open_session(params, key)
            except NoAnswer:  # the same key again is the same session
                return await self.gateway.open_session(params, key)
        except StripeKeyReused:
            log.warning("session key used before", link=link.id, number=number)
            return None

    def _params(
        self, link: StoredPayLink, plan: PaymentPlan, page_url: str, ends_at: datetime
    ) -> Mapping[str, Any]:
        metadata = {
            INSTALLATION_KEY: self.installation,
            LINK_KEY: str(link.id),
            "invoice_id": str(plan.invoices[0].invoice_id),
            **consolidation.metadata_of(plan.shares_minor),
        }
        description = consolidation.description_of([one.number for one in plan.invoices])
        customer = {"customer": plan.customer_id} if plan.customer_id else {}
        return {
            "mode": "payment",
            **customer,
            "line_items": [_line(one) for one in plan.invoices],
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata, "description": description},
            "success_url": f"{page_url}?paid=1",
            "cancel_url": page_url,
            "expires_at": int(ends_at.timestamp()),
        }

    async def _confirm(
        self, link: StoredPayLink, plan: PaymentPlan, holder: LeaseHolder, session: StripeObject
    ) -> bool:
        """Whether all is as it was planned, so that the session may be shown."""
        now = self.database.now()
        ends_at = instant_of(session, "expires_at") or now + SESSION_LASTS
        shown = ShownSession(session["id"], plan.shares_minor, plan.currency, ends_at)

        async def work(tx: Tx) -> bool:
            is_right = await self._way.is_unchanged(tx, plan, holder)
            return is_right and await record_session(tx, link.id, shown, now=now)

        return await self.database.with_retry(work)

    async def _expire(self, session_id: str) -> None:
        """Nobody was shown its address; it ends by itself where Stripe does not answer."""
        try:
            await self.gateway.expire(session_id)
        except (NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited) as error:
            log.info("session not expired", session=session_id, why=str(error))


def _line(one: PayableInvoice) -> Mapping[str, Any]:
    return {
        "quantity": 1,
        "price_data": {
            "currency": one.currency,
            "unit_amount": one.amount_minor,
            "product_data": {"name": f"Invoice {one.number}"[:250]},
        },
    }


def _refused(owed: Owed, plan: PaymentPlan) -> Owed:
    refused = plan.shares_minor
    invoices = [
        PayableInvoice(one.candidate, PayState.NOT_ONLINE) if one.invoice_id in refused else one
        for one in owed.invoices
    ]
    return Owed(invoices, owed.client_name, owed.customer_id, owed.has_more)
