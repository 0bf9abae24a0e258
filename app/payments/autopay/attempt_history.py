"""Attempts that wait for an answer, and how often a method has been declined or tried."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

from sqlalchemy import and_, bindparam, literal_column, or_, select, union_all

from app.payments.autopay.attempts import ATTEMPTS, SHARES, Attempt, AttemptShare
from app.rules.attempt import AttemptState
from app.rules.retry import DeclineSource
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of, projection
from app.storage.tables.charge_attempts import IS_UNRESOLVED

PAGE = 100


class UnresolvedAttempt(NamedTuple):
    id: int
    invoice_id: int
    customer_id: str
    intent_id: str | None
    amount_minor: int
    currency: str


async def list_unresolved(
    tx: Tx, *, now: datetime, whenever: bool, after: int = 0
) -> list[UnresolvedAttempt]:
    """A page of attempts whose lease is free and that wait for an answer, by id.

    `whenever` also takes those whose next check has not come; bank debits keep theirs.
    """
    return await _unresolved(whenever=whenever).all(tx, now=now, after=after)


@cache
def _unresolved(*, whenever: bool) -> PreparedStatement[UnresolvedAttempt]:
    now = bindparam("now", type_=ATTEMPTS.c.check_at.type)
    is_free = or_(ATTEMPTS.c.lease_until.is_(None), ATTEMPTS.c.lease_until <= now)
    is_due = ATTEMPTS.c.check_at <= now
    if whenever:
        is_due = or_(is_due, ATTEMPTS.c.state != AttemptState.PROCESSING)
    return PreparedStatement(
        select(*projection(ATTEMPTS, UnresolvedAttempt))
        .where(IS_UNRESOLVED, is_free, is_due, ATTEMPTS.c.id > bindparam("after"))
        .order_by(ATTEMPTS.c.id)
        .limit(PAGE),
        UnresolvedAttempt,
    )


class _DeclineRow(NamedTuple):
    payment_method_id: str
    finished_at: datetime


async def count_declines(
    tx: Tx, payment_method_ids: Iterable[str], *, now: datetime
) -> dict[str, tuple[int, int]]:
    """Declines of each payment method by banks and networks in 24 hours and in 30 days.

    All invoices count. A refusal of Stripe's own reached no bank, and is none of theirs.
    """
    methods = sorted(set(payment_method_ids))
    rows = await _DECLINES.all(tx, methods=methods, since=now - timedelta(days=30))
    yesterday = now - timedelta(days=1)
    month = Counter(row.payment_method_id for row in rows)
    today = Counter(row.payment_method_id for row in rows if row.finished_at > yesterday)
    return {method: (today[method], month[method]) for method in methods}


_DECLINES = PreparedStatement(
    select(*projection(ATTEMPTS, _DeclineRow)).where(
        any_of(ATTEMPTS.c.payment_method_id, "methods"),
        ATTEMPTS.c.finished_at > bindparam("since"),
        ATTEMPTS.c.state == AttemptState.DECLINED,
        ATTEMPTS.c.decline_source == DeclineSource.NETWORK,
    ),
    _DeclineRow,
)


async def count_tries(
    tx: Tx, attempt: Attempt, shares: Sequence[AttemptShare], method_version: str | None
) -> int:
    """Tries of an invoice's amount on a payment method as it is now, this one included.

    Of the shares of a consolidated attempt, the one that was tried most often.
    """
    rows = await _TRIES.all(
        tx,
        ids=[one.invoice_id for one in shares],
        shared_ids=[one.invoice_id for one in shares],
        method=attempt.payment_method_id,
        currency=attempt.currency,
    )
    amounts = {one.invoice_id: one.amount_minor for one in shares}
    tries = Counter(
        row.invoice_id
        for row in rows
        if row.amount_minor == amounts[row.invoice_id]
        and (method_version is None or row.payment_method_version in (None, method_version))
    )
    return max(tries.values(), default=0)


class _TryRow(NamedTuple):
    invoice_id: int
    amount_minor: int
    payment_method_version: str | None


_IS_TRY = and_(
    ATTEMPTS.c.payment_method_id == bindparam("method"),
    ATTEMPTS.c.currency == bindparam("currency"),
    ATTEMPTS.c.state.not_in(
        [literal_column(f"'{one}'") for one in (AttemptState.CANCELED, AttemptState.REFUSED)]
    ),
)
_ALL_TRIES = union_all(
    select(*projection(ATTEMPTS, _TryRow)).where(
        any_of(ATTEMPTS.c.invoice_id, "ids"), ATTEMPTS.c.is_consolidated.is_not(True), _IS_TRY
    ),
    select(SHARES.c.invoice_id, SHARES.c.amount_minor, ATTEMPTS.c.payment_method_version)
    .join_from(SHARES, ATTEMPTS, ATTEMPTS.c.id == SHARES.c.attempt_id)
    .where(any_of(SHARES.c.invoice_id, "shared_ids"), _IS_TRY),
).subquery()
_TRIES = PreparedStatement(select(*projection(_ALL_TRIES, _TryRow)), _TryRow)
