"""Bills all templates that are due: page by page, each page in short transactions of its own.

Whoever runs at the same time, or after a crash, finds the periods that are made under the locks of
their templates, and makes the others.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

import structlog
from sqlalchemy import Text, and_, or_, select, type_coerce

from app.errors import AppError
from app.ledger import recurring
from app.ledger.recurring import PeriodPlan
from app.ledger.recurring_templates import (
    INVOICES,
    LINES,
    Template,
    count_lines,
    load_billed_until,
    load_made,
    with_time_zones,
)
from app.rules import schedule
from app.rules.home import Home
from app.rules.schedule import BillingPeriod
from app.storage.driver_errors import DatabaseFault
from app.storage.engines import Database, Tx
from app.storage.tables.invoices import FullInvoiceRow

log = structlog.get_logger("paydue.recurring")

WHO = "recurring"
PAGE = 200
# Lines that one transaction copies: on SQLite webhooks wait for it.
CHUNK_LINES = 500
# A period that began so long ago is a mistyped date rather than a missed run: 240 invoices that
# are charged by themselves cannot be called back.
MISSED_MAX = timedelta(days=731)
# Reasons that a report keeps; it counts all of them.
REASONS_MAX = 100


class BillingOutcome(StrEnum):
    CREATED = "created"
    HELD = "held"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TemplateOutcome:
    """The outcome of one period of a template; a dry run has no invoice yet."""

    kind: BillingOutcome
    template_id: int
    first: date | None = None
    invoice_id: int | None = None
    why: str | None = None
    # Whether the next period of the template has begun as well.
    has_more: bool = False


@dataclass(slots=True)
class RecurringReport:
    """How a run went. Memory stays flat: outcomes are counted, and only some reasons are kept."""

    dry_run: bool = False
    ended: bool = True
    counts: Counter[BillingOutcome] = field(default_factory=Counter)
    reasons: list[TemplateOutcome] = field(default_factory=list)

    def add(self, one: TemplateOutcome) -> None:
        self.counts[one.kind] += 1
        if one.kind != BillingOutcome.CREATED and len(self.reasons) < REASONS_MAX:
            self.reasons.append(one)

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[kind]} {kind}" for kind in BillingOutcome)


Tell = Callable[[TemplateOutcome], None]


@dataclass(frozen=True, slots=True)
class RecurringRun:
    """Bills what is due by the clock. `stop` ends it between two transactions."""

    database: Database
    home: Home
    clock: Callable[[], datetime]
    stop: asyncio.Event

    async def run(self, tell: Tell = lambda _: None) -> RecurringReport:
        report = RecurringReport()
        async for page in self._pages():
            for chunk in page:
                due = chunk
                while due and not self.stop.is_set():  # a missed period after the other
                    due = self._report(await self._bill(due), report, tell)
        report.ended = not self.stop.is_set()
        return report

    async def dry_run(self, tell: Tell = lambda _: None) -> RecurringReport:
        """The same, without writing: every period that a run would bill now."""
        report = RecurringReport(dry_run=True)
        async for page in self._pages():
            for chunk in page:
                async with self.database.snapshot() as tx:
                    foreseen = await self._foresee(tx, chunk)
                self._report(foreseen, report, tell)
        return report

    def _report(
        self, outcomes: Iterable[TemplateOutcome], report: RecurringReport, tell: Tell
    ) -> list[int]:
        """Report the outcomes; answers the templates that have a further period to bill."""
        further = []
        for one in outcomes:
            report.add(one)
            tell(one)
            if one.has_more:
                further.append(one.template_id)
            if one.kind == BillingOutcome.FAILED:
                log.warning("template failed", template=one.template_id, why=one.why)
        return further

    async def _pages(self) -> AsyncIterator[list[list[int]]]:
        """The ids of templates that may be due, in chunks with not too many lines."""
        before = 0
        while not self.stop.is_set():
            async with self.database.snapshot() as tx:
                ids = await _list_due(tx, before, self.clock())
                lines = await count_lines(tx, ids)
            if not ids:
                return
            before = ids[-1]
            yield _chunks(ids, lines)

    # --- one chunk ---------------------------------------------------------------------------

    async def _bill(self, ids: Sequence[int]) -> list[TemplateOutcome]:
        """Bill a period of each; a template that fails is tried alone, and stops no other."""

        async def work(tx: Tx) -> list[TemplateOutcome]:
            return await self._bill_in(tx, ids)

        try:
            return await self.database.with_retry(work)
        except (AppError, DatabaseFault) as error:
            if not recurring.is_of_template(error):
                raise
            if len(ids) == 1:
                return [TemplateOutcome(BillingOutcome.FAILED, ids[0], why=_reason(error))]
        return [outcome for one in ids for outcome in await self._bill([one])]

    async def _bill_in(self, tx: Tx, ids: Sequence[int]) -> list[TemplateOutcome]:
        now = self.clock()
        templates = await _lock_enabled(tx, ids, self.home)
        plan = await recurring.plan_periods(tx, templates, now)
        held = _take_out(plan, await _holds(tx, plan, now))
        created = await recurring.bill(tx, plan, now=now, who=WHO, home=self.home)
        return [*held, *(_created(plan, one, created[one], now) for one in created)]

    async def _foresee(self, tx: Tx, ids: Sequence[int]) -> list[TemplateOutcome]:
        now = self.clock()
        rows = await tx.execute(select(INVOICES).where(INVOICES.c.id.in_(ids)))
        templates = await with_time_zones(
            tx, [FullInvoiceRow._make(row) for row in rows], self.home
        )
        made = await load_made(tx, templates.values())
        plan = PeriodPlan(templates, made)
        due = {
            one: list(schedule.due_periods(template.schedule, template.today(now), made[one]))
            for one, template in templates.items()
        }
        plan.billed.update({one: periods[0] for one, periods in due.items() if periods})
        held = _take_out(plan, await _holds(tx, plan, now))
        foreseen = [
            TemplateOutcome(BillingOutcome.CREATED, one, period.first)
            for one in plan.billed
            for period in due[one]
        ]
        return [*held, *foreseen]


def _created(plan: PeriodPlan, one: int, invoice_id: int, now: datetime) -> TemplateOutcome:
    template, first = plan.templates[one], plan.billed[one].first
    made = {*plan.made[one], first}
    further = schedule.billing_period(template.schedule, today=template.today(now), made=made)
    has_more = isinstance(further, BillingPeriod)
    return TemplateOutcome(BillingOutcome.CREATED, one, first, invoice_id, has_more=has_more)


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, AppError) else str(error)


async def _list_due(tx: Tx, before: int, now: datetime) -> list[int]:
    """The next templates, downwards from `before`, that may be due where their clients are.

    One without any date is left to a person: nobody has said when it begins.
    """
    dated = INVOICES.c.nextcreationdate <= now + timedelta(days=1)
    undated = and_(
        INVOICES.c.nextcreationdate.is_(None),
        INVOICES.c.period > 0,
        or_(INVOICES.c.startdate.is_not(None), INVOICES.c.lastcreated.is_not(None)),
    )
    statement = (
        select(INVOICES.c.id)
        .where(INVOICES.c.id < before, INVOICES.c.disabled.is_(False), or_(dated, undated))
        .order_by(INVOICES.c.id.desc())
        .limit(PAGE)
    )
    return list(await tx.scalars(statement))


def _chunks(ids: Iterable[int], lines: Mapping[int, int]) -> list[list[int]]:
    chunks: list[list[int]] = []
    room = 0
    for one in ids:
        if not chunks or lines.get(one, 0) > room:
            chunks.append([])
            room = CHUNK_LINES
        chunks[-1].append(one)
        room -= lines.get(one, 0)
    return chunks


async def _lock_enabled(tx: Tx, ids: Sequence[int], home: Home) -> dict[int, Template]:
    """The templates that are still there and may bill, locked in the order of their ids."""
    statement = (
        select(INVOICES)
        .where(INVOICES.c.id.in_(ids), INVOICES.c.disabled.is_(False))
        .order_by(INVOICES.c.id)
        .with_for_update()
    )
    found = [FullInvoiceRow._make(row) for row in await tx.execute(statement)]
    return await with_time_zones(tx, found, home)


# --- what waits for a person -------------------------------------------------------------------


async def _holds(tx: Tx, plan: PeriodPlan, now: datetime) -> dict[int, str]:
    """The reason of each template that a person has to process."""
    reviews = await _lines_to_review(tx, plan.billed)
    firsts = {one: period.first for one, period in plan.billed.items()}
    billed_until = await load_billed_until(tx, plan.templates, firsts)
    found: dict[int, str] = {}
    for one, period in plan.billed.items():
        template = plan.templates[one]
        if template.row.reviewrequired:
            found[one] = "reviewrequired: somebody must review it first"
        elif one in reviews:
            found[one] = "needsreviewbeforecreation: somebody must review a line of it first"
        elif period.first < template.today(now) - MISSED_MAX:
            found[one] = "nextcreationdate: more than two years ago"
        elif (last := billed_until.get(one)) is not None and period.first <= last:
            found[one] = f"nextcreationdate: billed already until {last}"
        elif period.last is not None and any(
            period.first < day <= period.last for day in plan.made[one]
        ):
            found[one] = "nextcreationdate: its period runs into one that is billed"
    return found


async def _lines_to_review(tx: Tx, ids: Iterable[int]) -> set[int]:
    """The templates with a line that must be reviewed and is not."""
    wanted = list(ids)
    if not wanted:
        return set()
    statement = select(LINES.c.ihid, LINES.c.extra).where(
        LINES.c.ihid.in_(wanted),
        LINES.c.isinactive.is_(False),
        type_coerce(LINES.c.extra, Text).like('%"needsreviewbeforecreation"%'),
    )
    return {
        template_id
        for template_id, extra in await tx.execute(statement)
        if extra.get("needsreviewbeforecreation") and not extra.get("reviewed")
    }


def _take_out(plan: PeriodPlan, held: Mapping[int, str]) -> list[TemplateOutcome]:
    periods: Mapping[int, BillingPeriod] = {one: plan.billed.pop(one) for one in held}
    return [
        TemplateOutcome(BillingOutcome.HELD, one, periods[one].first, why=why)
        for one, why in held.items()
    ]
