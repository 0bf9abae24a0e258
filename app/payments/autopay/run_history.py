"""Runs as they are kept: who began one, by which rules, its outcomes, sums and duration.

A run's outcomes are written at its end, some hundred to a row; the attempts know meanwhile. A run
that never ended stays `running`.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, insert, literal_column, select, update

from app.errors import InvalidField, NotFound, Refused
from app.payments.autopay.report import OutcomeKind, RunReport
from app.rules import money
from app.rules.autopay_limit import USUAL_OF_RUNS
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.prepared import projection
from app.storage.tables.autopay_policies import AutopayRun, AutopayRunPage

RUNS = table_of(AutopayRun)
PAGES = table_of(AutopayRunPage)

# Outcomes of a row: about 100 KiB of JSON.
PAGE = 500
LISTED_MAX = 1000
# A year and the month in which its books are closed; so many old runs are forgotten by a new one.
KEPT_FOR = timedelta(days=400)
FORGOTTEN = 50
_REASON_MAX = 500


class RunState(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"  # by a signal; the next run goes on
    FAILED = "failed"
    HELD = "held"  # beyond the usual: it charged nothing and asks
    APPROVED = "approved"  # such a run, after a person's yes


class StoredRun(NamedTuple):
    """A run as it is stored. Counts are by kind of outcome, sums by kind and currency."""

    id: int
    business_day: date
    is_dry: bool
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    state: str
    reason: str | None
    rules_revision: int | None
    counts: Mapping[str, int] | None
    sums: Mapping[str, Mapping[str, str]] | None

    @property
    def duration_s(self) -> float | None:
        if self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    def sums_of(self, *kinds: OutcomeKind) -> dict[str, Decimal]:
        """The sums of these kinds together, by currency."""
        found: dict[str, Decimal] = {}
        for kind in kinds:
            for currency, amount in (self.sums or {}).get(kind, {}).items():
                found[currency] = found.get(currency, Decimal(0)) + Decimal(amount)
        return found

    def as_dict(self) -> dict[str, Any]:
        return {
            **self._asdict(),
            "business_day": self.business_day.isoformat(),
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "duration_s": self.duration_s,
        }


_COLUMNS = projection(RUNS, StoredRun)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The row of a run that goes on."""

    database: Database
    id: int

    async def finish(self, report: RunReport, state: RunState, reason: str | None = None) -> None:
        """Write the outcomes, row by row, and then the end."""
        for number, outcomes in enumerate(_paged(_outcomes(report))):
            values = {"run_id": self.id, "number": number, "outcomes": outcomes}
            async with self.database.transaction() as tx:
                await tx.execute(insert(PAGES).values(values))
        sums: dict[str, dict[str, str]] = {}
        for (kind, currency), amount in report.sums.items():
            sums.setdefault(str(kind), {})[currency] = money.text(amount, currency)
        async with self.database.transaction() as tx:
            await tx.execute(
                update(RUNS)
                .where(RUNS.c.id == self.id)
                .values(
                    state=state,
                    reason=reason and reason[:_REASON_MAX],
                    finished_at=self.database.now(),
                    counts={str(kind): count for kind, count in report.counts.items()},
                    sums=sums,
                )
            )
            await tx.execute(delete(PAGES).where(PAGES.c.run_id.in_(_old_runs(self.database))))


def _old_runs(database: Database) -> Select[*tuple[Any, ...]]:
    """Runs whose outcomes are kept no longer; their counts and sums are."""
    long_ago = database.now() - KEPT_FOR
    with_outcomes = select(PAGES.c.run_id).distinct()
    return (
        select(RUNS.c.id)
        .where(RUNS.c.started_at < long_ago, RUNS.c.id.in_(with_outcomes))
        .order_by(RUNS.c.id)
        .limit(FORGOTTEN)
    )


async def begin_run(
    database: Database, day: date, *, who: str, is_dry: bool, revision: int | None
) -> RunRecord:
    values = {
        "business_day": day,
        "is_dry": is_dry,
        "started_by": who,
        "started_at": database.now(),
        "state": RunState.RUNNING,
        "rules_revision": revision,
    }
    async with database.transaction() as tx:
        run_id = await tx.scalar(insert(RUNS).values(values).returning(RUNS.c.id))
    assert isinstance(run_id, int), "an inserted row has its id"
    return RunRecord(database, run_id)


def _outcomes(report: RunReport) -> Iterator[dict[str, Any]]:
    for kind in OutcomeKind:
        for entry in report.entries(kind):
            yield {"outcome": str(kind), **entry}


def _paged(outcomes: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while page := list(islice(outcomes, PAGE)):
        yield page


# --- reads -----------------------------------------------------------------------------------


async def list_runs(tx: Tx, *, most: int = 50) -> list[StoredRun]:
    """The newest runs first."""
    found = await tx.execute(
        select(*_COLUMNS).order_by(RUNS.c.id.desc()).limit(min(most, LISTED_MAX))
    )
    return [StoredRun._make(row) for row in found]


async def load_run(tx: Tx, run_id: int) -> StoredRun:
    found = (await tx.execute(select(*_COLUMNS).where(RUNS.c.id == run_id))).one_or_none()
    if found is None:
        raise NotFound("run", run_id)
    return StoredRun._make(found)


async def outcomes_of(database: Database, run_id: int) -> AsyncIterator[Mapping[str, Any]]:
    """All outcomes of a run, a row of them in memory at a time."""
    number = 0
    while True:
        async with database.snapshot() as tx:
            page = await load_outcomes(tx, run_id, number)
        for one in page:
            yield one
        if len(page) < PAGE:
            return
        number += 1


async def load_outcomes(tx: Tx, run_id: int, number: int) -> Sequence[Mapping[str, Any]]:
    """The outcomes in the row `number` of a run, from 0 on: PAGE of them, fewer in the last one."""
    found: Sequence[Mapping[str, Any]] | None = await tx.scalar(
        select(PAGES.c.outcomes).where(PAGES.c.run_id == run_id, PAGES.c.number == number)
    )
    return found or ()


async def find_dry_run(tx: Tx, run: StoredRun) -> StoredRun | None:
    """The newest dry run of the same day that was kept before this run."""
    found = (
        await tx.execute(
            select(*_COLUMNS)
            .where(RUNS.c.business_day == run.business_day, RUNS.c.is_dry, RUNS.c.id < run.id)
            .where(RUNS.c.finished_at.is_not(None))
            .order_by(RUNS.c.id.desc())
            .limit(1)
        )
    ).one_or_none()
    return StoredRun._make(found) if found else None


async def list_usual(tx: Tx) -> list[dict[str, Decimal]]:
    """The sums that the last runs took, the newest first."""
    found = await tx.execute(
        select(*_COLUMNS)
        .where(RUNS.c.is_dry.is_(False), RUNS.c.state == literal_column("'finished'"))
        .order_by(RUNS.c.id.desc())
        .limit(USUAL_OF_RUNS * 10)  # of which many take nothing
    )
    runs = [StoredRun._make(row) for row in found]
    return [one.sums_of(OutcomeKind.CHARGED, OutcomeKind.PENDING) for one in runs]


# --- a run beyond the usual ------------------------------------------------------------------


async def is_approved(tx: Tx, day: date, planned: Mapping[str, Decimal]) -> bool:
    """Whether a person approved a run of that day for these sums, or for more."""
    found = await tx.execute(
        select(*_COLUMNS).where(RUNS.c.business_day == day, RUNS.c.state == RunState.APPROVED)
    )
    approved = [StoredRun._make(row).sums_of(OutcomeKind.HELD) for row in found]
    return any(_covers(sums, planned) for sums in approved)


def _covers(sums: Mapping[str, Decimal], planned: Mapping[str, Decimal]) -> bool:
    return all(amount <= sums.get(currency, Decimal(0)) for currency, amount in planned.items())


async def approve_run(tx: Tx, run_id: int, *, who: str) -> StoredRun:
    """Let a run of the same day take the sums that this one was held for, and no more."""
    if not who.strip():
        raise InvalidField("who", "is required: an approval is by name")
    run = await load_run(tx, run_id)
    if run.state != RunState.HELD:
        raise Refused(f"run {run_id} is {run.state}; only a held one is approved")
    said = f"approved by {who}; {run.reason}"[:_REASON_MAX]
    await tx.execute(
        update(RUNS)
        .where(RUNS.c.id == run_id, RUNS.c.state == RunState.HELD)
        .values(state=RunState.APPROVED, reason=said)
    )
    return await load_run(tx, run_id)


def changed_outcomes(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, str | None, str | None]]:
    """Invoices whose outcome differs between two runs, with both; None where one lacks it."""
    first = {one["invoice_id"]: str(one["outcome"]) for one in before}
    second = {one["invoice_id"]: str(one["outcome"]) for one in after}
    for invoice_id in sorted(first.keys() | second.keys()):
        pair = first.get(invoice_id), second.get(invoice_id)
        if pair[0] != pair[1]:
            yield invoice_id, *pair
