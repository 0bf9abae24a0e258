"""The autopay run: unresolved attempts of earlier runs, then due invoices. Runs may overlap."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import structlog

from app.payments.autopay import attempts, eligibility, holds
from app.payments.autopay.attempts import LeaseHolder
from app.payments.autopay.charge import Charging, charge, choose_payment_method, resume
from app.payments.autopay.eligibility import Candidate, Position, Skip
from app.payments.autopay.other_ways import GuestSessions
from app.payments.autopay.report import Outcome, OutcomeKind, RunReport, skipped_outcome
from app.payments.stripe.gateway import Gateway
from app.rules import calendar
from app.settings import Settings
from app.storage.engines import Database

log = structlog.get_logger("paydue.autopay")

# A stopping run lets charges under way finish for so long, then leaves them unresolved.
FINISH_S = 7.0


Queue = asyncio.Queue[Sequence[Candidate] | None]


@dataclass(frozen=True, slots=True)
class Autopay:
    """Charges what is due, for every client on its own business day or on a given one."""

    database: Database
    gateway: Gateway
    settings: Settings
    installation: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(
        self, day: date | None = None, tell: Callable[[Outcome], None] | None = None
    ) -> RunReport:
        """One run. It ends early, with its leases released, once the stop signal is set."""
        report = RunReport(day or self._today(), dry_run=False)
        at = self._charging(day)

        def note(outcome: Outcome) -> None:
            report.add(outcome)
            _log(outcome)
            if tell:
                tell(outcome)

        async def work() -> None:
            async for one in self._settled(report.day):
                note(skipped_outcome(one, self._passed_over(one, day)))
            await self._recover(at, note, whenever=True)
            await self._charge_all(at, note)

        with _closed_on_failure(report):
            await self._until_stopped(work(), at.holder)
        return report

    async def dry_run(self, day: date | None = None) -> RunReport:
        """The outcomes that a run would have now. It only reads, at Stripe too."""
        report = RunReport(day or self._today(), dry_run=True)
        with _closed_on_failure(report):
            async for page in self._pages(eligibility.list_due, self._latest(day)):
                for foreseen in await self._foreseen(page, day):
                    report.add(foreseen)
            async for one in self._settled(report.day):
                report.add(skipped_outcome(one, self._passed_over(one, day)))
        return report

    async def recover(self, tell: Callable[[Outcome], None] | None = None) -> int:
        """Go on with attempts whose time to be asked about has come. Answers how many."""
        at = self._charging(None)
        count = 0

        def note(outcome: Outcome) -> None:
            nonlocal count
            count += 1
            _log(outcome)
            if tell:
                tell(outcome)

        await self._until_stopped(self._recover(at, note, whenever=False), at.holder)
        return count

    async def _until_stopped(self, work: Coroutine[Any, Any, None], holder: LeaseHolder) -> None:
        """Await the work; after a stop signal for FINISH_S only, then leave it unresolved."""
        working = asyncio.create_task(work)
        stopping = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({working}, timeout=FINISH_S)
            if not working.done():
                working.cancel()
            with contextlib.suppress(asyncio.CancelledError), _first_error():
                await working
        finally:
            stopping.cancel()
            working.cancel()
            await self._give_back(holder)

    # --- recovery ----------------------------------------------------------------------------

    async def _recover(
        self, at: Charging, note: Callable[[Outcome], None], *, whenever: bool
    ) -> None:
        after = 0
        while not self.stop.is_set():
            async with self.database.snapshot() as tx:
                rows = await attempts.list_unresolved(
                    tx, now=_now(), whenever=whenever, after=after
                )
            if rows:
                await self._resume_all(at, [row.id for row in rows], note)
            if len(rows) < attempts.PAGE:
                return
            after = rows[-1].id

    async def _resume_all(
        self, at: Charging, attempt_ids: Sequence[int], note: Callable[[Outcome], None]
    ) -> None:
        limit = asyncio.Semaphore(self.settings.stripe_concurrency)

        async def resume_one(attempt_id: int) -> None:
            async with limit:
                outcome = None if self.stop.is_set() else await resume(at, attempt_id)
                if outcome:
                    note(outcome)

        async with asyncio.TaskGroup() as group:
            for attempt_id in attempt_ids:
                group.create_task(resume_one(attempt_id))

    # --- due ---------------------------------------------------------------------------------

    async def _charge_all(self, at: Charging, note: Callable[[Outcome], None]) -> None:
        """A bounded number of workers takes one customer's invoices at a time, one by one."""
        crowd = self.settings.stripe_concurrency
        queue: Queue = asyncio.Queue(crowd)

        async with asyncio.TaskGroup() as group:
            for _ in range(crowd):
                group.create_task(self._work_off(queue, at, note))
            async for page in self._pages(eligibility.list_due, self._latest(at.day)):
                for invoices in self._by_customer(page, at.day, note):
                    await queue.put(invoices)
            for _ in range(crowd):
                await queue.put(None)

    async def _work_off(self, queue: Queue, at: Charging, note: Callable[[Outcome], None]) -> None:
        while (invoices := await queue.get()) is not None:
            for one in invoices:
                if not self.stop.is_set():
                    note(await charge(at, one))

    def _by_customer(
        self, page: Sequence[Candidate], day: date | None, note: Callable[[Outcome], None]
    ) -> list[list[Candidate]]:
        """The invoices to charge, those of one customer together; the others are accounted for."""
        wanted: dict[str | None, list[Candidate]] = defaultdict(list)
        for one in page:
            skip = eligibility.skip_reason(one, day, _now(), self.settings)
            if skip:
                note(skipped_outcome(one, skip))
            else:
                wanted[one.customer_id].append(one)
        return list(wanted.values())

    async def _foreseen(self, page: Sequence[Candidate], day: date | None) -> list[Outcome]:
        """The outcome that each invoice of a page would have, in the page's order."""
        skips: dict[int, Skip] = {}
        methods: dict[int, str] = {}
        for one in page:
            skip = eligibility.skip_reason(one, day, _now(), self.settings)
            found = skip or await choose_payment_method(self.gateway, one)
            if isinstance(found, Skip):
                skips[one.invoice_id] = found
            else:
                methods[one.invoice_id] = found
        async with self.database.snapshot() as tx:
            candidates = [one for one in page if one.invoice_id in methods]
            elsewhere = await holds.find_holds(tx, candidates)
            forbidden = await eligibility.network_limits(tx, methods.values(), _now())
        for invoice_id, method in methods.items():
            skip = elsewhere.get(invoice_id) or forbidden.get(method)
            if skip:
                skips[invoice_id] = skip
        return [_foreseen(one, skips.get(one.invoice_id)) for one in page]

    async def _pages(
        self,
        read: Callable[..., Awaitable[Sequence[Candidate]]],
        day: date,
    ) -> AsyncIterator[Sequence[Candidate]]:
        after: Position | None = None
        while not self.stop.is_set():
            async with self.database.snapshot() as tx:
                page = await read(tx, day, after)
            if page:
                yield page
            if len(page) < eligibility.PAGE:
                return
            after = eligibility.position(page[-1])

    async def _settled(self, day: date) -> AsyncIterator[Candidate]:
        async for page in self._pages(eligibility.list_settled, day):
            for one in page:
                yield one

    # --- small things ------------------------------------------------------------------------

    def _charging(self, day: date | None) -> Charging:
        return Charging(
            self.database,
            self.gateway,
            self.settings,
            self.installation,
            LeaseHolder(uuid4().hex),
            GuestSessions(self.gateway),
            day,
        )

    def _passed_over(self, one: Candidate, day: date | None) -> Skip:
        return eligibility.skip_reason(one, day, _now(), self.settings) or Skip(
            "nothing is left to pay"
        )

    async def _give_back(self, holder: LeaseHolder) -> None:
        async with self.database.transaction() as tx:
            await attempts.release_leases(tx, holder, now=_now())

    def _today(self) -> date:
        return calendar.business_day(_now(), self.settings.timezone)

    def _latest(self, day: date | None) -> date:
        return day or calendar.latest_day(_now())


def _foreseen(one: Candidate, skip: Skip | None) -> Outcome:
    if skip:
        return skipped_outcome(one, skip)
    return Outcome(
        OutcomeKind.CHARGED, one.invoice_id, one.amount, one.currency, reason="would be charged"
    )


def _log(one: Outcome) -> None:
    known = {"intent": one.intent_id, "reason": one.reason, "next_try": one.next_try}
    say = log.debug if one.kind == OutcomeKind.SKIPPED else log.info
    say(
        f"invoice {one.kind}",
        invoice=one.invoice_id,
        amount=str(one.amount),
        currency=one.currency,
        **{name: str(value) for name, value in known.items() if value},
    )


@contextlib.contextmanager
def _closed_on_failure(report: RunReport) -> Iterator[None]:
    """A report that nobody will get leaves no open file behind."""
    try:
        yield
    except BaseException:
        report.close()
        raise


@contextlib.contextmanager
def _first_error() -> Iterator[None]:
    """A group of tasks fails with all its errors at once; the first one says what happened."""
    try:
        yield
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


def _now() -> datetime:
    return datetime.now(UTC)
