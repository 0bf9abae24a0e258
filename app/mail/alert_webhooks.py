"""Sends alerts to the user's webhook, in the form of Standard Webhooks.

The id is the same at every try, so that a receiver can drop a second one; the signature is over id,
time and body (github.com/standard-webhooks, spec/standard-webhooks.md). A webhook is sent at least
once: whoever dies before the answer is kept sends it again.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp
import orjson
import structlog
from sqlalchemy import or_, select, update

from app.mail.mail_rendering import header_text
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database, Record
from app.storage.tables.outbox_messages import OutboxChannel, OutboxMessage, OutboxState

log = structlog.get_logger("paydue.alerts")
OUTBOX = table_of(OutboxMessage)

TIMEOUT_S = 15.0
LEASE = timedelta(minutes=5)
# Webhooks of one turn, so that a slow receiver does not outlast the lease.
BATCH = 10
# As the specification proposes: over two days, the first again after seconds.
RETRY_DELAYS = tuple(
    timedelta(seconds=one) for one in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000)
)
# The receiver wants no more of them, as the specification has it.
_GONE = 410
_FIRST_BAD = 300
ERROR_MAX = 200


@dataclass(frozen=True, slots=True)
class AlertWebhooks:
    """Sends what is due. The job's own lease keeps two workers from doing so at once."""

    database: Database
    settings: Settings
    installation: str

    async def run(self) -> str:
        """Send what is due now; nothing where no address is set."""
        if not self.settings.alert_webhook_url:
            return "none"
        due = await self._lease()
        if not due:
            return "none"
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            sent = [await self._send(http, row) for row in due]
        return f"{sum(sent)} sent, {len(sent) - sum(sent)} later"

    async def _lease(self) -> list[Record]:
        now = self.database.now()
        is_due = (
            OUTBOX.c.state == OutboxState.QUEUED,
            OUTBOX.c.channel == OutboxChannel.WEBHOOK,
            OUTBOX.c.next_try_at <= now,
            or_(OUTBOX.c.lease_until.is_(None), OUTBOX.c.lease_until <= now),
        )
        async with self.database.snapshot() as tx:
            found = list(
                await tx.execute(
                    select(OUTBOX).where(*is_due).order_by(OUTBOX.c.next_try_at).limit(BATCH)
                )
            )
        if found:
            async with self.database.transaction() as tx:
                ids = [row.id for row in found]
                await tx.execute(
                    update(OUTBOX).where(OUTBOX.c.id.in_(ids)).values(lease_until=now + LEASE)
                )
        return found

    async def _send(self, http: aiohttp.ClientSession, row: Record) -> bool:
        body = alert_body(row.facts or {}, self.installation)
        named = hmac.new(self.installation.encode(), row.key.encode(), "sha256")
        message_id = f"msg_{named.hexdigest()[:32]}"
        secret = self.settings.alert_webhook_secret.get_secret_value()
        headers = signed_headers(secret, message_id, self.database.now(), body)
        try:
            async with http.post(
                self.settings.alert_webhook_url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status, error = answer.status, f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            status, error = 0, f"{type(failure).__name__}: {failure}"
        is_sent = 200 <= status < _FIRST_BAD
        await self._record(row, message_id, error, is_sent=is_sent, is_gone=status == _GONE)
        return is_sent

    async def _record(
        self, row: Record, message_id: str, error: str, *, is_sent: bool, is_gone: bool
    ) -> None:
        now = self.database.now()
        is_over = is_gone or row.tries >= len(RETRY_DELAYS)
        state = OutboxState.FAILED if is_over else OutboxState.QUEUED
        wait = RETRY_DELAYS[min(row.tries, len(RETRY_DELAYS) - 1)]
        values = {
            "state": OutboxState.SENT if is_sent else state,
            "tries": row.tries + 1,
            "lease_until": None,
            "next_try_at": now + wait,
            "message_id": message_id,
            "error": None if is_sent else header_text(error)[:ERROR_MAX],
            "sent_at": now if is_sent else None,
        }
        async with self.database.transaction() as tx:
            await tx.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id == row.id, OUTBOX.c.state == OutboxState.QUEUED)
                .values(values)
            )
        if not is_sent:
            log.warning("alert webhook not taken", id=row.id, tries=row.tries + 1)


def alert_body(facts: Mapping[str, object], installation: str) -> bytes:
    """The payload: `type`, `timestamp` and `data`; a `text` for Slack and Teams beside them."""
    return orjson.dumps(
        {
            "type": f"paydue.{facts['condition']}.{facts['change']}",
            "timestamp": facts["at"],
            "text": f"{facts['title']}. {facts['detail']}",
            "data": {**facts, "installation": installation},
        }
    )


def signed_headers(secret: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows that the webhook is ours and new."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    moment = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), moment.encode(), body))
    digest = base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{digest}",
    }
