"""One payable way: the steps that every payment of a customer's own takes before it is shown.

An automatic charge claims its invoices before it asks Stripe for other ways to pay; a payment of
the customer's own is shown only after a look at the claims, under the invoices' locks. So whichever
comes first, the other one sees it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.payments.autopay import leases
from app.payments.autopay.attempts import AttemptShare
from app.payments.autopay.candidates import find_candidates, lock_candidates
from app.payments.autopay.leases import LeaseHolder
from app.payments.autopay.other_ways import GuestSessions, NoLongerDue, OtherWays
from app.payments.checkout.owed_invoices import PayableInvoice, PayState, with_states
from app.payments.stripe.gateway import Gateway
from app.payments.stripe.stripe_objects import StripeObject
from app.storage.engines import Database, Tx

# A charge of the customer takes seconds; whoever waits longer is told to come again.
_LEASE_WAIT_S = 8.0
_LEASE_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class PaymentPlan:
    """A payment of invoices of one client and currency. `shares_minor`: by invoice, minor units."""

    customer_id: str | None
    currency: str
    invoices: Sequence[PayableInvoice]
    intent_id: str | None = None
    replaces_intent_id: str | None = None

    @property
    def lease_key(self) -> str:
        """The customer's lease is the one that charges take; others have one of their own."""
        if self.customer_id is not None:
            return self.customer_id
        first = self.invoices[0].candidate
        return f"client:{first.client_id}" if first.client_id else f"invoice:{first.invoice_id}"

    @property
    def shares_minor(self) -> dict[int, int]:
        return {one.invoice_id: one.amount_minor for one in self.invoices}

    @property
    def amount_minor(self) -> int:
        return sum(self.shares_minor.values())


def is_none(_: StripeObject) -> bool:
    """Nothing at Stripe is this payment, begun before."""
    return False


@dataclass(frozen=True, slots=True)
class PayableWay:
    """The guard of payments that customers make themselves. `who` stands in the audit."""

    database: Database
    gateway: Gateway
    installation: str
    who: str

    async def close_others(
        self,
        plan: PaymentPlan,
        *,
        is_own_session: Callable[[StripeObject], bool] = is_none,
        is_own_intent: Callable[[StripeObject], bool] = is_none,
    ) -> StripeObject | None:
        """Close every other way, or NoLongerDue; answer this very payment where it has begun."""
        shares = [AttemptShare(one, minor, None) for one, minor in plan.shares_minor.items()]
        return await OtherWays(
            self.database,
            self.gateway,
            self.installation,
            GuestSessions(self.gateway),
            plan,
            shares,
            is_own_session=is_own_session,
            is_own_intent=is_own_intent,
            look_at_claims=lambda: self._refuse_claimed(plan),
            who=self.who,
        ).close()

    async def _refuse_claimed(self, plan: PaymentPlan) -> None:
        """NoLongerDue where an automatic charge has begun: its intent is its own to end.

        Cancelled in between, a bank's decline would be lost, and the method asked once more.
        """
        async with self.database.snapshot() as tx:
            found = await find_candidates(tx, list(plan.shares_minor))
            invoices = await with_states(tx, list(found.values()))
        charging = [one.invoice_id for one in invoices if one.state == PayState.CHARGING]
        if charging:
            raise NoLongerDue("an automatic charge of it is under way", charging)

    async def is_unchanged(self, tx: Tx, plan: PaymentPlan, holder: LeaseHolder) -> bool:
        """Under the invoices' locks: each is due as it was, and nobody else had the lease since."""
        found = await lock_candidates(tx, plan.shares_minor)
        now = {one.invoice_id: one for one in await with_states(tx, list(found.values()))}
        for planned in plan.invoices:
            one = now.get(planned.invoice_id)
            if one is None or one.state != PayState.DUE:
                return False
            before, after = planned.candidate, one.candidate
            if (before.amount, before.currency) != (after.amount, after.currency):
                return False
            if (before.client_id, before.customer_id) != (after.client_id, after.customer_id):
                return False
        return await leases.renew_customer_lease(
            tx, plan.lease_key, holder, now=self.database.now()
        )

    async def acquire(self, plan: PaymentPlan, holder: LeaseHolder) -> bool:
        """Whether the customer's lease is ours, after a short wait for a charge to end."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + _LEASE_WAIT_S
        while True:
            async with self.database.transaction() as tx:
                now = self.database.now()
                if await leases.acquire_customer_lease(tx, plan.lease_key, holder, now=now):
                    return True
            if clock.time() > deadline:
                return False
            await asyncio.sleep(_LEASE_POLL_S)

    async def release(self, plan: PaymentPlan, holder: LeaseHolder) -> None:
        async with self.database.transaction() as tx:
            now = self.database.now()
            await leases.release_customer_lease(tx, plan.lease_key, holder, now=now)
