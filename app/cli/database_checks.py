"""The checks of `paydue doctor` on what is in the database: its soundness, its jobs, its events."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from app.cli.check_result import Check, failed_check
from app.errors import ConfigurationError, DatabaseUnavailable, Unavailable
from app.node import open_current_database
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.driver_errors import DatabaseFault
from app.storage.durability import list_risks
from app.storage.engines import Tx
from app.storage.tables.cluster import Job
from app.storage.tables.stripe_events import IS_PARKED_OR_DEAD, EventState, StripeEvent

JOBS = table_of(Job)
EVENTS = table_of(StripeEvent)
# A job of every few seconds that has not run for so long has no worker.
SILENT = timedelta(minutes=5)


async def database_checks(settings: Settings) -> list[Check]:
    """None of them where the database cannot be used; another check says so."""
    try:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            now = datetime.now(UTC)
            return [*await _durability(tx), await _worker(tx, now), await _waiting_events(tx)]
    except (DatabaseUnavailable, DatabaseFault) as error:
        mend = "if it is damaged, stop everything and restore a backup: paydue db restore"
        return [failed_check("durability", str(error), mend)]
    except (ConfigurationError, Unavailable):
        return []


async def _durability(tx: Tx) -> list[Check]:
    risks = await list_risks(tx)
    if not risks:
        return [Check("durability", "what is acknowledged is kept")]
    return [Check("durability", one.said, one.mend, is_bad=one.is_bad) for one in risks]


async def _worker(tx: Tx, now: datetime) -> Check:
    rows = (await tx.execute(select(JOBS).order_by(JOBS.c.name))).all()
    at_work = [
        f"{row.name} ({row.lease_holder})"
        for row in rows
        if row.lease_until and row.lease_until > now
    ]
    last = max((row.finished_at for row in rows if row.finished_at), default=None)
    failing = [f"{row.name}: {row.result}" for row in rows if _is_failure(row.result)]
    if last is None and not at_work:
        return Check("worker", "none has run here yet", "start one: paydue worker")
    if not at_work and last is not None and now - last > SILENT:
        return failed_check("worker", f"none since {last:%Y-%m-%d %H:%MZ}", "start: paydue worker")
    if failing:
        return Check("worker", "; ".join(failing), "its log says more")
    return Check("worker", f"runs{': ' if at_work else ''}{', '.join(at_work)}")


def _is_failure(result: str | None) -> bool:
    return (result or "").startswith(("failed", "not finished", "Stripe refuses"))


async def _waiting_events(tx: Tx) -> Check:
    rows = await tx.execute(
        select(EVENTS.c.state, func.count()).where(IS_PARKED_OR_DEAD).group_by(EVENTS.c.state)
    )
    found = {state: int(count) for state, count in rows}
    dead, parked = found.get(EventState.DEAD, 0), found.get(EventState.PARKED, 0)
    if dead:
        return Check("events", f"{dead} given up", "paydue events list --state dead")
    if parked:
        return Check("events", f"{parked} wait", "paydue events list --state parked")
    return Check("events", "all are applied")
