"""A dry run's outcomes: those that a run would have now. It only reads, at Stripe too."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from app.payments.autopay import eligibility, holds
from app.payments.autopay.asked_methods import AskedMethods
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.eligibility import ChosenMethod, Skip
from app.payments.autopay.method_choice import choose_payment_method
from app.payments.autopay.report import Outcome, OutcomeKind, skipped_outcome
from app.payments.autopay.spending_limits import ForeseenLimits
from app.rules import calendar
from app.settings import Settings
from app.storage.engines import Database


@dataclass(frozen=True, slots=True)
class Foresight:
    """The outcomes of invoices on a day, or on each client's own. Methods are asked for once."""

    database: Database
    settings: Settings
    day: date | None
    # The reason to skip an invoice, as a run has it.
    skip_reason: Callable[[Candidate], Skip | None]
    asked: AskedMethods
    limits: ForeseenLimits = field(default_factory=ForeseenLimits)

    async def outcomes(self, page: Sequence[Candidate]) -> list[Outcome]:
        """The outcome that each invoice of a page would have, in the page's order."""
        skips: dict[int, Skip] = {}
        methods: dict[int, ChosenMethod] = {}
        for invoice_id, found in (await self._methods(page)).items():
            if isinstance(found, Skip):
                skips[invoice_id] = found
            else:
                methods[invoice_id] = found
        async with self.database.snapshot() as tx:
            candidates = [one for one in page if one.invoice_id in methods]
            elsewhere = await holds.find_holds(tx, candidates)
            ids = {method.id for method in methods.values()}
            forbidden = await eligibility.network_limits(tx, ids, _now())
            for one in candidates:
                skip = (
                    elsewhere.get(one.invoice_id)
                    or forbidden.get(methods[one.invoice_id].id)
                    or await self.limits.skip(tx, one, self._today(one))
                )
                if skip:
                    skips[one.invoice_id] = skip
        return [_outcome(one, skips.get(one.invoice_id)) for one in page]

    def _today(self, one: Candidate) -> date:
        timezone = one.timezone or self.settings.timezone
        return self.day or calendar.business_day(_now(), timezone)

    async def _methods(self, page: Sequence[Candidate]) -> dict[int, ChosenMethod | Skip]:
        """The method of each invoice; many customers are asked about at once, each of them once."""
        of_customer: dict[str | None, list[Candidate]] = defaultdict(list)
        for one in page:
            of_customer[one.customer_id].append(one)
        found: dict[int, ChosenMethod | Skip] = {}
        limit = asyncio.Semaphore(self.settings.stripe_concurrency)

        async def find(invoices: Sequence[Candidate]) -> None:
            async with limit:
                for one in invoices:
                    found[one.invoice_id] = await self._method(one)

        async with asyncio.TaskGroup() as group:
            for invoices in of_customer.values():
                group.create_task(find(invoices))
        return found

    async def _method(self, one: Candidate) -> ChosenMethod | Skip:
        skip = self.skip_reason(one)
        found = skip or await choose_payment_method(self.asked, one)
        if isinstance(found, Skip):
            return found
        return eligibility.skip_reason(one, self.day, _now(), self.settings, found) or found


def _outcome(one: Candidate, skip: Skip | None) -> Outcome:
    if skip:
        return skipped_outcome(one, skip)
    return Outcome(
        OutcomeKind.CHARGED,
        one.invoice_id,
        one.amount,
        one.currency,
        reason="would be charged",
        rule=one.ruling.decision.rule_name if one.ruling else None,
    )


def _now() -> datetime:
    return datetime.now(UTC)
