"""The only writer of charge attempts: claimed, known, confirming, ended, or left to be asked about.

An attempt is changed only by whoever holds its lease, except that what Stripe itself reports as
final ends it at any time, from any side.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, and_, bindparam, literal_column, or_, select, update

from app.rules.attempt import UNRESOLVED, AttemptState, AttemptStep
from app.rules.payment import PaymentReport, PaymentState
from app.rules.retry import Decline
from app.storage.column_types import table_of
from app.storage.engines import Record, Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.rows import insert_of
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.cluster import CustomerLease

ATTEMPTS = table_of(ChargeAttempt)
# Written out, not bound: the partial indexes on unresolved attempts are chosen only for literals.
IS_UNRESOLVED = ATTEMPTS.c.state.in_([literal_column(f"'{state}'") for state in UNRESOLVED])
TURNS = table_of(CustomerLease)

# Longer than one call to Stripe may take, short enough that a crash delays nobody by a minute.
# Right never hangs on it: keys and the PaymentIntent itself make every step happen once.
LEASE = timedelta(seconds=45)
# An attempt without an answer is asked about soon, then ever less often, at least once a day.
CHECK_DELAYS = tuple(timedelta(seconds=s) for s in (5, 15, 60, 300, 900, 3600, 6 * 3600, 86400))
# A bank debit ends in days and Stripe tells; asking is the net below, and reads are budgeted.
CHECK_DEBIT_AFTER = timedelta(hours=6)
_RECOVER_PAGE = 100


class LeaseLost(Exception):
    """Somebody else goes on with this attempt, or it has ended. Nothing more is ours to do."""


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """Who is at work: a run or a worker, by a random token."""

    token: str


async def apply_reports(tx: Tx, news: Sequence[PaymentReport], *, now: datetime) -> None:
    """Let attempts follow what events report; the invoices concerned are locked already."""
    reports = [one for one in news if one.state is not None]
    if not reports:
        return
    found = await _unresolved_of(tx, reports)
    for one in sorted(reports, key=lambda report: report.intent_id):
        for row in found:
            if row.intent_id == one.intent_id:
                await _follow(tx, row, one, now)
            elif _made(row, one):
                await adopt_intent(tx, row.id, one.intent_id, now=now)


async def _unresolved_of(tx: Tx, reports: Sequence[PaymentReport]) -> Sequence[Record]:
    intents = list({one.intent_id for one in reports})
    invoices = list({one.invoice_id for one in reports if one.attempt and one.invoice_id})
    return await _UNRESOLVED.all(tx, intents=intents, invoices=invoices)


_UNRESOLVED = PreparedStatement(
    select(ATTEMPTS)
    .where(
        IS_UNRESOLVED,
        or_(
            any_of(ATTEMPTS.c.intent_id, "intents"),
            and_(any_of(ATTEMPTS.c.invoice_id, "invoices"), ATTEMPTS.c.intent_id.is_(None)),
        ),
    )
    .order_by(ATTEMPTS.c.id)
    .with_for_update()
)


def _made(row: Record, news: PaymentReport) -> bool:
    """Whether the intent is the one whose create got no answer."""
    ours = row.invoice_id == news.invoice_id and row.number == news.attempt
    return ours and row.intent_id is None and news.state == PaymentState.CREATED


async def _follow(tx: Tx, row: Record, news: PaymentReport, now: datetime) -> None:
    match news.state:
        case PaymentState.SUCCEEDED:
            await end_attempt(tx, row.id, AttemptState.SUCCEEDED, now=now, charge_id=news.charge_id)
        case PaymentState.CANCELED:
            await end_attempt(
                tx, row.id, AttemptState.CANCELED, now=now, reason="canceled at Stripe"
            )
        case _ if row.step == AttemptStep.CONFIRMING:
            # Only the intent itself tells which try a failure belongs to: ask it, soon.
            await _changed(tx, row.id, check_at=now)


async def adopt_intent(tx: Tx, attempt_id: int, intent_id: str, *, now: datetime) -> None:
    """The intent of a create that got no answer has turned up."""
    await _changed(tx, attempt_id, intent_id=intent_id, step=AttemptStep.PREPARED, check_at=now)


# --- claiming --------------------------------------------------------------------------------


async def open_attempt(
    tx: Tx, holder: LeaseHolder, *, now: datetime, values: Mapping[str, Any]
) -> Record | None:
    """A new attempt under our lease, or None when the invoice has an unresolved one."""
    row = {
        "state": AttemptState.OPEN,
        "creates": 1,
        "checks": 0,
        "created_at": now,
        "lease_token": holder.token,
        "lease_until": now + LEASE,
        "check_at": now + LEASE,
        **values,
    }
    found = await _opening(*row).all(tx, **_given(row))
    return found[0] if found else None


@cache
def _opening(*names: str) -> PreparedStatement:
    return PreparedStatement(
        lambda dialect: (
            insert_of(dialect)(ATTEMPTS)
            .values(_to(names))
            .on_conflict_do_nothing(index_elements=[ATTEMPTS.c.invoice_id, ATTEMPTS.c.number])
            .returning(*ATTEMPTS.c)
        )
    )


async def take_over(
    tx: Tx, attempt_id: int, holder: LeaseHolder, *, now: datetime
) -> Record | None:
    """An unresolved attempt under our lease, or None while another holds it or it has ended."""
    found = await _LOCKED.all(tx, id=attempt_id)
    if not found or found[0].state not in UNRESOLVED:
        return None
    row = found[0]
    held = row.lease_until is not None and row.lease_until > now
    if held and row.lease_token != holder.token:
        return None
    return await renew_lease(tx, attempt_id, holder, now=now)


_LOCKED = PreparedStatement(
    select(ATTEMPTS).where(ATTEMPTS.c.id == bindparam("id")).with_for_update()
)


async def renew_lease(
    tx: Tx, attempt_id: int, holder: LeaseHolder, *, now: datetime, **values: Any
) -> Record:
    """Change an attempt and renew our lease on it."""
    until = now + LEASE
    (row,) = await _changed(
        tx, attempt_id, lease_token=holder.token, lease_until=until, check_at=until, **values
    )
    return row


async def update_leased(
    tx: Tx, attempt_id: int, holder: LeaseHolder, *, now: datetime, **values: Any
) -> Record:
    """Change an attempt that is still ours and renew the lease, or LeaseLost."""
    (row,) = await _LOCKED.all(tx, id=attempt_id)
    if row.lease_token != holder.token or row.state not in UNRESOLVED:
        raise LeaseLost
    return await renew_lease(tx, attempt_id, holder, now=now, **values)


async def acquire_customer_lease(
    tx: Tx, customer_id: str, holder: LeaseHolder, *, now: datetime
) -> bool:
    """One mutation at a time per customer: whether the turn is ours until the lease ends."""
    wanted = {"customer_id": customer_id, "token": holder.token, "until": now + LEASE}
    return bool(await _TAKE_TURN.all(tx, now=now, **_given(wanted)))


def _taking_turn(dialect: str) -> Any:
    wanted = insert_of(dialect)(TURNS).values(_to(["customer_id", "token", "until"]))
    ours = {"token": wanted.excluded.token, "until": wanted.excluded.until}
    return wanted.on_conflict_do_update(
        index_elements=[TURNS.c.customer_id],
        set_=ours,
        where=or_(TURNS.c.token == ours["token"], TURNS.c.until <= bindparam("now")),
    ).returning(TURNS.c.customer_id)


_TAKE_TURN = PreparedStatement(_taking_turn)


async def release_customer_lease(
    tx: Tx, customer_id: str, holder: LeaseHolder, *, now: datetime
) -> None:
    await _GIVE_TURN_BACK.all(tx, b_customer=customer_id, b_token=holder.token, b_now=now)


_GIVE_TURN_BACK = PreparedStatement(
    update(TURNS)
    .where(TURNS.c.customer_id == bindparam("b_customer"), TURNS.c.token == bindparam("b_token"))
    .values(until=bindparam("b_now"))
    .returning(TURNS.c.customer_id)
)


# --- ending ----------------------------------------------------------------------------------


async def end_attempt(
    tx: Tx,
    attempt_id: int,
    state: AttemptState,
    *,
    now: datetime,
    reason: str | None = None,
    charge_id: str | None = None,
) -> None:
    """The attempt is over, if it was not already."""
    await _changed(
        tx,
        attempt_id,
        state=state,
        step=AttemptStep.ENDED,
        finished_at=now,
        check_at=None,
        lease_until=None,
        reason=reason,
        charge_id=charge_id,
    )


async def end_declined(
    tx: Tx,
    attempt_id: int,
    decline: Decline,
    *,
    now: datetime,
    reason: str,
    next_try_on: date | None,
    charge_id: str | None,
) -> None:
    await _changed(
        tx,
        attempt_id,
        state=AttemptState.DECLINED,
        step=AttemptStep.ENDED,
        finished_at=now,
        check_at=None,
        lease_until=None,
        code=decline.code,
        decline_code=decline.decline_code,
        advice_code=decline.advice_code,
        reason=reason,
        next_try_on=next_try_on,
        charge_id=charge_id,
    )


async def await_debit(tx: Tx, attempt_id: int, *, now: datetime, charge_id: str | None) -> None:
    """A bank debit is under way; Stripe tells how it ends, and is asked now and then."""
    await _changed(
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
    tx: Tx, row: Record, *, now: datetime, reason: str, unknown: bool
) -> None:
    """Give the lease back without an end. Unknown is not failed: Stripe is asked again."""
    wait = CHECK_DELAYS[min(row.checks, len(CHECK_DELAYS) - 1)]
    state = AttemptState.UNKNOWN if unknown else AttemptState.OPEN
    await _changed(
        tx,
        row.id,
        state=row.state if row.state == AttemptState.PROCESSING else state,
        reason=reason,
        checks=row.checks + 1,
        check_at=now + wait,
        lease_until=None,
    )


async def release_leases(tx: Tx, holder: LeaseHolder, *, now: datetime) -> int:
    """A run that stops lets go of all it holds; answers of how many."""
    found = await tx.execute(
        update(ATTEMPTS)
        .where(ATTEMPTS.c.lease_token == holder.token, IS_UNRESOLVED,
               ATTEMPTS.c.lease_until.is_not(None))
        .values(lease_until=None, check_at=now)
    )  # fmt: skip
    await tx.execute(update(TURNS).where(TURNS.c.token == holder.token).values(until=now))
    return found.rowcount


async def _changed(tx: Tx, attempt_id: int, **values: Any) -> list[Record]:
    """Changes an attempt that has not ended, and answers it; no row when it has."""
    return await _changing(*values).all(tx, b_attempt=attempt_id, **_given(values))


@cache
def _changing(*names: str) -> PreparedStatement:
    """A handful of different ones, by the columns they change."""
    return PreparedStatement(
        update(ATTEMPTS)
        .where(ATTEMPTS.c.id == bindparam("b_attempt"), IS_UNRESOLVED)
        .values(_to(names))
        .returning(*ATTEMPTS.c)
    )


def _to(names: Iterable[str]) -> dict[str, BindParameter[Any]]:
    """A column may not be bound under its own name."""
    return {name: bindparam(f"to_{name}") for name in names}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"to_{name}": value for name, value in values.items()}


# --- asking ----------------------------------------------------------------------------------


async def list_unresolved(
    tx: Tx, *, now: datetime, whenever: bool, after: int = 0
) -> Sequence[Record]:
    """A page of attempts that nobody holds and that wait for an answer, by id.

    `whenever` also takes those whose next time to ask has not come; bank debits keep theirs.
    """
    free = or_(ATTEMPTS.c.lease_until.is_(None), ATTEMPTS.c.lease_until <= now)
    due = ATTEMPTS.c.check_at <= now
    if whenever:
        due = or_(due, ATTEMPTS.c.state != AttemptState.PROCESSING)
    found = await tx.execute(
        select(ATTEMPTS.c.id, ATTEMPTS.c.invoice_id)
        .where(IS_UNRESOLVED, free, due, ATTEMPTS.c.id > after)
        .order_by(ATTEMPTS.c.id)
        .limit(_RECOVER_PAGE)
    )
    return found.all()


async def count_declines(
    tx: Tx, payment_method_ids: Iterable[str], *, now: datetime
) -> dict[str, tuple[int, int]]:
    """How often each payment method was declined in 24 hours and in 30 days, over all invoices."""
    asked = sorted(set(payment_method_ids))
    rows = await _DECLINES.all(tx, methods=asked, since=now - timedelta(days=30))
    yesterday = now - timedelta(days=1)
    month = Counter(row.payment_method_id for row in rows)
    today = Counter(row.payment_method_id for row in rows if row.finished_at > yesterday)
    return {method: (today[method], month[method]) for method in asked}


_DECLINES = PreparedStatement(
    select(ATTEMPTS.c.payment_method_id, ATTEMPTS.c.finished_at).where(
        any_of(ATTEMPTS.c.payment_method_id, "methods"),
        ATTEMPTS.c.finished_at > bindparam("since"),
        ATTEMPTS.c.state == AttemptState.DECLINED,
    )
)


async def count_tries(tx: Tx, invoice_id: int, payment_method_id: str | None) -> int:
    """How often an invoice was tried on a payment method, this try included."""
    rows = await tx.scalars(
        select(ATTEMPTS.c.id).where(
            ATTEMPTS.c.invoice_id == invoice_id,
            ATTEMPTS.c.payment_method_id == payment_method_id,
            ATTEMPTS.c.state != AttemptState.CANCELED,
        )
    )
    return len(list(rows))


async def load_attempt(tx: Tx, attempt_id: int) -> Record:
    return (await tx.execute(select(ATTEMPTS).where(ATTEMPTS.c.id == attempt_id))).one()
