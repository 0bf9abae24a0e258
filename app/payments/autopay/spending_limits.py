"""Limits of what autopay takes for a client, on a day and in a run, under the locks of a claim.

The sums are those of the attempts themselves, so that no counter can differ from what was charged.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Date, Select, bindparam, func, select

from app.ledger.autopay_policy import lock_revision
from app.payments.autopay import eligibility
from app.payments.autopay.candidates import Candidate
from app.payments.autopay.charge_context import Charging
from app.payments.autopay.eligibility import Skip
from app.rules import money
from app.rules.attempt import UNRESOLVED, AttemptState
from app.rules.autopay_limit import AmountLimit, LimitKind, over_limit
from app.storage.column_types import Instant, table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, any_of
from app.storage.tables.charge_attempts import ChargeAttempt

ATTEMPTS = table_of(ChargeAttempt)

_KINDS = (LimitKind.CLIENT, LimitKind.DAY, LimitKind.RUN)
# An attempt that ended without money took nothing; one that is not known to have may have.
_TAKING = [str(state) for state in (*UNRESOLVED, AttemptState.SUCCEEDED)]


async def over_limits(tx: Tx, at: Charging, wanted: Sequence[Candidate]) -> dict[int, Skip]:
    """Those of a client's locked invoices that would pass a limit, in their order.

    What a person approved passes every limit, and counts.
    """
    limits = [one for one in _limits_of(wanted) if one.kind in _KINDS]
    if not limits:
        return {}
    await lock_revision(tx)  # others who compare with a limit wait for our attempt
    first = wanted[0]
    taken = await _load_taken(tx, at, first)
    skips: dict[int, Skip] = {}
    for one in wanted:
        said = None if eligibility.is_approved(one) else _reason(limits, one, taken)
        if said:
            skips[one.invoice_id] = eligibility.ask(one, said)
        else:
            taken = {kind: amount + one.amount for kind, amount in taken.items()}
    return skips


class ForeseenLimits:
    """The same for a dry run: whatever it would charge counts as taken for what comes after it.

    A run goes through clients in another order where their invoices are charged together, and so
    may take others of the invoices that pass a limit only together.
    """

    def __init__(self) -> None:
        self._taken: dict[tuple[LimitKind, str, int | None, date], Decimal] = {}

    async def skip(self, tx: Tx, one: Candidate, day: date) -> Skip | None:
        limits = [limit for limit in _limits_of([one]) if limit.kind in _KINDS]
        if not limits:
            return None
        taken = {kind: await self._taken_of(tx, kind, one, day) for kind in _KINDS}
        said = None if eligibility.is_approved(one) else _reason(limits, one, taken)
        if said:
            return eligibility.ask(one, said)
        for kind in _KINDS:
            self._taken[_key(kind, one, day)] = taken[kind] + one.amount
        return None

    async def _taken_of(self, tx: Tx, kind: LimitKind, one: Candidate, day: date) -> Decimal:
        key = _key(kind, one, day)
        if key not in self._taken:
            self._taken[key] = await _load_of_kind(tx, kind, one, day)
        return self._taken[key]


def _key(kind: LimitKind, one: Candidate, day: date) -> tuple[LimitKind, str, int | None, date]:
    client = one.client_id if kind == LimitKind.CLIENT else None
    return kind, one.currency, client, date.min if kind == LimitKind.RUN else day


def _limits_of(wanted: Sequence[Candidate]) -> Sequence[AmountLimit]:
    ruling = wanted[0].ruling if wanted else None
    return ruling.limits if ruling else ()


def _reason(
    limits: Sequence[AmountLimit], one: Candidate, taken: dict[LimitKind, Decimal]
) -> str | None:
    for kind in _KINDS:
        said = over_limit(limits, kind, one.amount, one.currency, one.client_id, taken=taken[kind])
        if said:
            return said
    return None


class _Taken(NamedTuple):
    amount_minor: int


def _sum_of_day() -> Select[*tuple[Any, ...]]:
    return select(func.coalesce(func.sum(ATTEMPTS.c.amount_minor), 0).label("amount_minor")).where(
        ATTEMPTS.c.business_day == bindparam("day", type_=Date()),
        ATTEMPTS.c.currency == bindparam("currency"),
        any_of(ATTEMPTS.c.state, "states"),
    )


_OF_DAY = PreparedStatement(_sum_of_day(), _Taken)
_OF_CLIENT = PreparedStatement(
    _sum_of_day().where(ATTEMPTS.c.client_id == bindparam("client_id", type_=BigInteger())), _Taken
)
_OF_RUN = PreparedStatement(
    select(func.coalesce(func.sum(ATTEMPTS.c.amount_minor), 0).label("amount_minor")).where(
        ATTEMPTS.c.business_day >= bindparam("day", type_=Date()),
        ATTEMPTS.c.currency == bindparam("currency"),
        any_of(ATTEMPTS.c.state, "states"),
        ATTEMPTS.c.created_at >= bindparam("since", type_=Instant()),
    ),
    _Taken,
)


async def _load_taken(tx: Tx, at: Charging, one: Candidate) -> dict[LimitKind, Decimal]:
    day = at.today(one.timezone)
    return {kind: await _load_of_kind(tx, kind, one, day, since=at.started_at) for kind in _KINDS}


async def _load_of_kind(
    tx: Tx, kind: LimitKind, one: Candidate, day: date, since: datetime | None = None
) -> Decimal:
    """The money taken already; of a run, since it began."""
    same = {"day": day, "currency": one.currency, "states": _TAKING}
    match kind:
        case LimitKind.CLIENT:
            rows = await _OF_CLIENT.all(tx, client_id=one.client_id, **same)
        case LimitKind.DAY:
            rows = await _OF_DAY.all(tx, **same)
        case _ if since is None:
            return Decimal(0)
        case _:  # clients' days differ by one at most
            earlier = day - timedelta(days=1)
            rows = await _OF_RUN.all(tx, **{**same, "day": earlier}, since=since)
    return money.from_minor(int(rows[0].amount_minor), one.currency)
