"""The commands on alerts: those that hold, those that are over, and one to try the way."""

from datetime import UTC, datetime
from uuid import uuid4

import click
from sqlalchemy import select

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import console, moment, say, table
from app.errors import ConfigurationError
from app.ledger import outbox
from app.node import open_current_database
from app.payments.alert_watch import EPISODES, channels_of
from app.rules.alert import TITLES
from app.rules.mail_kind import ALERT
from app.storage.engines import Record

SHOWN = 50


@click.group()
def alerts() -> None:
    """See which alerts hold and which are over, and try whether they reach you."""


@alerts.command("list")
def list_alerts() -> None:
    """The newest alerts first; one without an end holds still."""
    settings = settings_and_logs()

    async def work() -> list[Record]:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            newest = select(EPISODES).order_by(EPISODES.c.id.desc()).limit(SHOWN)
            return list(await tx.execute(newest))

    rows = (
        (one.id, TITLES.get(one.condition, one.condition), moment(one.began_at),
         moment(one.ended_at), one.detail)
        for one in run(work())
    )  # fmt: skip
    columns = (">id", "alert", "began", "over", "detail")
    console().print(table("Alerts", columns, rows))


@alerts.command("test")
def test_alerts() -> None:
    """Send a test alert by mail and webhook, as they are set; the worker sends it."""
    settings = settings_and_logs()
    channels = channels_of(settings)
    if not channels:
        raise ConfigurationError(
            "set PAYDUE_MAIL_FINANCE with PAYDUE_SMTP_HOST, or PAYDUE_ALERT_WEBHOOK_URL"
        )
    now = datetime.now(UTC)
    facts = {
        "condition": "test", "change": "done", "subject": "", "title": "A test alert",
        "detail": "Somebody tries whether alerts arrive.", "began_at": now.isoformat(),
        "at": now.isoformat(),
    }  # fmt: skip

    async def work() -> None:
        occasion = f"test {uuid4().hex}"
        async with open_current_database(settings) as database, database.transaction() as tx:
            messages = [
                outbox.message(ALERT, occasion, facts, now=now, channel=one) for one in channels
            ]
            await outbox.queue(tx, messages)

    run(work())
    say(f"waits for the worker: {', '.join(channels)}; paydue mail list shows what came of it")
