"""The writer of charge attempts.

An attempt is changed only by the holder of its lease, except that a final state which Stripe
itself reports ends it at any time, from any side.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, TypedDict, Unpack

from sqlalchemy import (
    bindparam,
    select,
    update,
)

from app.payments.autopay.leases import LEASE, LeaseHolder, LeaseLost
from app.rules.attempt import UNRESOLVED, AttemptState, AttemptStep
from app.rules.consolidation import shares_in
from app.rules.retry import Decline, DeclineSource
from app.storage.bulk_writes import BulkInsert
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import (
    PreparedStatement,
    Statement,
    named_binds,
    named_values,
    projection,
)
from app.storage.rows import insert_of
from app.storage.tables.charge_attempts import IS_UNRESOLVED, ChargeAttempt, ChargeAttemptShare

ATTEMPTS = table_of(ChargeAttempt)
SHARES = table_of(ChargeAttemptShare)

# An attempt without an answer is checked soon, then with growing backoff, at least once a day.
CHECK_DELAYS = tuple(timedelta(seconds=s) for s in (5, 15, 60, 300, 900, 3600, 6 * 3600, 86400))
# A bank debit ends in days and Stripe reports it; a check is the safety net, and reads are limited.
CHECK_DEBIT_AFTER = timedelta(hours=6)


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
    rule_name: str | None
    approval_id: int | None
    method_rule: str | None
    is_rule_method: bool | None

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
    rule_name: str | None = None
    approval_id: int | None = None


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
    rule_name: str | None
    approval_id: int | None
    method_rule: str | None
    is_rule_method: bool


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


ATTEMPT_COLUMNS = projection(ATTEMPTS, Attempt)


# --- under a lease -----------------------------------------------------------------------------


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
    inserted = await _insert_once(*row).all(tx, **named_values(row))
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
            .values(named_binds(names))
            .on_conflict_do_nothing(index_elements=[ATTEMPTS.c.invoice_id, ATTEMPTS.c.number])
            .returning(*ATTEMPT_COLUMNS)
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
    found = await statement.all(
        tx, b_attempt=attempt_id, b_token=holder.token, **named_values(renewed)
    )
    if not found:
        raise LeaseLost
    return found[0]


_LOCK = PreparedStatement(
    select(*ATTEMPT_COLUMNS).where(ATTEMPTS.c.id == bindparam("id")).with_for_update(), Attempt
)


def _with_lease(change: AttemptChange, holder: LeaseHolder, now: datetime) -> AttemptChange:
    """The change, and a lease that lasts anew."""
    until = now + LEASE
    return {**change, "lease_token": holder.token, "lease_until": until, "check_at": until}


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


async def adopt_intent(tx: Tx, attempt_id: int, intent_id: str, *, now: datetime) -> None:
    """Record the intent of a create that got no answer, now that it has turned up."""
    await _change(tx, attempt_id, intent_id=intent_id, step=AttemptStep.PREPARED, check_at=now)


async def check_soon(tx: Tx, attempt_id: int, *, now: datetime) -> None:
    """Let the next run retrieve the intent, whenever its next check was to be."""
    await _change(tx, attempt_id, check_at=now)


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


async def _change(tx: Tx, attempt_id: int, **change: Unpack[AttemptChange]) -> list[Attempt]:
    """Change an attempt that has not ended, and answer it; no row when it has."""
    return await _update(*change).all(tx, b_attempt=attempt_id, **named_values(change))


@cache
def _update(*names: str, if_leased: bool = False) -> PreparedStatement[Attempt]:
    """A handful of different statements, by the columns they change."""
    is_ours = [ATTEMPTS.c.lease_token == bindparam("b_token")] if if_leased else []
    return PreparedStatement(
        update(ATTEMPTS)
        .where(ATTEMPTS.c.id == bindparam("b_attempt"), IS_UNRESOLVED, *is_ours)
        .values(named_binds(names))
        .returning(*ATTEMPT_COLUMNS),
        Attempt,
    )


# --- reads -------------------------------------------------------------------------------------


async def load_shares(tx: Tx, attempt: Attempt) -> list[AttemptShare]:
    """The invoices of an attempt by id, each with its part; one alone has all of it."""
    if not attempt.is_consolidated:
        return [only_share(attempt)]
    return await _OF_ATTEMPT.all(tx, attempt_id=attempt.id)


def only_share(attempt: Attempt) -> AttemptShare:
    """The whole of an attempt that is for one invoice alone."""
    return AttemptShare(
        attempt.invoice_id,
        attempt.amount_minor,
        attempt.replaces_intent_id,
        attempt.rule_name,
        attempt.approval_id,
    )


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


_FIND = PreparedStatement(select(*ATTEMPT_COLUMNS).where(ATTEMPTS.c.id == bindparam("id")), Attempt)
