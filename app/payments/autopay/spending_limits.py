"""Limits of what autopay takes for a client, on a day and in a run, under the locks of a claim.

The sums are those of the attempts themselves, so that no counter can differ from what was charged.
"""

from collections.abc import Sequence
from datetime import timedelta
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
            skips[one.invoice_id] = Skip(said, needs_approval=True)
        else:
            taken = {kind: amount + one.amount for kind, amount in taken.items()}
    return skips


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
    day, same = at.today(one.timezone), {"currency": one.currency, "states": _TAKING}
    found = {
        LimitKind.CLIENT: await _OF_CLIENT.all(tx, day=day, client_id=one.client_id, **same),
        LimitKind.DAY: await _OF_DAY.all(tx, day=day, **same),
        # Clients' days differ by one at most.
        LimitKind.RUN: await _OF_RUN.all(
            tx, day=day - timedelta(days=1), since=at.started_at, **same
        ),
    }
    return {
        kind: money.from_minor(int(rows[0].amount_minor), one.currency)
        for kind, rows in found.items()
    }
