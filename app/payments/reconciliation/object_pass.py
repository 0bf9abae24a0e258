"""Stripe's objects themselves: recent ones by list, unfinished intents one by one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import structlog
from sqlalchemy import bindparam, select

from app.errors import Unavailable
from app.ledger import payment_intents, settlement
from app.payments.autopay import attempt_reports
from app.payments.reconciliation.lost_attempts import restore_attempts
from app.payments.reconciliation.reconcile_pass import BATCH, ReconcilePass
from app.payments.stripe.gateway import NoAnswer, RequestRefused
from app.payments.stripe.stripe_objects import dispute_report, intent_report, refund_report
from app.rules.payment import LONG_AGO, PaymentReport
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.tables.stripe_payments import StripePayment

log = structlog.get_logger("paydue.reconcile")
PAYMENTS = table_of(StripePayment)

# Reads are budgeted by Stripe, so an intent that stays unfinished is asked about ever less often.
ASK_LATER = 0.5
ASK_AT_MOST_EVERY = timedelta(minutes=10)
# One that Stripe has never shown is a person's claim, which holds an invoice until it is shown.
ASK_CLAIMS_EVERY = timedelta(hours=1)
# An intent nobody finished in so long is left to Stripe's events.
GIVE_UP_AFTER = timedelta(days=60)
# One intent that Stripe gives no answer about stops no other; after some it is Stripe that is down.
UNANSWERED_MAX = 3


async def read_intents(at: ReconcilePass) -> None:
    """Book the PaymentIntents since the pass's beginning that are news to us."""
    now = _now().replace(microsecond=0)
    read = partial(intent_report, at=now, installation=at.installation)
    async for page in at.pages(at.gateway.intents(since=at.since)):
        at.found.intents += len(page)
        at.found.intents_new += await book(at, at.readable(page, read))
        await restore_attempts(at, page)


async def read_reversals(at: ReconcilePass) -> None:
    """Book the refunds and disputes since the pass's beginning."""
    now = _now().replace(microsecond=0)
    for listed, read in (
        (
            at.gateway.refunds_since(at.since),
            partial(refund_report, at=now, installation=at.installation),
        ),
        (at.gateway.disputes_since(at.since), partial(dispute_report, at=now)),
    ):
        async for page in at.pages(listed):
            at.found.reversals += len(page)
            named = [one for one in page if one.get("payment_intent")]
            await book(at, at.readable(named, read))


async def book(at: ReconcilePass, news: Sequence[PaymentReport]) -> int:
    """Book the reports that are new to us; answer how many were."""
    async with at.database.snapshot() as tx:
        rows = await _KNOWN.all(tx, intent_ids=[one.intent_id for one in news])
    known: dict[str, int] = {row.intent_id: row.state for row in rows}
    fresh = [one for one in news if one.reversal or known.get(one.intent_id) != one.state]
    return await _record_apart(at, fresh) if fresh else 0


class _KnownState(NamedTuple):
    intent_id: str
    state: int


_KNOWN = PreparedStatement(
    select(*projection(PAYMENTS, _KnownState)).where(any_of(PAYMENTS.c.intent_id, "intent_ids")),
    _KnownState,
)


async def _record_apart(at: ReconcilePass, news: Sequence[PaymentReport]) -> int:
    """Record reports together; one that cannot be is reported, and the others are recorded."""
    try:
        await at.database.with_retry(lambda tx: _record(tx, news))
    except Unavailable:
        raise
    except Exception as error:
        if len(news) == 1:
            at.report_unreadable(news[0].intent_id, repr(error))
            return 0
        return sum([await _record_apart(at, [one]) for one in news])
    return len(news)


async def ask_unfinished(at: ReconcilePass) -> None:
    """Ask about every intent that has not ended and whose time to be asked about has come."""
    while not at.stop.is_set():
        async with at.database.snapshot() as tx:
            rows = await _TO_ASK.all(tx, now=_now())
        for row in rows:
            at.found.asked += 1
            await _ask(at, row)
        if len(rows) < BATCH:
            return


class _Unfinished(NamedTuple):
    """A payment whose intent has not ended."""

    intent_id: str
    intent_date: datetime | None
    state_at: datetime


_TO_ASK = PreparedStatement(
    select(*projection(PAYMENTS, _Unfinished))
    .where(PAYMENTS.c.check_at <= bindparam("now"))
    .order_by(PAYMENTS.c.check_at)
    .limit(BATCH),
    _Unfinished,
)


async def _ask(at: ReconcilePass, row: _Unfinished) -> None:
    news = await _retrieve(at, row)
    if news:
        await _record_apart(at, news)
    next_check = _next_check(row, _now(), is_shown=bool(news))
    await at.database.with_retry(
        lambda tx: payment_intents.schedule_check(tx, row.intent_id, next_check)
    )


def _next_check(row: _Unfinished, now: datetime, *, is_shown: bool) -> datetime | None:
    """When an intent is asked about again; None when it is old, and left to events.

    The date of one that only a person has named is the person's, and says nothing of its age.
    """
    if row.state_at == LONG_AGO and not is_shown:
        return now + ASK_CLAIMS_EVERY
    age = now - (row.intent_date or now)
    return now + max(age * ASK_LATER, ASK_AT_MOST_EVERY) if age < GIVE_UP_AFTER else None


async def _retrieve(at: ReconcilePass, row: _Unfinished) -> list[PaymentReport]:
    """The intent's report; none where Stripe does not show it or it cannot be read."""
    try:
        answer = await at.gateway.retrieve(row.intent_id)
    except RequestRefused as error:
        log.warning("intent not shown", intent=row.intent_id, why=error.message)
        return []
    except NoAnswer as error:
        at.unanswered += 1
        if at.unanswered > UNANSWERED_MAX:
            raise
        at.report_unreadable(row.intent_id, str(error))
        return []
    now = _now().replace(microsecond=0)
    read = partial(intent_report, at=now, installation=at.installation, response=answer.body)
    return at.readable([answer.object], read)


async def _record(tx: Tx, news: Sequence[PaymentReport]) -> None:
    now = _now()
    await settlement.record(tx, news, now=now, who="reconcile")
    await attempt_reports.follow_reports(tx, news, now=now)


def _now() -> datetime:
    return datetime.now(UTC)
