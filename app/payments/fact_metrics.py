"""Metrics of what stands in the database: the same of every process that is asked.

The end of a run or of a reconciliation is told as its moment, in seconds since the epoch, so that
its age grows when nobody asks. Counts come from `status`, each from an index.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from app.errors import Unavailable
from app.payments.autopay.brakes import load_brakes
from app.payments.reconciliation.cursor import load_completed_at, load_restored_at
from app.payments.status import JobStatus, list_jobs, status
from app.rules import calendar
from app.settings import Settings
from app.storage.driver_errors import DatabaseFault
from app.storage.engines import Database, Tx

# However often the processes of a host are scraped, each reads the database at most so often.
CACHE_LASTS = timedelta(seconds=10)
# Prometheus itself names the scraped service by the label `job`.
_JOB = "job_name"
# Results of a job that did not end as it should; the worker words them.
_FAILURES = ("failed", "not finished", "Stripe refuses")

# A number of `status`, the name of its metric, its labels and its help.
_Number = tuple[str, str, Mapping[str, str], str]
_NUMBERS: Sequence[_Number] = (
    ("events_parked", "paydue_events_waiting", {"state": "parked"}, "Events not applied."),
    ("events_dead", "paydue_events_waiting", {"state": "dead"}, "Events not applied."),
    (
        "oldest_parked_event_s",
        "paydue_oldest_parked_event_seconds",
        {},
        "Seconds since the oldest parked event came; 0 for none.",
    ),
    ("attempts_open", "paydue_attempts_unresolved", {"state": "open"}, "Attempts to charge."),
    ("attempts_unknown", "paydue_attempts_unresolved", {"state": "unknown"}, "Attempts to charge."),
    (
        "attempts_processing",
        "paydue_attempts_unresolved",
        {"state": "processing"},
        "Attempts to charge that have not ended.",
    ),
    (
        "oldest_open_attempt_s",
        "paydue_oldest_open_attempt_seconds",
        {},
        "Seconds since the oldest open or unknown attempt began; 0 for none.",
    ),
    ("invoices_held", "paydue_invoices_held", {}, "Invoices whose charge Stripe refused."),
    ("refunds_unresolved", "paydue_refunds_unresolved", {}, "Refunds that have not ended."),
    ("disputes_open", "paydue_disputes_open", {}, "Disputes that are open."),
    ("unapplied", "paydue_payments_unapplied", {}, "Payments that no invoice has."),
    ("due_today", "paydue_invoices_due", {}, "Flagged invoices that are due and not paid."),
    ("paid_today", "paydue_invoices_paid_today", {}, "Invoices that were paid today."),
)


class FactMetrics:
    """The metrics of one database as text, read anew when they are older than a few seconds."""

    def __init__(
        self, database: Database, settings: Settings, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._reading = asyncio.Lock()
        self._text = b""
        self._read_at: datetime | None = None

    async def text(self) -> bytes:
        """In Prometheus's format. A database that is away has one metric, which says so."""
        async with self._reading:  # who asks meanwhile gets the same answer
            now = self._clock()
            if self._read_at is None or now - self._read_at >= CACHE_LASTS:
                self._text = _exposition(await self._families(now))
                self._read_at = now
            return self._text

    async def _families(self, now: datetime) -> list[Metric]:
        try:
            async with self._database.snapshot() as tx:
                return [_gauge("paydue_database_up", 1), *await load_facts(tx, now, self._settings)]
        except (Unavailable, DatabaseFault):
            return [_gauge("paydue_database_up", 0)]


async def load_facts(tx: Tx, now: datetime, settings: Settings) -> list[Metric]:
    """The gauges of what an alert asks about."""
    timezone = settings.timezone
    numbers = await status(tx, now=now, timezone=timezone)
    moments = {
        "paydue_reconciliation_completed_timestamp_seconds": await load_completed_at(tx),
        "paydue_restored_timestamp_seconds": await load_restored_at(tx),
        "paydue_evidence_due_timestamp_seconds": _instant(numbers["evidence_due"]),
    }
    return [
        *_number_families(numbers),
        *_job_families(await list_jobs(tx, now), now),
        await _brakes(tx, calendar.business_day(now, timezone)),
        _gauge("paydue_reconciliation_period_seconds", settings.reconcile_every),
        *(_gauge(name, at.timestamp()) for name, at in moments.items() if at is not None),
    ]


async def _brakes(tx: Tx, today: date) -> Metric:
    """Whether all of autopay stands still: by a person, or by a run that is unlike others."""
    brakes = await load_brakes(tx, today)
    family = GaugeMetricFamily(
        "paydue_autopay_stopped", "1 where autopay charges nothing at all.", labels=["by"]
    )
    family.add_metric(["pause"], int(brakes.is_paused))
    family.add_metric(["unusual_run"], int(brakes.held_run_id is not None))
    return family


def _number_families(numbers: Mapping[str, Any]) -> list[Metric]:
    families: dict[str, GaugeMetricFamily] = {}
    for key, name, labels, said in _NUMBERS:
        family = families.setdefault(name, GaugeMetricFamily(name, said, labels=list(labels)))
        family.add_metric(list(labels.values()), numbers[key] or 0)
    return list(families.values())


def _job_families(jobs: Sequence[JobStatus], now: datetime) -> Iterator[Metric]:
    succeeded = GaugeMetricFamily(
        "paydue_job_succeeded_timestamp_seconds", "When a job last succeeded.", labels=[_JOB]
    )
    overdue = GaugeMetricFamily(
        "paydue_job_overdue_seconds", "Seconds a job waits for a worker.", labels=[_JOB]
    )
    failing = GaugeMetricFamily(
        "paydue_job_failing", "1 where a job's newest run failed.", labels=[_JOB]
    )
    for job in jobs:
        if job.succeeded_at is not None:
            succeeded.add_metric([job.name], job.succeeded_at.timestamp())
        late = max(0.0, (now - job.next_run_at).total_seconds())
        overdue.add_metric([job.name], 0 if job.holder else late)
        failing.add_metric([job.name], int((job.result or "").startswith(_FAILURES)))
    yield from (succeeded, overdue, failing)


_HELP = {
    "paydue_database_up": "1 where the database answers.",
    "paydue_reconciliation_completed_timestamp_seconds": "When Stripe was last read to its end.",
    "paydue_reconciliation_period_seconds": "Seconds between two reconciliations, as set.",
    "paydue_restored_timestamp_seconds": "When a backup came back, until Stripe has been read.",
    "paydue_evidence_due_timestamp_seconds": "When the next dispute without evidence is lost.",
}


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, _HELP[name], value=value)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


class _Families:
    """Families that are made already, as the library's registry asks for them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _exposition(families: Sequence[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Families(families))
    return generate_latest(registry)
