"""Sends the mails that wait in the outbox, each at most once.

A mail is leased, offered to the server, and marked `sending` in a transaction of its own; only
then does its text go out, and the server's answer is kept. Whoever dies before the mark has sent
nothing: the mail goes out when the lease has ended. Whoever dies after it may have sent the mail:
it becomes `unknown`, and only a person sends it again. A refusal is an answer: nothing was sent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import uuid4

import structlog
from sqlalchemy import ColumnElement, or_, select, update

from app.errors import Unavailable
from app.mail.mail_content import NotToBeSent, mail_content
from app.mail.mail_message import mail_bytes, message_id_of
from app.mail.mail_rendering import RenderedMail, header_text, render_mail
from app.mail.mail_subjects import load_subject, recipients_for
from app.mail.objection_offers import ObjectionOffer, objection_offer
from app.mail.smtp_connection import (
    MailRefused,
    MailServerAway,
    MailUnanswered,
    SmtpConnection,
    smtp_connection,
)
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database, Record
from app.storage.tables.outbox_messages import OutboxChannel, OutboxMessage, OutboxState

log = structlog.get_logger("paydue.mail")
OUTBOX = table_of(OutboxMessage)

# Longer than one mail may take on a slow server; a worker that died is waited for so long.
LEASE = timedelta(minutes=5)
# Mails of one connection: the others are sent a few seconds later.
BATCH = 50
RETRY_DELAYS = tuple(timedelta(minutes=one) for one in (1, 5, 30, 120, 360))
# A mail that could not be sent for so long tells nobody anything new.
EXPIRES_AFTER = timedelta(days=3)
ERROR_MAX = 500


@dataclass(slots=True)
class DeliveryCounts:
    """How many mails became what."""

    sent: int = 0
    failed: int = 0
    skipped: int = 0
    unknown: int = 0
    later: int = 0

    def __str__(self) -> str:
        return f"{self.sent} sent, {self.failed} failed, {self.later} later, {self.unknown} unknown"


class _LeaseLost(Exception):
    """Another worker has the mail: nothing of it may be sent here."""


@dataclass(frozen=True, slots=True)
class MailDelivery:
    """Sends what is due. Workers may share the work; the job's own lease keeps them few."""

    database: Database
    settings: Settings
    installation: str
    stop: asyncio.Event
    token: str = field(default_factory=lambda: uuid4().hex)

    async def run(self) -> DeliveryCounts:
        """Send what is due now. Without a server nothing is sent, and all of it waits."""
        counts = DeliveryCounts()
        counts.unknown = await self._give_up_lost()
        if not self.settings.smtp_host:
            return counts
        leased = await self._lease()
        if not leased:
            return counts
        try:
            async with smtp_connection(self.settings) as connection:
                for row in leased:
                    if self.stop.is_set():
                        break
                    await self._send(connection, row, counts)
        except MailServerAway as error:
            log.warning("mail server away", why=str(error))
            await self._put_off(leased, str(error))
        await self._release(leased)
        return counts

    async def _release(self, leased: Sequence[Record]) -> None:
        """Of a batch that was stopped half-way, another worker may take the rest at once."""
        is_left = OUTBOX.c.lease_token == self.token, OUTBOX.c.state == OutboxState.QUEUED
        async with self.database.transaction() as tx:
            await tx.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id.in_([row.id for row in leased]), *is_left)
                .values(lease_token=None, lease_until=None)
            )

    async def _give_up_lost(self) -> int:
        """Mails whose worker died after the mark: nobody knows whether they were sent."""
        now = self.database.now()
        is_lost = OUTBOX.c.state == OutboxState.SENDING, OUTBOX.c.lease_until <= now
        async with self.database.snapshot() as tx:
            lost = await tx.scalar(select(OUTBOX.c.id).where(*is_lost, _IS_MAIL).limit(1))
        if lost is None:
            return 0
        async with self.database.transaction() as tx:
            why = "the worker ended while the mail was on its way; it may have been sent"
            changed = await tx.execute(
                update(OUTBOX)
                .where(*is_lost, _IS_MAIL)
                .values(state=OutboxState.UNKNOWN, error=why)
            )
        log.warning("mails of unknown fate", count=changed.rowcount)
        return changed.rowcount

    async def _lease(self) -> Sequence[Record]:
        now = self.database.now()
        is_due = (
            OUTBOX.c.state == OutboxState.QUEUED,
            _IS_MAIL,
            OUTBOX.c.next_try_at <= now,
            or_(OUTBOX.c.lease_until.is_(None), OUTBOX.c.lease_until <= now),
        )
        async with self.database.snapshot() as tx:
            due = select(OUTBOX.c.id).where(*is_due).order_by(OUTBOX.c.next_try_at).limit(BATCH)
            ids = list(await tx.scalars(due))
        if not ids:
            return []
        async with self.database.transaction() as tx:
            await tx.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id.in_(ids), *is_due)
                .values(lease_token=self.token, lease_until=now + LEASE)
            )
        async with self.database.snapshot() as tx:
            ours = OUTBOX.c.lease_token == self.token, OUTBOX.c.state == OutboxState.QUEUED
            found = await tx.execute(
                select(OUTBOX).where(OUTBOX.c.id.in_(ids), *ours).order_by(OUTBOX.c.id)
            )
            return found.all()

    async def _send(self, connection: SmtpConnection, row: Record, counts: DeliveryCounts) -> None:
        try:
            await self._send_one(connection, row)
            counts.sent += 1
        except NotToBeSent as error:
            counts.skipped += 1
            await self._end(row, OutboxState.SKIPPED, str(error))
        except MailRefused as error:
            if error.is_final:
                counts.failed += 1
                await self._end(row, OutboxState.FAILED, str(error))
            else:
                counts.later += 1
                await self._put_off([row], str(error))
        except MailUnanswered as error:
            counts.unknown += 1
            await self._end(row, OutboxState.UNKNOWN, f"no answer after the text: {error}")
            raise MailServerAway(str(error)) from error
        except Unavailable as error:  # a template or its words cannot be used, or the database
            counts.later += 1
            await self._put_off([row], error.message)
        except _LeaseLost:
            await connection.withdraw()

    async def _send_one(self, connection: SmtpConnection, row: Record) -> None:
        async with self.database.snapshot() as tx:
            subject = await load_subject(
                tx, row.kind, row.client_id, row.facts or {}, self.settings, self.database.now()
            )
        recipients = recipients_for(row.kind, subject.client, self.settings)
        objection = objection_offer(row, subject.facts.timezone, self.settings)
        facts = replace(subject.facts, object_url=objection.url) if objection else subject.facts
        mail = render_mail(mail_content(facts, subject.words), self.settings.mail_folder)
        message_id = message_id_of(row.key, self.installation, self.settings)
        message = mail_bytes(
            mail,
            settings=self.settings,
            seller=subject.seller,
            recipients=recipients,
            message_id=message_id,
            at=self.database.now(),
        )
        refused = await connection.offer(self.settings.mail_from, recipients)
        await self._mark_sending(row, recipients, mail, message_id, objection)
        await connection.send_text(message)
        await self._end(row, OutboxState.SENT, "; ".join(refused))
        log.info("mail sent", id=row.id, kind=row.kind, client=row.client_id)

    async def _mark_sending(
        self,
        row: Record,
        recipients: Sequence[str],
        mail: RenderedMail,
        message_id: str,
        objection: ObjectionOffer | None,
    ) -> None:
        """From here on the mail may have been sent. _LeaseLost where another has it."""
        now = self.database.now()
        async with self.database.transaction() as tx:
            marked = await tx.execute(
                update(OUTBOX)
                .where(*self._is_ours(row), OUTBOX.c.state == OutboxState.QUEUED)
                .values(
                    state=OutboxState.SENDING,
                    lease_until=now + LEASE,
                    tries=OUTBOX.c.tries + 1,
                    message_id=message_id,
                    recipient=", ".join(recipients),
                    subject=mail.subject,
                    text_body=mail.text,
                    html_body=mail.html,
                    error=None,
                )
            )
            if marked.rowcount and objection is not None:
                await objection.record(tx, now=now)
        if not marked.rowcount:
            raise _LeaseLost

    async def _end(self, row: Record, state: OutboxState, said: str) -> None:
        now = self.database.now()
        is_sent = state == OutboxState.SENT
        async with self.database.transaction() as tx:
            await tx.execute(
                update(OUTBOX)
                .where(*self._is_ours(row))
                .values(
                    state=state,
                    lease_token=None,
                    lease_until=None,
                    error=_line(said) or None,
                    **({"sent_at": now} if is_sent else {}),
                )
            )
        if not is_sent:
            # The server's words may name an address, so they stand in the row alone.
            log.warning("mail not sent", id=row.id, kind=row.kind, state=str(state))

    async def _put_off(self, rows: Sequence[Record], why: str) -> None:
        """Try again later, with growing waits; what has waited too long has failed."""
        now = self.database.now()
        async with self.database.transaction() as tx:
            for row in rows:
                wait = RETRY_DELAYS[min(row.tries, len(RETRY_DELAYS) - 1)]
                is_over = now - row.created_at > EXPIRES_AFTER
                await tx.execute(
                    update(OUTBOX)
                    .where(
                        *self._is_ours(row),
                        OUTBOX.c.state.in_((OutboxState.QUEUED, OutboxState.SENDING)),
                    )
                    .values(
                        state=OutboxState.FAILED if is_over else OutboxState.QUEUED,
                        lease_token=None,
                        lease_until=None,
                        next_try_at=now + wait,
                        tries=row.tries + 1,
                        error=_line(why),
                    )
                )

    def _is_ours(self, row: Record) -> tuple[ColumnElement[bool], ...]:
        return OUTBOX.c.id == row.id, OUTBOX.c.lease_token == self.token


_IS_MAIL = OUTBOX.c.channel == OutboxChannel.MAIL


def _line(said: str) -> str:
    return header_text(said)[:ERROR_MAX]
