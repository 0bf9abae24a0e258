"""Mails that a day brings: coming charges, reminders, statements, cards that expire.

Each is queued once for its day or month by its key, however often the job runs. A kind that is off
reads nothing. Nobody is written to before the business's morning.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import ColumnElement, exists, func, select

from app.ledger import outbox
from app.ledger.outbox import OutboxColumns
from app.payments.autopay.charge_calendar import CalendarEntry, DayOfClient, read_calendar
from app.payments.stripe.gateway import Gateway, NoAnswer, RequestRefused, StripeRateLimited
from app.rules import calendar, money
from app.rules.card_expiry import CardExpiry, expiry_of, notice_due
from app.rules.invoice import InvoiceKind
from app.rules.mail_kind import MailKind
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.charge_attempts import ChargeAttempt, attempt_ids_of
from app.storage.tables.clients import Client
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice
from app.storage.tables.outbox_messages import OutboxMessage, PaymentPromise

INVOICES = table_of(Invoice)
CLIENTS = table_of(Client)
ATTEMPTS = table_of(ChargeAttempt)
PROMISES = table_of(PaymentPromise)
OUTBOX = table_of(OutboxMessage)
log = structlog.get_logger("paydue.notices")

FROM_HOUR = 8
# Clients of one page, each with its invoices of one statement.
PAGE = 100
# Invoices that a mail lists; the reader gets the whole of a larger list from the finance team.
INVOICES_MAX = 500
# Cards are looked at whose invoices are charged within so many days, and so many a day.
CARD_DAYS = 60
CARDS_MAX = 500


@dataclass(slots=True)
class QueuedNotices:
    """How many mails were queued, by kind."""

    counts: dict[str, int]

    def __str__(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.items()) or "none"


class _ClientInvoices(NamedTuple):
    client_id: int
    invoice_ids: list[int]


@dataclass(frozen=True, slots=True)
class Notices:
    """The notices of today. Its gateway is open, and is asked of cards alone."""

    database: Database
    gateway: Gateway
    settings: Settings
    clock: Callable[[], datetime]

    async def run(self) -> QueuedNotices:
        """Queue what is due and has not been queued before."""
        now = self.clock()
        local = now.astimezone(calendar.zone(self.settings.timezone))
        async with self.database.snapshot() as tx:
            on = await outbox.load_kinds(tx)
        made = QueuedNotices({})
        if local.hour < FROM_HOUR:
            return made
        if MailKind.COMING_CHARGE in on:
            await self._coming(now, made)
        if MailKind.REMINDER in on:
            await self._reminders(now, local.date(), made)
        first = self.settings.mail_statement_day
        # Days on which no worker ran are made up for, and a kind switched on later waits a month.
        if MailKind.STATEMENT in on and first <= local.day < first + 3:
            await self._statements(now, local.date(), made)
        if MailKind.CARD_EXPIRING in on:
            await self._cards(now, local.date(), made)
        return made

    async def _queue(self, messages: Sequence[OutboxColumns], made: QueuedNotices) -> None:
        if not messages:
            return
        new = await self.database.with_retry(lambda tx: outbox.queue(tx, messages))
        for one in messages:
            if one["key"] in new:
                made.counts[one["kind"]] = made.counts.get(one["kind"], 0) + 1

    # --- coming charges --------------------------------------------------------------------------

    async def _coming(self, now: datetime, made: QueuedNotices) -> None:
        """One mail for all that a client is charged on a day in a currency, days before."""
        days = self.settings.mail_coming_days
        found = await read_calendar(self.database, self.settings, now=now, days=days)
        coming = [
            _coming_charge(key, entry, now)
            for key, entry in found.in_order()
            if key.client_id is not None and key.day is not None and key.day > found.first
        ]
        await self._queue(coming, made)

    # --- reminders and statements ----------------------------------------------------------------

    async def _reminders(self, now: datetime, today: date, made: QueuedNotices) -> None:
        """One mail a client with all that is overdue, and no second one for some days."""
        days = timedelta(days=self.settings.mail_reminder_days)
        overdue = [INVOICES.c.duedate < today, *_is_reminded(today)]
        async for page in self._clients([INVOICES.c.duedate <= today - days, *_is_reminded(today)]):
            async with self.database.snapshot() as tx:
                lately = await _reminded_since(tx, page, now - days + timedelta(hours=12))
                listed = [await _invoices_of(tx, one, overdue) for one in page if one not in lately]
            reminders = [
                _listing(MailKind.REMINDER, one, f"client {one.client_id} {today}", now)
                for one in listed
            ]
            await self._queue(reminders, made)

    async def _statements(self, now: datetime, today: date, made: QueuedNotices) -> None:
        """One mail a month for each client with open items."""
        async for page in self._clients(_is_open()):
            async with self.database.snapshot() as tx:
                listed = [await _invoices_of(tx, one, _is_open()) for one in page]
            statements = [
                _listing(MailKind.STATEMENT, one, f"client {one.client_id} {today:%Y-%m}", now)
                for one in listed
            ]
            await self._queue(statements, made)

    async def _clients(
        self, conditions: Sequence[ColumnElement[bool]]
    ) -> AsyncIterator[Sequence[int]]:
        """The clients of such invoices, by id, page by page."""
        after = 0
        while True:
            statement = (
                select(INVOICES.c.client_id)
                .where(INVOICES.c.client_id > after, *conditions)
                .group_by(INVOICES.c.client_id)
                .order_by(INVOICES.c.client_id)
                .limit(PAGE)
            )
            async with self.database.snapshot() as tx:
                found = list(await tx.scalars(statement))
            if found:
                yield found
            if len(found) < PAGE:
                return
            after = found[-1]

    # --- cards -----------------------------------------------------------------------------------

    async def _cards(self, now: datetime, today: date, made: QueuedNotices) -> None:
        """A notice 30, 15 and 3 days before a card expires that coming invoices are charged to."""
        found = await read_calendar(self.database, self.settings, now=now, days=CARD_DAYS)
        ids = sorted({key.client_id for key in found.entries if key.client_id is not None})
        async with self.database.snapshot() as tx:
            wanted = select(CLIENTS).where(CLIENTS.c.id.in_(ids[:CARDS_MAX]))
            clients = list(await tx.execute(wanted))
        notices = []
        for client in clients:
            method = client.stripe_payment_method_id or client.stripe_saved_method_id
            expiry = await self._expiry(client.stripe_customer_id, method)
            days = notice_due(expiry, today) if expiry else None
            if expiry and days is not None:
                notices.append(_card_notice(client.id, expiry, days, now))
        await self._queue(notices, made)

    async def _expiry(self, customer_id: str | None, method_id: str | None) -> CardExpiry | None:
        """The expiry as Stripe says it now; no answer is asked for again in an hour."""
        try:
            if method_id is not None:
                return expiry_of(await self.gateway.payment_method(method_id))
            found = await self.gateway.default_method(customer_id) if customer_id else None
            return expiry_of(found) if found else None
        except (NoAnswer, RequestRefused, StripeRateLimited) as error:
            log.debug("card not known", customer=customer_id, why=str(error))
            return None


def _coming_charge(key: DayOfClient, entry: CalendarEntry, now: datetime) -> OutboxColumns:
    assert key.day is not None, "the charges that wait for an approval are not told"
    return outbox.message(
        MailKind.COMING_CHARGE,
        f"client {key.client_id} {key.day} {key.currency}",
        {
            "amount": money.text(entry.amount, key.currency),
            "currency": key.currency,
            "charge_on": key.day.isoformat(),
            "count": entry.count,
            "invoices": [{"id": one} for one in entry.invoice_ids],
        },
        now=now,
        client_id=key.client_id,
        invoice_id=min(entry.invoice_ids),
    )


def _listing(kind: MailKind, one: _ClientInvoices, occasion: str, now: datetime) -> OutboxColumns:
    """A mail of invoices, whose amounts are those of the moment when it is sent."""
    return outbox.message(
        kind,
        occasion,
        {"invoices": [{"id": invoice_id} for invoice_id in one.invoice_ids]},
        now=now,
        client_id=one.client_id,
    )


def _card_notice(client_id: int, expiry: CardExpiry, days: int, now: datetime) -> OutboxColumns:
    return outbox.message(
        MailKind.CARD_EXPIRING,
        f"client {client_id} {expiry.name} {expiry.last_day} {days} days before",
        {"method": expiry.name, "exp_year": expiry.year, "exp_month": expiry.month},
        now=now,
        client_id=client_id,
    )


def _is_open() -> list[ColumnElement[bool]]:
    """Invoices that a client owes: no templates, no credit notes, none under way at the bank."""
    return [
        INVOICES.c.id > 0,
        HAS_AMOUNT_DUE,
        INVOICES.c.voided.is_(False),
        INVOICES.c.is_recurring_invoice.is_(False),
        INVOICES.c.invoicetype == InvoiceKind.INVOICE.value,
        INVOICES.c.payments_pending == 0,
    ]


def _is_reminded(today: date) -> list[ColumnElement[bool]]:
    """Those that nobody has promised to pay by a later day, and that no charge is to come for."""
    is_promised = exists().where(
        PROMISES.c.invoice_id == INVOICES.c.id, PROMISES.c.promised_on >= today
    )
    will_be_charged = exists().where(
        ATTEMPTS.c.id.in_(attempt_ids_of(INVOICES.c.id)), ATTEMPTS.c.next_try_on >= today
    )
    return [*_is_open(), ~is_promised, ~will_be_charged]


async def _invoices_of(
    tx: Tx, client_id: int, conditions: Sequence[ColumnElement[bool]]
) -> _ClientInvoices:
    found = await tx.scalars(
        select(INVOICES.c.id)
        .where(INVOICES.c.client_id == client_id, *conditions)
        .order_by(INVOICES.c.duedate, INVOICES.c.id)
        .limit(INVOICES_MAX)
    )
    return _ClientInvoices(client_id, list(found))


async def _reminded_since(tx: Tx, client_ids: Sequence[int], since: datetime) -> set[int]:
    """Clients who have got, or will get, a reminder of after that moment."""
    newest = func.max(OUTBOX.c.created_at)
    found = await tx.execute(
        select(OUTBOX.c.client_id)
        .where(OUTBOX.c.client_id.in_(client_ids), OUTBOX.c.kind == MailKind.REMINDER)
        .group_by(OUTBOX.c.client_id)
        .having(newest > since)
    )
    return {client_id for (client_id,) in found}
