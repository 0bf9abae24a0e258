"""PaymentIntents that a HaloPSA screen confirms with its user: unconfirmed, and one payable way.

Such an intent can be confirmed by whoever has its client secret. So it is made as a session of a
pay link is: every other way is closed before, and it is told only after a look at the claims.
Autopay and pay links cancel it when they come later.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from app.errors import ChargeUnderWay, InvalidField, NotFound, Refused, Unavailable
from app.payments.autopay.candidates import find_candidates
from app.payments.autopay.leases import LeaseHolder
from app.payments.autopay.other_ways import NoLongerDue
from app.payments.checkout.owed_invoices import PayState, with_states
from app.payments.checkout.payable_way import PayableWay, PaymentPlan
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeRateLimited,
)
from app.payments.stripe.stripe_objects import (
    StripeObject,
    evidence_in,
    metadata_number,
    named_shares,
    reference,
)
from app.rules import consolidation
from app.rules.claim import INSTALLATION_KEY, Evidence
from app.storage.engines import Database, Tx

log = structlog.get_logger("paydue.checkout")
# The metadata that tells such an intent from those of charge attempts and links.
MADE_FOR = "paydue_made_for"
HALO = "halo"


@dataclass(frozen=True, slots=True)
class InvoiceIntents:
    """Makes them."""

    database: Database
    gateway: Gateway
    installation: str

    async def create(self, invoice_ids: Sequence[int], method_id: str | None) -> StripeObject:
        """An unconfirmed intent for all that these invoices owe; the same again finds the same one.

        NotFound, InvalidField, or Refused with what an invoice waits for.
        """
        plan = await self._plan(invoice_ids)
        holder = LeaseHolder(secrets.token_hex(16))
        way = PayableWay(self.database, self.gateway, self.installation, who="api")
        if not await way.acquire(plan, holder):
            raise ChargeUnderWay("an automatic charge of the customer is under way")
        try:
            return await self._create(way, plan, holder, method_id)
        except NoLongerDue as error:
            raise ChargeUnderWay(str(error)) from error
        except RequestRefused as error:
            raise Refused(f"Stripe refuses it: {error.message}") from error
        except (NoAnswer, NotAuthorized, StripeRateLimited) as error:
            raise Unavailable(f"Stripe cannot be asked now: {error}") from error
        finally:
            await way.release(plan, holder)

    async def _plan(self, invoice_ids: Sequence[int]) -> PaymentPlan:
        async with self.database.snapshot() as tx:
            found = await find_candidates(tx, invoice_ids)
            for one in invoice_ids:
                if one not in found or one < 0:
                    raise NotFound("Invoice", one)
            owed = await with_states(tx, [found[one] for one in sorted(set(invoice_ids))])
        for invoice in owed:
            if invoice.state != PayState.DUE:
                raise Refused(f"invoice {invoice.invoice_id} cannot be paid now: {invoice.state}")
        first = owed[0].candidate
        if any(one.currency != first.currency for one in owed):
            raise InvalidField("items", "are of more than one currency")
        if any(one.candidate.client_id != first.client_id for one in owed):
            raise InvalidField("items", "are of more than one client")
        return PaymentPlan(first.customer_id, first.currency, owed)

    async def _create(
        self, way: PayableWay, plan: PaymentPlan, holder: LeaseHolder, method_id: str | None
    ) -> StripeObject:
        found = await way.close_others(plan, is_own_intent=lambda one: self._is_same(one, plan))
        if found is None:
            found = await self._ask(plan, method_id)

        async def work(tx: Tx) -> bool:
            return await way.is_unchanged(tx, plan, holder)

        if not await self.database.with_retry(work):
            await self._cancel(str(found["id"]))
            raise ChargeUnderWay("an invoice has just changed; ask again")
        log.info("intent made", intent=found["id"], invoices=sorted(plan.shares_minor))
        return found

    def _is_same(self, intent: StripeObject, plan: PaymentPlan) -> bool:
        metadata = intent.get("metadata")
        return (
            evidence_in(intent, self.installation) == Evidence.METADATA
            and isinstance(metadata, dict)
            and metadata.get(MADE_FOR) == HALO
            and named_shares(intent) == plan.shares_minor
            and metadata_number(intent, "invoice_id") in plan.shares_minor
            and intent.get("amount") == plan.amount_minor
            and intent.get("currency") == plan.currency
            and reference(intent.get("customer")) == plan.customer_id
        )

    async def _ask(self, plan: PaymentPlan, method_id: str | None) -> StripeObject:
        numbers = [one.number for one in plan.invoices]
        customer = {"customer": plan.customer_id} if plan.customer_id else {}
        method = {"payment_method": method_id} if method_id else {}
        params: dict[str, Any] = {
            "amount": plan.amount_minor,
            "currency": plan.currency,
            **customer,
            **method,
            "automatic_payment_methods": {"enabled": True},
            "description": consolidation.description_of(numbers),
            "metadata": {
                INSTALLATION_KEY: self.installation,
                MADE_FOR: HALO,
                "invoice_id": str(plan.invoices[0].invoice_id),
                **consolidation.metadata_of(plan.shares_minor),
            },
        }
        # An intent whose answer is lost is unconfirmed, and nobody has its secret.
        key = f"paydue-{self.installation}-halo-{secrets.token_hex(16)}"
        try:
            return (await self.gateway.create(params, key)).object
        except NoAnswer:
            return (await self.gateway.create(params, key)).object

    async def _cancel(self, intent_id: str) -> None:
        """Nobody was told its secret."""
        try:
            await self.gateway.cancel(intent_id)
        except (NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited) as error:
            log.info("intent not cancelled", intent=intent_id, why=str(error))
