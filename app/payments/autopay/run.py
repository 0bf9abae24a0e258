"""The autopay run: unresolved attempts of earlier runs, then due invoices. Runs may overlap."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import structlog

from app.errors import (
    AppError,
    ChargeUnderWay,
    DatabaseUnavailable,
    InvalidField,
    NotFound,
    RecordLocked,
    Refused,
    Unavailable,
)
from app.payments.autopay import attempt_history, eligibility, leases
from app.payments.autopay.asked_methods import AskedMethods
from app.payments.autopay.attempt_history import UnresolvedAttempt
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.charge import (
    charge,
    charge_together,
    resume,
)
from app.payments.autopay.charge_context import Charging, ManualRetry
from app.payments.autopay.dry_run import Foresight
from app.payments.autopay.due_pages import DuePages
from app.payments.autopay.eligibility import Skip
from app.payments.autopay.held_invoices import held_invoice, hold_page
from app.payments.autopay.leases import LeaseHolder
from app.payments.autopay.method_choice import method_key
from app.payments.autopay.other_ways import GuestSessions
from app.payments.autopay.report import (
    FaultAlarm,
    Outcome,
    OutcomeKind,
    RunReport,
    log_outcome,
    skipped_outcome,
    unresolved_outcome,
)
from app.payments.autopay.ruling import Policies, find_ruled
from app.payments.autopay.run_history import RunState, begin_run, is_approved, list_usual
from app.payments.reconciliation.cursor import load_epoch, load_restored_at
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeRateLimited,
)
from app.rules import calendar, consolidation, money
from app.rules.attempt import UNRESOLVED
from app.rules.autopay_limit import beyond_usual
from app.settings import Settings
from app.storage import outages
from app.storage.engines import Database

log = structlog.get_logger("paydue.autopay")

# A stopping run lets charges under way finish for so long, then leaves them unresolved.
FINISH_S = 7.0
# A sentence or two; it stands in the invoice's history.
REASON_MAX = 500
# Before a run, what Stripe does not answer at once is asked again after so long, then given up.
CATCH_UP_WAITS_S = (0.5, 2.0)


# The invoices of one PaymentIntent.
Charge = Sequence[Candidate]
Queue = asyncio.Queue[Sequence[Charge] | None]


@dataclass(frozen=True, slots=True)
class Autopay:
    """Charges what is due, for every client on its own business day or on a given one."""

    database: Database
    gateway: Gateway
    settings: Settings
    installation: str
    # Reads at Stripe all that happened up to now.
    catch_up: Callable[[], Awaitable[object]]
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(
        self,
        day: date | None = None,
        tell: Callable[[Outcome], None] | None = None,
        *,
        who: str = "autopay",
    ) -> RunReport:
        """One run. It ends early, with its leases released, once the stop signal is set.

        It charges nothing before it knows all that Stripe knows; NoAnswer where that is not read.
        It is kept, with its outcomes and who began it.
        """
        await self._catch_up()
        at = await self._in_epoch(self._charging(day))
        pages = await self._due_pages(at.policies, day)
        report = RunReport(day or self._today(), dry_run=False)
        alarm = FaultAlarm()

        def note(outcome: Outcome) -> None:
            report.add(outcome)
            log_outcome(outcome)
            alarm.note(outcome)
            if tell:
                tell(outcome)

        async def work() -> None:
            async for one in pages.settled(report.day):
                note(skipped_outcome(one, self._passed_over(one, day)))
            await self._recover(at, note, whenever=True)
            await self._charge_all(replace(at, account=await self._find_account()), pages, note)

        with _closed_on_failure(report):
            async with self._recorded(report, pages, who) as run:
                unusual = await self._unusual(pages, report.day)
                if unusual:
                    run.hold(unusual)
                    await self._hold_all(pages, run, note)
                else:
                    await self._until_stopped(work(), at.holder)
        return report

    @contextlib.asynccontextmanager
    async def _recorded(
        self, report: RunReport, pages: DuePages, who: str
    ) -> AsyncIterator["_KeptRun"]:
        """The run's row, which gets the report and the end, whatever it is."""
        record = await begin_run(
            self.database, report.day, who=who, is_dry=False, revision=pages.policy.revision
        )
        kept = _KeptRun(record.id)
        try:
            yield kept
        except Exception as error:
            with contextlib.suppress(Unavailable):
                await record.finish(report, RunState.FAILED, str(error) or repr(error))
            raise
        state = RunState.STOPPED if self.stop.is_set() else kept.state
        await record.finish(report, state, kept.reason)

    async def _unusual(self, pages: DuePages, day: date) -> str | None:
        """The sentence about a run that would take far more than the others; None for any other."""
        times = self.settings.autopay_times_usual
        if not times:
            return None
        planned: dict[str, Decimal] = {}
        async for one in self._planned(pages):
            planned[one.currency] = planned.get(one.currency, Decimal(0)) + one.amount
        async with self.database.snapshot() as tx:
            said = beyond_usual(planned, await list_usual(tx), times)
            return said if said and not await is_approved(tx, day, planned) else None

    async def _planned(self, pages: DuePages) -> AsyncIterator[Candidate]:
        """The invoices that the run would charge, as far as this database knows."""
        async for page in pages.due():
            for one in page:
                if self._skip_reason(one, pages.day) is None:
                    yield one

    async def _hold_all(
        self, pages: DuePages, run: "_KeptRun", note: Callable[[Outcome], None]
    ) -> None:
        change = f"`paydue runs approve {run.id} --by NAME`, and another run on the same day"
        skip = Skip(f"the run was held: {run.reason}", needs_approval=True, change=change)
        async for one in self._planned(pages):
            note(skipped_outcome(one, skip))

    async def dry_run(self, day: date | None = None, *, keep_for: str | None = None) -> RunReport:
        """The outcomes that a run would have now. It only reads, at Stripe too.

        With the name of who wants it kept, it is kept as runs are.
        """
        report = RunReport(day or self._today(), dry_run=True)
        foresight = Foresight(
            self.database,
            self.settings,
            day,
            partial(self._skip_reason, day=day),
            AskedMethods(self.gateway),
        )
        pages = await self._due_pages(Policies(self.settings), day)
        with _closed_on_failure(report), _first_error():
            async for page in pages.due():
                for foreseen in await foresight.outcomes(page):
                    report.add(foreseen)
            async for one in pages.settled(report.day):
                report.add(skipped_outcome(one, self._passed_over(one, day)))
        if keep_for is not None:
            revision = pages.policy.revision
            record = await begin_run(
                self.database, report.day, who=keep_for, is_dry=True, revision=revision
            )
            await record.finish(report, RunState.FINISHED)
        return report

    async def retry(self, invoice_id: int, *, reason: str, who: str) -> Outcome:
        """Charge one invoice now because a person says so, whatever day its last decline names.

        All guards of a run stand before it: autopay is on, the invoice is due and unpaid, no other
        way to pay is open, the card networks allow it. Refused says which one does not.
        """
        if not 0 < len(reason.strip()) <= REASON_MAX:
            raise InvalidField("reason", f"has not 1 to {REASON_MAX} characters")
        await self._catch_up_after_restore()
        async with self.database.snapshot() as tx:
            one = await find_ruled(tx, invoice_id, self.settings, now=_now())
        if one is None or invoice_id < 0:
            raise NotFound("Invoice", invoice_id)
        skip = eligibility.skip_reason(one, None, _now(), self.settings)
        if skip:
            raise _retry_refusal(one, skip.reason)
        outcome = await self._charge_one(one, ManualRetry(reason.strip(), who))
        log_outcome(outcome)
        if outcome.kind == OutcomeKind.SKIPPED:
            raise _retry_refusal(one, outcome.reason)
        return outcome

    async def _charge_one(self, one: Candidate, manual: ManualRetry) -> Outcome:
        at = await self._in_epoch(self._charging(None))
        try:
            return await charge(at, one, manual)
        except NotAuthorized as error:
            raise Refused(f"Stripe does not accept the key: {error}") from error
        finally:
            await self._give_back(at.holder)

    async def recover(self, tell: Callable[[Outcome], None] | None = None) -> int:
        """Go on with attempts whose time to be asked about has come. Answers how many."""
        at = await self._in_epoch(self._charging(None))
        count = 0
        alarm = FaultAlarm()

        def note(outcome: Outcome) -> None:
            nonlocal count
            count += 1
            log_outcome(outcome)
            alarm.note(outcome)
            if tell:
                tell(outcome)

        await self._until_stopped(self._recover(at, note, whenever=False), at.holder)
        return count

    async def _catch_up_after_restore(self) -> None:
        async with self.database.snapshot() as tx:
            restored_at = await load_restored_at(tx)
        if restored_at is not None:
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Read at Stripe up to now; one request that fails does not cost the day."""
        for wait in (*CATCH_UP_WAITS_S, None):
            try:
                await self.catch_up()
                return
            except (NoAnswer, StripeRateLimited, RequestRefused) as error:
                if wait is None or await self._stops_within(wait):
                    why = f"nothing was charged, for it cannot be read first: {error}"
                    raise NoAnswer(why) from error

    async def _stops_within(self, seconds: float) -> bool:
        """Wait so long, or until the stop signal is set; answers whether it is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)
        return self.stop.is_set()

    async def _in_epoch(self, at: Charging) -> Charging:
        async with self.database.snapshot() as tx:
            return replace(at, epoch=await load_epoch(tx))

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
        except DatabaseUnavailable as error:
            # The next run would pass over what is still leased; nothing shorter than a write shows
            # that there is room again.
            log.warning("waiting for the database", why=error.message)
            give_back = partial(self._give_back, holder)
            await outages.begin_again(give_back, self.stop, lambda _: None)
            raise
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
                rows = await attempt_history.list_unresolved(
                    tx, now=self.database.now(), whenever=whenever, after=after
                )
            if rows:
                await self._resume_all(at, rows, note)
            if len(rows) < attempt_history.PAGE:
                return
            after = rows[-1].id

    async def _resume_all(
        self,
        at: Charging,
        unresolved: Sequence[UnresolvedAttempt],
        note: Callable[[Outcome], None],
    ) -> None:
        limit = asyncio.Semaphore(self.settings.stripe_concurrency)

        async def resume_one(one: UnresolvedAttempt) -> None:
            async with at.turns.hold(one.customer_id), limit:
                for outcome in [] if self.stop.is_set() else await _resumed(at, one):
                    note(outcome)

        async with asyncio.TaskGroup() as group:
            for one in unresolved:
                group.create_task(resume_one(one))

    # --- due ---------------------------------------------------------------------------------

    async def _charge_all(
        self, at: Charging, pages: DuePages, note: Callable[[Outcome], None]
    ) -> None:
        """A bounded number of workers takes one customer's charges at a time, one by one."""
        crowd = self.settings.stripe_concurrency
        queue: Queue = asyncio.Queue(crowd)

        async with asyncio.TaskGroup() as group:
            for _ in range(crowd):
                group.create_task(self._work_off(queue, at, note))
            async for charges in self._charges(pages, note):
                await queue.put(charges)
            for _ in range(crowd):
                await queue.put(None)

    async def _work_off(self, queue: Queue, at: Charging, note: Callable[[Outcome], None]) -> None:
        while (charges := await queue.get()) is not None:
            for invoices in charges:
                async with at.turns.hold(invoices[0].customer_id):
                    if not self.stop.is_set():
                        for outcome in await self._charge(at, invoices):
                            note(outcome)

    async def _charge(self, at: Charging, invoices: Sequence[Candidate]) -> list[Outcome]:
        if len(invoices) == 1:
            return [await _charged(at, invoices[0])]
        return await _charged_together(at, invoices)

    async def _charges(
        self, pages: DuePages, note: Callable[[Outcome], None]
    ) -> AsyncIterator[Sequence[Charge]]:
        """The charges of one customer at a time: of single invoices, then of clients' at once."""
        async for page in pages.alone():
            for invoices in await self._by_customer(page, pages.day, note):
                yield [[one] for one in invoices]
        async for client_id in pages.client_ids():
            async for page in pages.of_client(client_id):
                for invoices in await self._by_customer(page, pages.day, note):
                    yield _together(invoices, pages)

    async def _by_customer(
        self, page: Sequence[Candidate], day: date | None, note: Callable[[Outcome], None]
    ) -> list[list[Candidate]]:
        """The invoices to charge, those of one customer together; the others are accounted for."""
        wanted: dict[str | None, list[Candidate]] = defaultdict(list)
        held = []
        for one in page:
            skip = self._skip_reason(one, day)
            if skip is None:
                wanted[one.customer_id].append(one)
                continue
            if skip.needs_approval:
                held.append(held_invoice(one, skip))
            note(skipped_outcome(one, skip))
        await hold_page(self.database, held, now=self.database.now())
        return list(wanted.values())

    # --- small things ------------------------------------------------------------------------

    def _charging(self, day: date | None) -> Charging:
        return Charging(
            self.database,
            self.gateway,
            self.settings,
            self.installation,
            LeaseHolder(uuid4().hex),
            GuestSessions(self.gateway),
            Policies(self.settings),
            day,
            started_at=self.database.now(),
        )

    async def _due_pages(self, policies: Policies, day: date | None) -> DuePages:
        async with self.database.snapshot() as tx:
            policy = await policies.load(tx)
        return DuePages(self.database, self.settings, self.stop, policies, policy, day)

    async def _find_account(self) -> str | None:
        """The account that attempts begin in; a restricted key need not be allowed to say it."""
        try:
            return await self.gateway.account_name()
        except (NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited):
            return None

    def _passed_over(self, one: Candidate, day: date | None) -> Skip:
        return self._skip_reason(one, day) or Skip(
            "nothing is left to pay", change="nothing needs to: it is paid"
        )

    def _skip_reason(self, one: Candidate, day: date | None) -> Skip | None:
        """The reason to skip an invoice; one that cannot be judged at all stops no other."""
        try:
            return eligibility.skip_reason(one, day, _now(), self.settings)
        except Exception as error:
            return _passing_over(one.invoice_id, error)

    async def _give_back(self, holder: LeaseHolder) -> None:
        """Release the run's leases; one that is locked runs out by itself."""
        with contextlib.suppress(RecordLocked):
            async with self.database.transaction() as tx:
                await leases.release_leases(tx, holder, now=self.database.now())

    def _today(self) -> date:
        return calendar.business_day(_now(), self.settings.timezone)


@dataclass(slots=True)
class _KeptRun:
    """The end that a run is kept with."""

    id: int
    state: RunState = RunState.FINISHED
    reason: str | None = None

    def hold(self, reason: str) -> None:
        self.state, self.reason = RunState.HELD, reason


def _together(invoices: Sequence[Candidate], pages: DuePages) -> list[Charge]:
    """A client's invoices as few charges, each of one currency and within Stripe's limits."""
    alike: dict[tuple[str, str | None], list[Candidate]] = defaultdict(list)
    charges: list[Charge] = []
    for one in invoices:
        if eligibility.is_charged_alone(one) or not pages.is_consolidated(one):
            charges.append([one])
        else:
            alike[one.currency, method_key(one)].append(one)
    for same in alike.values():
        amounts = [money.to_minor(one.amount, one.currency) for one in same]
        charges += [same[span] for span in consolidation.charges_of(amounts)]
    return charges


def _retry_refusal(one: Candidate, why: str | None) -> Refused:
    is_under_way = one.last is not None and one.last.state in UNRESOLVED
    refusal = ChargeUnderWay if is_under_way else Refused
    return refusal(f"invoice {one.invoice_id} is not charged: {why}")


async def _charged(at: Charging, one: Candidate) -> Outcome:
    try:
        return await charge(at, one)
    except Exception as error:
        return skipped_outcome(one, _passing_over(one.invoice_id, error))


async def _charged_together(at: Charging, invoices: Sequence[Candidate]) -> list[Outcome]:
    try:
        return await charge_together(at, invoices)
    except Exception as error:
        skip = _passing_over(invoices[0].invoice_id, error)
        return [skipped_outcome(one, skip) for one in invoices]


async def _resumed(at: Charging, one: UnresolvedAttempt) -> list[Outcome]:
    try:
        return await resume(at, one.id)
    except Exception as error:
        return [unresolved_outcome(one, _passing_over(one.invoice_id, error))]


def _passing_over(invoice_id: int, error: Exception) -> Skip:
    """One locked or broken invoice stops no other; a database or a key that is gone stops all."""
    match error:
        case RecordLocked():
            log.warning("invoice locked", invoice=invoice_id)
            return Skip(f"passed over: {error.message}", change="the next run looks at it again")
        case Unavailable() | NotAuthorized():
            raise error
        case AppError():
            why = error.message
        case _:
            why = repr(error)
    log.error("invoice failed", invoice=invoice_id, error=repr(error))
    return Skip(f"passed over: {why}", is_failure=True, change="somebody mends what is broken")


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
