"""The alert conditions that hold: facts of `status` and the metrics, held to a limit.

ops/prometheus-rules.yml judges the same facts, as `fact_metrics` exports them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import literal_column, select

from app.payments.autopay.brakes import load_brakes
from app.payments.reconciliation.cursor import load_completed_at
from app.payments.status import ATTEMPTS, EVENTS, REVERSALS, JobStatus, list_jobs, status
from app.payments.webhook.event_types import HANDLERS
from app.rules import calendar
from app.rules.alert import AlertCondition, AlertFact
from app.rules.attempt import AttemptState
from app.rules.payment import DISPUTE_OPEN
from app.settings import Settings
from app.storage.engines import Tx

UNKNOWN_MAX = timedelta(hours=1)
WEBHOOKS_MAX = timedelta(days=1)
PERIODS_MAX = 2
# Each open dispute is an alert of its own; of more than these the newest wait.
DISPUTES_MAX = 100
# Events that are looked through for one that came by webhook.
EVENTS_MAX = 5_000
ENDPOINT_CONDITIONS = frozenset(
    {AlertCondition.ENDPOINT_DISABLED, AlertCondition.ENDPOINT_LACKS_EVENTS}
)
_KEY_REFUSED = "Stripe refuses"  # the result of a job, as the worker words it
_NAMED_MAX = 5


async def load_conditions(
    tx: Tx, settings: Settings, *, now: datetime, watched_since: datetime
) -> list[AlertFact]:
    """The conditions of which the database knows. Before `watched_since` nothing is missed."""
    numbers = await status(tx, now=now, timezone=settings.timezone)
    brakes = await load_brakes(tx, calendar.business_day(now, settings.timezone))
    found = [
        *_of_numbers(numbers),
        *_of_jobs(await list_jobs(tx, now)),
        *await _open_disputes(tx),
        *await _old_reconciliation(tx, settings, now, watched_since),
        *await _silent_webhooks(tx, now, watched_since),
    ]
    if brakes.held_run_id is not None:
        said = f"Run {brakes.held_run_id} would take far more than usual: paydue runs list"
        found.append(AlertFact(AlertCondition.RUN_STOPPED, said, str(brakes.held_run_id)))
    return found


def _of_numbers(numbers: Mapping[str, Any]) -> Iterator[AlertFact]:
    if numbers["unapplied"]:
        sums = numbers["unapplied_by_currency"].items()
        shown = ", ".join(f"{total} {currency}" for currency, total in sums)
        said = f"{numbers['unapplied']} payments, {shown}: paydue payments list"
        yield AlertFact(AlertCondition.MONEY_UNAPPLIED, said)
    if (numbers["oldest_open_attempt_s"] or 0) > UNKNOWN_MAX.total_seconds():
        said = "Nobody knows whether a customer was charged: paydue attempts list"
        yield AlertFact(AlertCondition.ATTEMPT_UNKNOWN, said)


def _of_jobs(jobs: Sequence[JobStatus]) -> list[AlertFact]:
    refused = [one.name for one in jobs if (one.result or "").startswith(_KEY_REFUSED)]
    if not refused:
        return []
    said = f"Of the jobs {', '.join(refused)}: paydue doctor"
    return [AlertFact(AlertCondition.KEY_REFUSED, said)]


async def _open_disputes(tx: Tx) -> list[AlertFact]:
    found = await tx.execute(
        select(REVERSALS.c.id, REVERSALS.c.intent_id, REVERSALS.c.reason)
        # Written out, for the small partial index is chosen for the literal.
        .where(REVERSALS.c.kind == literal_column("'dispute'"))
        .where(REVERSALS.c.status.in_(DISPUTE_OPEN))
        .order_by(REVERSALS.c.id)
        .limit(DISPUTES_MAX)
    )
    return [
        AlertFact(
            AlertCondition.DISPUTE_OPEN,
            f"{row.id} of the payment {row.intent_id}: {row.reason or 'no reason'}",
            row.id,
        )
        for row in found
    ]


async def _old_reconciliation(
    tx: Tx, settings: Settings, now: datetime, watched_since: datetime
) -> list[AlertFact]:
    completed_at = await load_completed_at(tx)
    most = PERIODS_MAX * timedelta(seconds=settings.reconcile_every)
    if now - (completed_at or watched_since) <= most:
        return []
    last = f"{completed_at:%Y-%m-%d %H:%M} UTC" if completed_at else "never"
    said = f"It was last read to its end: {last}. paydue reconcile"
    return [AlertFact(AlertCondition.RECONCILIATION_OLD, said)]


async def _silent_webhooks(tx: Tx, now: datetime, watched_since: datetime) -> list[AlertFact]:
    """A day without a webhook is no fault where nothing was charged."""
    since = now - WEBHOOKS_MAX
    if watched_since > since:
        return []
    ended = (AttemptState.SUCCEEDED, AttemptState.DECLINED)
    charged = await tx.scalar(
        select(ATTEMPTS.c.id)
        .where(
            ATTEMPTS.c.business_day >= since.date() - timedelta(days=1),
            ATTEMPTS.c.state.in_(ended),
            ATTEMPTS.c.finished_at >= since,
        )
        .limit(1)
    )
    if charged is None:
        return []
    newest = select(EVENTS.c.received_at, EVENTS.c.source).order_by(EVENTS.c.id.desc())
    looked_at = newest.limit(EVENTS_MAX).subquery()
    last: datetime | None = await tx.scalar(
        select(looked_at.c.received_at)
        .where(looked_at.c.source == "webhook")
        .order_by(looked_at.c.received_at.desc())
        .limit(1)
    )
    if last is not None and last >= since:
        return []
    said = f"The last one came: {f'{last:%Y-%m-%d %H:%M} UTC' if last else 'never'}. paydue doctor"
    return [AlertFact(AlertCondition.WEBHOOKS_SILENT, said)]


def endpoint_conditions(
    endpoints: Sequence[Mapping[str, Any]], urls: Sequence[str]
) -> list[AlertFact]:
    """The conditions of our endpoint, which is one with a URL of ours, among the account's."""
    ours = [one for one in endpoints if str(one.get("url")).rstrip("/") in urls]
    enabled = [one for one in ours if one.get("status") == "enabled"]
    if not enabled:
        state = "disabled" if ours else "not there"
        said = f"The endpoint {urls[0]} is {state} at Stripe."
        return [AlertFact(AlertCondition.ENDPOINT_DISABLED, said)]
    types = {kind for one in enabled for kind in one.get("enabled_events") or ()}
    missing = sorted(set(HANDLERS) - types) if "*" not in types else []
    if not missing:
        return []
    more = f" and {len(missing) - _NAMED_MAX} more" if len(missing) > _NAMED_MAX else ""
    said = f"It lacks {', '.join(missing[:_NAMED_MAX])}{more}."
    return [AlertFact(AlertCondition.ENDPOINT_LACKS_EVENTS, said)]
