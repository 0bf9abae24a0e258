"""The invoices of a run, page by page, each with what people decided about it.

Without rules they are the flagged invoices that are due. Rules may charge before the due day, and
invoices without a flag: then more are read, and those that the day is not about are left out.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

from app.ledger.autopay_policy import AutopayPolicy
from app.payments.autopay import candidates, eligibility
from app.payments.autopay.candidates import Candidate, Position
from app.payments.autopay.ruling import Policies, horizon
from app.rules import calendar
from app.settings import Settings
from app.storage.engines import Database

ReadPage = Callable[..., Awaitable[Sequence[Candidate]]]


@dataclass(frozen=True, slots=True)
class DuePages:
    """Invoices that are due on a day, or on each client's own. `policy` is as the run found it."""

    database: Database
    settings: Settings
    stop: asyncio.Event
    policies: Policies
    policy: AutopayPolicy
    day: date | None

    @property
    def is_by_client(self) -> bool:
        """Whether rules say which invoices go together: then all clients are gone through."""
        book = self.policy.book
        return book.says_consolidation or book.takes_unflagged

    async def due(self) -> AsyncIterator[Sequence[Candidate]]:
        """All of them, for a look at them."""
        async for page in self._pages(candidates.list_due):
            yield page
        if self.policy.book.takes_unflagged:
            async for page in self._pages(partial(candidates.list_due, flagged=False)):
                yield page

    async def alone(self) -> AsyncIterator[Sequence[Candidate]]:
        """Those that are not gone through by clients."""
        setting = self.settings.autopay_consolidate
        read: ReadPage = partial(candidates.list_due_alone, consolidates=setting)
        if self.is_by_client:
            read = candidates.list_due_without_client
        async for page in self._pages(read):
            yield page

    async def client_ids(self) -> AsyncIterator[int]:
        """The clients whose invoices may go together."""
        after = 0
        consolidates = None if self.is_by_client else self.settings.autopay_consolidate
        while not self.stop.is_set():
            async with self.database.snapshot() as tx:
                found = await candidates.list_due_clients(
                    tx,
                    self._last_due_day,
                    after,
                    consolidates=consolidates,
                    unflagged=self.policy.book.takes_unflagged,
                )
            for client_id in found:
                yield client_id
            if len(found) < candidates.PAGE:
                return
            after = found[-1]

    async def of_client(self, client_id: int) -> AsyncIterator[Sequence[Candidate]]:
        unflagged = self.policy.book.takes_unflagged
        read = partial(candidates.list_due_of_client, client_id=client_id, unflagged=unflagged)
        async for page in self._pages(read):
            yield page

    async def settled(self, day: date) -> AsyncIterator[Candidate]:
        async for page in self._pages(candidates.list_settled, day):
            for one in page:
                yield one

    def is_consolidated(self, one: Candidate) -> bool:
        """Whether an invoice goes into one charge with others of its client."""
        rule = one.ruling.decision.rule if one.ruling else None
        if rule is not None and rule.consolidate is not None:
            return rule.consolidate
        return self.settings.autopay_consolidate if one.consolidate is None else one.consolidate

    @property
    def last_day(self) -> date:
        """The day of the run, or the latest that it is anywhere."""
        return self.day or calendar.latest_day(datetime.now(UTC))

    @property
    def _last_due_day(self) -> date:
        return horizon(self.policy, self.last_day)

    async def _pages(
        self, read: ReadPage, day: date | None = None
    ) -> AsyncIterator[Sequence[Candidate]]:
        after: Position | None = None
        while not self.stop.is_set():
            async with self.database.snapshot() as tx:
                found = await read(tx, day or self._last_due_day, after)
                page = await self.policies.rule(tx, found, now=datetime.now(UTC), day=self.day)
            ours = [one for one in page if self._is_of_run(one)]
            if ours:
                yield ours
            if len(found) < candidates.PAGE:
                return
            after = candidates.position(found[-1])

    def _is_of_run(self, one: Candidate) -> bool:
        """Whether it is due, or a rule charges it by now; others were read for their rules only."""
        if not eligibility.is_taken(one):
            return False
        if one.duedate is not None and one.duedate <= self.last_day:
            return True
        day = eligibility.charge_on(one)
        return day is not None and day <= self.last_day
