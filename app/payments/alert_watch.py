"""Watches the alert conditions: each is told once when it begins, and once when it is over."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select, update

from app.ledger import outbox
from app.ledger.outbox import OutboxColumns
from app.payments.alert_conditions import (
    ENDPOINT_CONDITIONS,
    endpoint_conditions,
    load_conditions,
)
from app.payments.autopay.brakes import RUNS
from app.payments.stripe.gateway import (
    Gateway,
    NoAnswer,
    NotAuthorized,
    RequestRefused,
    StripeRateLimited,
)
from app.payments.webhook.endpoint import PATHS
from app.rules.alert import RUN_FINISHED, TITLES, AlertFact
from app.rules.mail_kind import ALERT
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database, Record, Tx
from app.storage.rows import insert_of, insert_once
from app.storage.tables.alert_episodes import AlertEpisode
from app.storage.tables.cluster import InstallationValue
from app.storage.tables.outbox_messages import OutboxChannel

EPISODES = table_of(AlertEpisode)
FACTS = table_of(InstallationValue)
log = structlog.get_logger("paydue.alerts")

WATCHED_SINCE = "alerts_since"
# A run that finished longer ago is no news.
RUN_IS_NEWS = timedelta(hours=1)
_RUNS_MAX = 20


@dataclass(frozen=True, slots=True)
class AlertWatch:
    """Looks once at every condition. Its gateway is open, and is asked of the endpoint alone."""

    database: Database
    gateway: Gateway
    settings: Settings
    clock: Callable[[], datetime]

    async def run(self) -> str:
        """Tell all that has begun and all that is over, by mail and by webhook as they are set."""
        now = self.clock()
        since = await self._watched_since(now)
        async with self.database.snapshot() as tx:
            holding = await load_conditions(tx, self.settings, now=now, watched_since=since)
        asked = await self._endpoint()
        unknown = ENDPOINT_CONDITIONS if asked is None else frozenset()
        facts = [*holding, *(asked or ())]

        async def work(tx: Tx) -> tuple[int, int]:
            return await self._write(tx, facts, unknown, now)

        began, over = await self.database.with_retry(work)
        return f"{began} began, {over} over"

    async def _watched_since(self, now: datetime) -> datetime:
        value = FACTS.c.name == WATCHED_SINCE
        async with self.database.snapshot() as tx:
            found = await tx.scalar(select(FACTS.c.value).where(value))
        if found is None:
            row = {"name": WATCHED_SINCE, "value": now.isoformat()}
            async with self.database.transaction() as tx:
                await insert_once(tx, FACTS, [row], key=[FACTS.c.name], returning=[FACTS.c.name])
            return now
        return datetime.fromisoformat(found)

    async def _endpoint(self) -> list[AlertFact] | None:
        """The conditions of our webhook endpoint; None where Stripe does not say."""
        if not self.settings.public_url:
            return None
        try:
            endpoints = await self.gateway.webhook_endpoints()
        except (NoAnswer, NotAuthorized, RequestRefused, StripeRateLimited) as error:
            log.debug("webhook endpoints not known", why=str(error))
            return None
        return endpoint_conditions(endpoints, [f"{self.settings.public_url}{one}" for one in PATHS])

    async def _write(
        self, tx: Tx, facts: Iterable[AlertFact], unknown: Collection[str], now: datetime
    ) -> tuple[int, int]:
        open_ones = {
            (row.condition, row.subject): row
            for row in await tx.execute(select(EPISODES).where(EPISODES.c.ended_at.is_(None)))
        }
        holding = {(str(one.condition), one.subject): one for one in facts}
        began = [
            row
            for key, one in holding.items()
            if key not in open_ones and (row := await _begin(tx, one, now)) is not None
        ]
        over = [
            row
            for key, row in open_ones.items()
            if key not in holding and row.condition not in unknown and await _end(tx, row, now)
        ]
        told = [_change_facts(row, "begun", now) for row in began]
        told += [_change_facts(row, "over", now) for row in over]
        told += [_run_facts(row, now) for row in await _finished_runs(tx, now)]
        await outbox.queue(tx, [one for facts in told for one in self._messages(*facts, now)])
        return len(began), len(over)

    def _messages(
        self, occasion: str, facts: Mapping[str, Any], now: datetime
    ) -> Sequence[OutboxColumns]:
        return [
            outbox.message(ALERT, occasion, facts, now=now, channel=channel)
            for channel in channels_of(self.settings)
        ]


def channels_of(settings: Settings) -> list[OutboxChannel]:
    """The ways by which alerts are told, as they are set."""
    channels = []
    if settings.smtp_host and settings.mail_finance:
        channels.append(OutboxChannel.MAIL)
    if settings.alert_webhook_url:
        channels.append(OutboxChannel.WEBHOOK)
    return channels


async def _begin(tx: Tx, one: AlertFact, now: datetime) -> Record | None:
    """The new episode; None where another worker was first."""
    row = {
        "condition": one.condition, "subject": one.subject, "detail": one.detail, "began_at": now,
    }  # fmt: skip
    statement = insert_of(tx.dialect.name)(EPISODES).values(row).on_conflict_do_nothing()
    return (await tx.execute(statement.returning(*EPISODES.c))).one_or_none()


async def _end(tx: Tx, row: Record, now: datetime) -> bool:
    ended = await tx.execute(
        update(EPISODES)
        .where(EPISODES.c.id == row.id, EPISODES.c.ended_at.is_(None))
        .values(ended_at=now)
    )
    return bool(ended.rowcount)


def _change_facts(row: Record, change: str, now: datetime) -> tuple[str, dict[str, Any]]:
    title = TITLES[row.condition]
    return f"{row.id} {change}", {
        "condition": row.condition,
        "change": change,
        "subject": row.subject,
        "title": title if change == "begun" else f"Over: {title}",
        "detail": row.detail,
        "began_at": row.began_at.isoformat(),
        "at": now.isoformat(),
    }


async def _finished_runs(tx: Tx, now: datetime) -> list[Record]:
    found = await tx.execute(
        select(RUNS).where(RUNS.c.is_dry.is_(False)).order_by(RUNS.c.id.desc()).limit(_RUNS_MAX)
    )
    return [row for row in found if row.finished_at and now - row.finished_at < RUN_IS_NEWS]


def _run_facts(row: Record, now: datetime) -> tuple[str, dict[str, Any]]:
    counts = ", ".join(f"{count} {kind}" for kind, count in (row.counts or {}).items())
    return f"run {row.id} finished", {
        "condition": RUN_FINISHED,
        "change": "done",
        "subject": str(row.id),
        "title": TITLES[RUN_FINISHED],
        "detail": f"Run {row.id} of {row.business_day}: {counts or 'none due'}",
        "began_at": row.started_at.isoformat(),
        "at": now.isoformat(),
    }
