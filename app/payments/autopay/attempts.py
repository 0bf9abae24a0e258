"""The writer of charge attempts and of the leases that a charge takes.

An attempt is changed only by the holder of its lease, except that a final state which Stripe
itself reports ends it at any time, from any side.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple, TypedDict, Unpack

from sqlalchemy import (
    BindParameter,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from app.rules import money
from app.rules.attempt import UNRESOLVED, AttemptState, AttemptStep
from app.rules.claim import Evidence
from app.rules.consolidation import shares_in
from app.rules.payment import PaymentReport, PaymentState
from app.rules.retry import Decline, DeclineSource
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import BulkInsert, PreparedStatement, Statement, any_of, projection
from app.storage.rows import insert_of
from app.storage.tables.charge_attempts import ChargeAttempt, ChargeAttemptShare
from app.storage.tables.cluster import CustomerLease

ATTEMPTS = table_of(ChargeAttempt)
SHARES = table_of(ChargeAttemptShare)
# Written out, not bound: the partial indexes on unresolved attempts are chosen only for literals.
IS_UNRESOLVED = ATTEMPTS.c.state.in_([literal_column(f"'{state}'") for state in UNRESOLVED])
CUSTOMER_LEASES = table_of(CustomerLease)

# Longer than one call to Stripe may take, short enough that a crash delays nobody by a minute.
# Safety never hangs on it: keys and the PaymentIntent itself make every step happen once.
LEASE = timedelta(seconds=45)
# An attempt without an answer is checked soon, then with growing backoff, at least once a day.
CHECK_DELAYS = tuple(timedelta(seconds=s) for s in (5, 15, 60, 300, 900, 3600, 6 * 3600, 86400))
# A bank debit ends in days and Stripe reports it; a check is the safety net, and reads are limited.
CHECK_DEBIT_AFTER = timedelta(hours=6)
PAGE = 100


class LeaseLost(Exception):
    """Another run goes on with this attempt, or it has ended: nothing more is ours to do."""


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """A run or a worker, known by a random token."""

    token: str


class Attempt(NamedTuple):
    """A charge attempt as it is stored."""

    id: int
    invoice_id: int
    number: int
    state: str
    step: str
    business_day: date
    stripe_account: str | None
    client_id: int | None
    amount_minor: int
    currency: str
    customer_id: str
    payment_method_id: str | None
    payment_method_version: str | None
    is_default_method: bool | None
    is_consolidated: bool | None
    intent_id: str | None
    replaces_intent_id: str | None
    charge_before: str | None
    creates: int
    create_params: dict[str, Any] | None
    confirm_params: dict[str, Any] | None
    created_at: datetime
    lease_token: str | None
    lease_until: datetime | None
    checks: int
    reason: str | None

    @property
    def may_have_moved_money(self) -> bool:
        """Whether a confirm may have gone out whose answer is not known."""
        return self.state == AttemptState.UNKNOWN or self.step == AttemptStep.CONFIRMING

    @property
    def planned_shares(self) -> dict[int, int]:
        """The shares that the create names, in minor units; none for one invoice alone."""
        return shares_in((self.create_params or {}).get("metadata", {}))


class AttemptShare(NamedTuple):
    """The part of an attempt that is for one invoice."""

    invoice_id: int
    amount_minor: int
    replaces_intent_id: str | None


class NewAttempt(TypedDict):
    """The columns that a claim decides."""

    invoice_id: int
    number: int
    step: AttemptStep
    business_day: date
    stripe_account: str | None
    client_id: int | None
    amount_minor: int
    currency: str
    customer_id: str
    payment_method_id: str
    payment_method_version: str | None
    is_default_method: bool
    is_consolidated: bool
    intent_id: str | None
    replaces_intent_id: str | None
    charge_before: str | None
    create_params: dict[str, Any] | None
    confirm_params: dict[str, Any]


class AttemptChange(TypedDict, total=False):
    """The columns that a step may change."""

    state: str
    step: AttemptStep
    intent_id: str
    creates: int
    confirm_sent_at: datetime
    finished_at: datetime
    check_at: datetime | None
    checks: int
    lease_token: str
    lease_until: datetime | None
    charge_id: str | None
    payment_method_version: str | None
    decline_source: DeclineSource
    network_forbids: bool
    code: str | None
    decline_code: str | None
    advice_code: str | None
    reason: str | None
    next_try_on: date | None


_ATTEMPT = projection(ATTEMPTS, Attempt)


# --- reports of events -------------------------------------------------------------------------


async def apply_reports(tx: Tx, reports: Sequence[PaymentReport], *, now: datetime) -> None:
    """Let attempts follow what events report; the invoices concerned are locked already."""
    stateful = [one for one in reports if one.state is not None]
    if not stateful:
        return
    unresolved = await _UNRESOLVED.all(
        tx,
        intents=list({one.intent_id for one in stateful}),
        invoices=list({one.invoice_id for one in stateful if one.attempt and one.invoice_id}),
    )
    for report in sorted(stateful, key=lambda one: one.intent_id):
        for attempt in unresolved:
            if attempt.intent_id == report.intent_id:
                await _follow(tx, attempt, report, now)
            elif _was_created_by(attempt, report):
                await adopt_intent(tx, attempt.id, report.intent_id, now=now)


_UNRESOLVED = PreparedStatement(
    select(*_ATTEMPT)
    .where(
        IS_UNRESOLVED,
        or_(
            any_of(ATTEMPTS.c.intent_id, "intents"),
            and_(any_of(ATTEMPTS.c.invoice_id, "invoices"), ATTEMPTS.c.intent_id.is_(None)),
        ),
    )
    .order_by(ATTEMPTS.c.id)
    .with_for_update(),
    Attempt,
)


def _was_created_by(attempt: Attempt, report: PaymentReport) -> bool:
    """Whether the reported intent is the one whose create got no answer."""
    is_named = attempt.invoice_id == report.invoice_id and attempt.number == report.attempt
    is_new = attempt.intent_id is None and report.state == PaymentState.CREATED
    return is_named and is_new and _is_for_its_money(attempt, report)


def _is_for_its_money(attempt: Attempt, report: PaymentReport) -> bool:
    """Whether an intent takes the attempt's very money, for the same installation.

    Another installation has the same small numbers, and a restored database may reuse a name.
    """
    _, wanted = money.from_stripe(attempt.amount_minor, attempt.currency)
    is_ours = report.evidence in (Evidence.METADATA, Evidence.KEY)
    found = (report.amount, report.currency, report.customer_id)
    is_same = found == (wanted, attempt.currency, attempt.customer_id)
    return is_same and is_ours and _parts(attempt) == (report.shares or {})


def _parts(attempt: Attempt) -> dict[int, Decimal]:
    return {
        one: money.from_minor(minor, attempt.currency)
        for one, minor in attempt.planned_shares.items()
    }


async def _follow(tx: Tx, attempt: Attempt, report: PaymentReport, now: datetime) -> None:
    match report.state:
        case PaymentState.SUCCEEDED:
            await end_attempt(
                tx, attempt.id, AttemptState.SUCCEEDED, now=now, charge_id=report.charge_id
            )
        case PaymentState.CANCELED:
            await end_attempt(
                tx, attempt.id, AttemptState.CANCELED, now=now, reason="canceled at Stripe"
            )
        case _ if attempt.step == AttemptStep.CONFIRMING:
            # Only the intent itself tells which try a failure belongs to: it is checked soon.
            await _change(tx, attempt.id, check_at=now)


async def adopt_intent(tx: Tx, attempt_id: int, intent_id: str, *, now: datetime) -> None:
    """Record the intent of a create that got no answer, now that it has turned up."""
    await _change(tx, attempt_id, intent_id=intent_id, step=AttemptStep.PREPARED, check_at=now)


# --- leases ------------------------------------------------------------------------------------


async def open_attempt(
    tx: Tx,
    holder: LeaseHolder,
    *,
    now: datetime,
    new: NewAttempt,
    shares: Sequence[AttemptShare] = (),
) -> Attempt | None:
    """A new attempt under our lease, or None when the invoice has an unresolved one.

    A consolidated one has a share for each of its invoices, and LostRace says that one is taken.
    """
    row = {
        "state": AttemptState.OPEN,
        "creates": 1,
        "checks": 0,
        "created_at": now,
        "lease_token": holder.token,
        "lease_until": now + LEASE,
        "check_at": now + LEASE,
        **new,
    }
    inserted = await _insert_once(*row).all(tx, **_bound(row))
    if not inserted:
        return None
    await _INSERT_SHARES.run(
        tx,
        [{"attempt_id": inserted[0].id, "is_unresolved": True, **one._asdict()} for one in shares],
    )
    return inserted[0]


_INSERT_SHARES = BulkInsert(SHARES, ["attempt_id", "is_unresolved", *AttemptShare._fields])


@cache
def _insert_once(*names: str) -> PreparedStatement[Attempt]:
    def statement(dialect: str) -> Statement:
        insert: Statement = (
            insert_of(dialect)(ATTEMPTS)
            .values(_binds(names))
            .on_conflict_do_nothing(index_elements=[ATTEMPTS.c.invoice_id, ATTEMPTS.c.number])
            .returning(*_ATTEMPT)
        )
        return insert

    return PreparedStatement(statement, Attempt)


async def take_over(
    tx: Tx, attempt_id: int, holder: LeaseHolder, *, now: datetime
) -> Attempt | None:
    """An unresolved attempt under our lease, or None while another holds it or it has ended."""
    locked = await _LOCK.all(tx, id=attempt_id)
    if not locked or locked[0].state not in UNRESOLVED:
        return None
    attempt = locked[0]
    is_leased = attempt.lease_until is not None and attempt.lease_until > now
    if is_leased and attempt.lease_token != holder.token:
        return None
    (renewed,) = await _change(tx, attempt_id, **_with_lease({}, holder, now))
    return renewed


async def update_leased(
    tx: Tx, attempt_id: int, holder: LeaseHolder, *, now: datetime, **change: Unpack[AttemptChange]
) -> Attempt:
    """Change an attempt whose lease is still ours and renew the lease, or LeaseLost."""
    renewed = _with_lease(change, holder, now)
    statement = _update(*renewed, if_leased=True)
    found = await statement.all(tx, b_attempt=attempt_id, b_token=holder.token, **_bound(renewed))
    if not found:
        raise LeaseLost
    return found[0]


_LOCK = PreparedStatement(
    select(*_ATTEMPT).where(ATTEMPTS.c.id == bindparam("id")).with_for_update(), Attempt
)


def _with_lease(change: AttemptChange, holder: LeaseHolder, now: datetime) -> AttemptChange:
    """The change, and a lease that lasts anew."""
    until = now + LEASE
    return {**change, "lease_token": holder.token, "lease_until": until, "check_at": until}


class _CustomerId(NamedTuple):
    customer_id: str


async def acquire_customer_lease(
    tx: Tx, customer_id: str, holder: LeaseHolder, *, now: datetime
) -> bool:
    """Whether the one lease of a customer is ours: it allows one mutation at a time."""
    wanted = {"customer_id": customer_id, "token": holder.token, "until": now + LEASE}
    return bool(await _ACQUIRE_CUSTOMER.all(tx, now=now, **_bound(wanted)))


def _acquire_customer(dialect: str) -> Statement:
    wanted = insert_of(dialect)(CUSTOMER_LEASES).values(_binds(["customer_id", "token", "until"]))
    ours = {"token": wanted.excluded.token, "until": wanted.excluded.until}
    is_free = or_(
        CUSTOMER_LEASES.c.token == ours["token"], CUSTOMER_LEASES.c.until <= bindparam("now")
    )
    statement: Statement = wanted.on_conflict_do_update(
        index_elements=[CUSTOMER_LEASES.c.customer_id], set_=ours, where=is_free
    ).returning(CUSTOMER_LEASES.c.customer_id)
    return statement


_ACQUIRE_CUSTOMER = PreparedStatement(_acquire_customer, _CustomerId)


async def release_customer_lease(
    tx: Tx, customer_id: str, holder: LeaseHolder, *, now: datetime
) -> None:
    await _RELEASE_CUSTOMER.all(tx, b_customer=customer_id, b_token=holder.token, b_now=now)


_RELEASE_CUSTOMER = PreparedStatement(
    update(CUSTOMER_LEASES)
    .where(
        CUSTOMER_LEASES.c.customer_id == bindparam("b_customer"),
        CUSTOMER_LEASES.c.token == bindparam("b_token"),
    )
    .values(until=bindparam("b_now"))
    .returning(CUSTOMER_LEASES.c.customer_id),
    _CustomerId,
)


# --- ends --------------------------------------------------------------------------------------


async def end_attempt(
    tx: Tx,
    attempt_id: int,
    state: AttemptState,
    *,
    now: datetime,
    reason: str | None = None,
    charge_id: str | None = None,
) -> None:
    """End an attempt that has not ended already."""
    await _finish(tx, attempt_id, now=now, state=state, reason=reason, charge_id=charge_id)


async def _finish(tx: Tx, attempt_id: int, *, now: datetime, **end: Unpack[AttemptChange]) -> None:
    """Write an end; the shares of a consolidated attempt follow."""
    ending: AttemptChange = {
        **end,
        "step": AttemptStep.ENDED,
        "finished_at": now,
        "check_at": None,
        "lease_until": None,
    }
    ended = await _change(tx, attempt_id, **ending)
    if ended and ended[0].is_consolidated:
        await _RESOLVE_SHARES.all(tx, b_attempt=attempt_id)


class _ShareId(NamedTuple):
    id: int


_RESOLVE_SHARES = PreparedStatement(
    update(SHARES)
    .where(SHARES.c.attempt_id == bindparam("b_attempt"))
    .values(is_unresolved=False)
    .returning(SHARES.c.id),
    _ShareId,
)


async def end_declined(
    tx: Tx,
    attempt: Attempt,
    decline: Decline,
    *,
    now: datetime,
    reason: str,
    next_try_on: date | None,
    charge_id: str | None,
) -> None:
    await _finish(
        tx,
        attempt.id,
        now=now,
        state=AttemptState.DECLINED,
        payment_method_version=decline.method_version or attempt.payment_method_version,
        decline_source=decline.source,
        network_forbids=decline.is_forbidden_by_network,
        code=decline.code,
        decline_code=decline.decline_code,
        advice_code=decline.advice_code,
        reason=reason,
        next_try_on=next_try_on,
        charge_id=charge_id,
    )


async def end_refused(tx: Tx, attempt_id: int, *, now: datetime, code: str, reason: str) -> None:
    """End an attempt whose request Stripe refuses as it stands."""
    await _finish(
        tx,
        attempt_id,
        now=now,
        state=AttemptState.REFUSED,
        decline_source=DeclineSource.REQUEST,
        code=code,
        reason=reason,
    )


async def await_debit(tx: Tx, attempt_id: int, *, now: datetime, charge_id: str | None) -> None:
    """A bank debit is under way; Stripe reports its end, and the intent is checked now and then."""
    await _change(
        tx,
        attempt_id,
        state=AttemptState.PROCESSING,
        step=AttemptStep.CONFIRMING,
        check_at=now + CHECK_DEBIT_AFTER,
        lease_until=None,
        charge_id=charge_id,
        reason=None,
    )


async def release_unresolved(
    tx: Tx, attempt: Attempt, *, now: datetime, reason: str, unknown: bool
) -> None:
    """Release the lease without an end. Unknown is not failed: the intent is checked again."""
    wait = CHECK_DELAYS[min(attempt.checks, len(CHECK_DELAYS) - 1)]
    state = AttemptState.UNKNOWN if unknown else AttemptState.OPEN
    is_debit = attempt.state == AttemptState.PROCESSING
    await _change(
        tx,
        attempt.id,
        state=attempt.state if is_debit else state,
        reason=reason,
        checks=attempt.checks + 1,
        check_at=now + wait,
        lease_until=None,
    )


async def release_leases(tx: Tx, holder: LeaseHolder, *, now: datetime) -> int:
    """Release every lease of a run that stops; answers how many attempts it held."""
    released = await tx.execute(_RELEASE, {"b_token": holder.token, "now": now})
    await tx.execute(_END_TURNS, {"b_token": holder.token, "now": now})
    return released.rowcount


_RELEASE = (
    update(ATTEMPTS)
    .where(
        ATTEMPTS.c.lease_token == bindparam("b_token"),
        IS_UNRESOLVED,
        ATTEMPTS.c.lease_until.is_not(None),
    )
    .values(lease_until=None, check_at=bindparam("now"))
)
_END_TURNS = (
    update(CUSTOMER_LEASES)
    .where(CUSTOMER_LEASES.c.token == bindparam("b_token"))
    .values(until=bindparam("now"))
)


async def _change(tx: Tx, attempt_id: int, **change: Unpack[AttemptChange]) -> list[Attempt]:
    """Change an attempt that has not ended, and answer it; no row when it has."""
    return await _update(*change).all(tx, b_attempt=attempt_id, **_bound(change))


@cache
def _update(*names: str, if_leased: bool = False) -> PreparedStatement[Attempt]:
    """A handful of different statements, by the columns they change."""
    is_ours = [ATTEMPTS.c.lease_token == bindparam("b_token")] if if_leased else []
    return PreparedStatement(
        update(ATTEMPTS)
        .where(ATTEMPTS.c.id == bindparam("b_attempt"), IS_UNRESOLVED, *is_ours)
        .values(_binds(names))
        .returning(*_ATTEMPT),
        Attempt,
    )


def _binds(names: Iterable[str]) -> dict[str, BindParameter[Any]]:
    """SQLAlchemy reserves a column's own name; so each value is bound as `to_` and that name."""
    return {name: bindparam(f"to_{name}") for name in names}


def _bound(values: Mapping[str, object]) -> dict[str, object]:
    return {f"to_{name}": value for name, value in values.items()}


# --- reads -------------------------------------------------------------------------------------


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


async def load_shares(tx: Tx, attempt: Attempt) -> list[AttemptShare]:
    """The invoices of an attempt by id, each with its part; one alone has all of it."""
    if not attempt.is_consolidated:
        return [only_share(attempt)]
    return await _OF_ATTEMPT.all(tx, attempt_id=attempt.id)


def only_share(attempt: Attempt) -> AttemptShare:
    """The whole of an attempt that is for one invoice alone."""
    return AttemptShare(attempt.invoice_id, attempt.amount_minor, attempt.replaces_intent_id)


_OF_ATTEMPT = PreparedStatement(
    select(*projection(SHARES, AttemptShare))
    .where(SHARES.c.attempt_id == bindparam("attempt_id"))
    .order_by(SHARES.c.invoice_id),
    AttemptShare,
)


async def find_attempt(tx: Tx, attempt_id: int) -> Attempt | None:
    found = await _FIND.all(tx, id=attempt_id)
    return found[0] if found else None


async def load_attempt(tx: Tx, attempt_id: int) -> Attempt:
    """The attempt, which exists."""
    (attempt,) = await _FIND.all(tx, id=attempt_id)
    return attempt


_FIND = PreparedStatement(select(*_ATTEMPT).where(ATTEMPTS.c.id == bindparam("id")), Attempt)
