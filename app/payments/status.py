"""The status of the installation in numbers: unresolved, parked, disputed, due, paid today."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Table, and_, exists, func, literal_column, or_, select

from app.ledger.refund_requests import IS_UNRESOLVED as IS_UNRESOLVED_REFUND
from app.payments.lookup import instant
from app.payments.reconciliation.cursor import load_completed_at
from app.rules import calendar, money
from app.rules.attempt import AttemptState
from app.rules.payment import (
    AWAITS_EVIDENCE,
    DISPUTE_OPEN,
    INQUIRY_OPEN,
    WARNING_OPEN,
    ReversalKind,
)
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.charge_attempts import IS_UNRESOLVED, ChargeAttempt, ChargeAttemptShare
from app.storage.tables.cluster import Job
from app.storage.tables.invoice_payments import InvoicePayment
from app.storage.tables.invoices import HAS_AMOUNT_DUE, Invoice
from app.storage.tables.stripe_events import (
    IS_PARKED_OR_DEAD,
    EventState,
    ForeignEventCount,
    StripeEvent,
)
from app.storage.tables.stripe_reversals import StripeReversal

INVOICES = table_of(Invoice)
PAYMENTS = table_of(InvoicePayment)
ATTEMPTS = table_of(ChargeAttempt)
SHARES = table_of(ChargeAttemptShare)
EVENTS = table_of(StripeEvent)
JOBS = table_of(Job)
FOREIGN_COUNTS = table_of(ForeignEventCount)
REVERSALS = table_of(StripeReversal)


async def status(tx: Tx, *, now: datetime, timezone: str) -> dict[str, Any]:
    """The numbers `paydue status --json` prints; each is counted from an index."""
    today = calendar.business_day(now, timezone)
    midnight = datetime.combine(today, time(), tzinfo=calendar.zone(timezone)).astimezone(UTC)
    oldest = await tx.scalar(
        select(func.min(ATTEMPTS.c.created_at)).where(
            IS_UNRESOLVED, ATTEMPTS.c.state != AttemptState.PROCESSING
        )
    )
    unapplied = await _unapplied(tx)
    return {
        "attempts_open": await _attempts(tx, AttemptState.OPEN),
        "attempts_unknown": await _attempts(tx, AttemptState.UNKNOWN),
        "attempts_processing": await _attempts(tx, AttemptState.PROCESSING),
        "invoices_held": await _count(tx, _HELD) + await _count(tx, _HELD_TOGETHER),
        "events_parked": await _events(tx, EventState.PARKED),
        "events_dead": await _events(tx, EventState.DEAD),
        "oldest_parked_event_s": _seconds_since(await _oldest_parked_event(tx), now),
        "events_foreign": await _count(tx, select(func.sum(FOREIGN_COUNTS.c.events))),
        "oldest_open_attempt_s": _seconds_since(oldest, now),
        "last_reconciliation_s": _seconds_since(await load_completed_at(tx), now),
        "refunds_unresolved": await _count(tx, select(func.count()).where(IS_UNRESOLVED_REFUND)),
        "disputes_open": await _disputes(tx, "dispute", DISPUTE_OPEN),
        "inquiries_open": await _disputes(tx, "dispute", INQUIRY_OPEN),
        "fraud_warnings_open": await _disputes(tx, "fraud_warning", (WARNING_OPEN,)),
        "evidence_due": await _next_deadline(tx, now),
        "unapplied": sum(count for count, _ in unapplied.values()),
        "unapplied_by_currency": _as_text(unapplied),
        "due_today": await _count(
            tx,
            select(func.count()).where(
                or_(INVOICES.c.take_auto_payment, INVOICES.c.include_in_autopay),
                HAS_AMOUNT_DUE,
                INVOICES.c.duedate <= today,
                INVOICES.c.voided.is_(False),
                INVOICES.c.is_recurring_invoice.is_(False),
            ),
        ),
        "paid_today": await _count(
            tx,
            select(func.count()).where(
                INVOICES.c.datepaid >= midnight,
                INVOICES.c.datepaid < midnight + timedelta(days=1),
                INVOICES.c.amountpaid > 0,  # what comes to nothing settles by itself
            ),
        ),
    }


class JobStatus(NamedTuple):
    """A scheduled job: when it runs and ran, and the worker that is at it, if any."""

    name: str
    holder: str | None
    started_at: datetime | None
    succeeded_at: datetime | None
    next_run_at: datetime
    result: str | None


async def list_jobs(tx: Tx, now: datetime) -> list[JobStatus]:
    """The scheduled jobs by name. A lease that has ended has no holder."""
    return [
        JobStatus(
            row.name,
            row.lease_holder if row.lease_until and row.lease_until > now else None,
            row.started_at,
            row.succeeded_at,
            row.next_run_at,
            row.result,
        )
        for row in await tx.execute(select(JOBS).order_by(JOBS.c.name))
    ]


async def unapplied_by_currency(tx: Tx) -> dict[str, str]:
    """Money that no invoice has, by currency."""
    return _as_text(await _unapplied(tx))


def _as_text(unapplied: Mapping[str, tuple[int, Decimal]]) -> dict[str, str]:
    return {
        currency: money.text(total, currency) for currency, (_, total) in sorted(unapplied.items())
    }


_IS_DISPUTE = REVERSALS.c.kind.in_(
    [literal_column(f"'{kind}'") for kind in (ReversalKind.DISPUTE, ReversalKind.FRAUD_WARNING)]
)
_NEWER = ATTEMPTS.alias("newer")
_NEWER_SHARE = SHARES.alias("newer_share")
_IS_REFUSED = ATTEMPTS.c.state == literal_column(f"'{AttemptState.REFUSED}'")


def _is_held(invoice_id: ColumnElement[int]) -> ColumnElement[bool]:
    """The invoice has an amount due, and no attempt of it is newer than this one."""
    return and_(
        exists().where(INVOICES.c.id == invoice_id, HAS_AMOUNT_DUE),
        ~exists().where(_NEWER.c.invoice_id == invoice_id, _NEWER.c.id > ATTEMPTS.c.id),
        ~exists().where(
            _NEWER_SHARE.c.invoice_id == invoice_id, _NEWER_SHARE.c.attempt_id > ATTEMPTS.c.id
        ),
    )


# Their newest request was refused by Stripe, and no bank was asked: somebody has to mend something.
_HELD = select(func.count()).where(
    _IS_REFUSED, ATTEMPTS.c.is_consolidated.is_not(True), _is_held(ATTEMPTS.c.invoice_id)
)
_HELD_TOGETHER = (
    select(func.count())
    .join_from(ATTEMPTS, SHARES, SHARES.c.attempt_id == ATTEMPTS.c.id)
    .where(_IS_REFUSED, _is_held(SHARES.c.invoice_id))
)


@dataclass(slots=True)
class CurrencyTotals:
    """The money booked in one currency, said twice: by the payments, and by their invoices."""

    payments: Decimal = Decimal(0)
    invoices: Decimal = Decimal(0)


async def totals_by_currency(tx: Tx) -> dict[str, CurrencyTotals]:
    """Whether the books agree: per currency, both totals are the same when they do."""
    totals: dict[str, CurrencyTotals] = defaultdict(CurrencyTotals)
    counted = func.sum(PAYMENTS.c.counted)
    for code, total in await tx.execute(_by_currency(PAYMENTS, counted)):
        totals[code].payments = total
    paid = func.sum(INVOICES.c.amountpaid)
    for code, total in await tx.execute(_by_currency(INVOICES, paid)):
        totals[code].invoices = total
    return totals


def _by_currency(table: Table, total: ColumnElement[Decimal]) -> Select[str, Decimal]:
    return select(table.c.currency_iso, total).group_by(table.c.currency_iso)


def _seconds_since(moment: datetime | None, now: datetime) -> int | None:
    return round((now - moment).total_seconds()) if moment else None


async def _oldest_parked_event(tx: Tx) -> datetime | None:
    wanted = IS_PARKED_OR_DEAD, EVENTS.c.state == EventState.PARKED
    oldest: datetime | None = await tx.scalar(select(func.min(EVENTS.c.received_at)).where(*wanted))
    return oldest


async def _disputes(tx: Tx, kind: str, states: Iterable[str]) -> int:
    # Both kinds stand in one small partial index, which is chosen for literals.
    statement = select(func.count()).where(
        _IS_DISPUTE, REVERSALS.c.kind == kind, REVERSALS.c.status.in_(states)
    )
    return await _count(tx, statement)


async def _next_deadline(tx: Tx, now: datetime) -> str | None:
    """When Stripe next ends a dispute or an inquiry that nobody has sent evidence for."""
    found = await tx.scalar(
        select(func.min(REVERSALS.c.evidence_due_at)).where(
            _IS_DISPUTE,
            REVERSALS.c.status.in_(AWAITS_EVIDENCE),
            REVERSALS.c.evidence_due_at >= now,
        )
    )
    return instant(found)


async def _unapplied(tx: Tx) -> dict[str, tuple[int, Decimal]]:
    """Money that no invoice has, by currency: how many payments, and their sum."""
    rows = await tx.execute(
        select(PAYMENTS.c.currency_iso, func.count(), func.sum(PAYMENTS.c.counted))
        .where(PAYMENTS.c.invoice_id.is_(None), PAYMENTS.c.counted > 0)
        .group_by(PAYMENTS.c.currency_iso)
    )
    return {currency: (count, total) for currency, count, total in rows}


async def _attempts(tx: Tx, state: AttemptState) -> int:
    # Every unresolved state is named, so that the small partial index answers.
    return await _count(tx, select(func.count()).where(IS_UNRESOLVED, ATTEMPTS.c.state == state))


async def _events(tx: Tx, state: EventState) -> int:
    return await _count(tx, select(func.count()).where(IS_PARKED_OR_DEAD, EVENTS.c.state == state))


async def _count(tx: Tx, statement: Any) -> int:
    return int(await tx.scalar(statement) or 0)
