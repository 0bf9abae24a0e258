"""Leases: who goes on with an attempt, and who may act on a customer at Stripe."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import bindparam, or_, update

from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.prepared import PreparedStatement, Statement, named_binds, named_values
from app.storage.rows import insert_of
from app.storage.tables.charge_attempts import IS_UNRESOLVED, ChargeAttempt
from app.storage.tables.cluster import CustomerLease

ATTEMPTS = table_of(ChargeAttempt)
CUSTOMER_LEASES = table_of(CustomerLease)

# Longer than one call to Stripe may take, short enough that a crash delays nobody by a minute.
# Safety never hangs on it: keys and the PaymentIntent itself make every step happen once.
LEASE = timedelta(seconds=45)


class LeaseLost(Exception):
    """Another run goes on with this attempt, or it has ended: nothing more is ours to do."""


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """A run or a worker, known by a random token."""

    token: str


class _CustomerId(NamedTuple):
    customer_id: str


async def acquire_customer_lease(
    tx: Tx, customer_id: str, holder: LeaseHolder, *, now: datetime
) -> bool:
    """Whether the one lease of a customer is ours: it allows one mutation at a time."""
    wanted = {"customer_id": customer_id, "token": holder.token, "until": now + LEASE}
    return bool(await _ACQUIRE_CUSTOMER.all(tx, now=now, **named_values(wanted)))


def _acquire_customer(dialect: str) -> Statement:
    wanted = insert_of(dialect)(CUSTOMER_LEASES).values(
        named_binds(["customer_id", "token", "until"])
    )
    ours = {"token": wanted.excluded.token, "until": wanted.excluded.until}
    is_free = or_(
        CUSTOMER_LEASES.c.token == ours["token"], CUSTOMER_LEASES.c.until <= bindparam("now")
    )
    statement: Statement = wanted.on_conflict_do_update(
        index_elements=[CUSTOMER_LEASES.c.customer_id], set_=ours, where=is_free
    ).returning(CUSTOMER_LEASES.c.customer_id)
    return statement


_ACQUIRE_CUSTOMER = PreparedStatement(_acquire_customer, _CustomerId)


async def renew_customer_lease(
    tx: Tx, customer_id: str, holder: LeaseHolder, *, now: datetime
) -> bool:
    """Whether nobody else has had the customer's lease since it became ours; it lasts anew then."""
    until = now + LEASE
    return bool(
        await _RENEW_CUSTOMER.all(tx, b_customer=customer_id, b_token=holder.token, b_until=until)
    )


_RENEW_CUSTOMER = PreparedStatement(
    update(CUSTOMER_LEASES)
    .where(
        CUSTOMER_LEASES.c.customer_id == bindparam("b_customer"),
        CUSTOMER_LEASES.c.token == bindparam("b_token"),
    )
    .values(until=bindparam("b_until"))
    .returning(CUSTOMER_LEASES.c.customer_id),
    _CustomerId,
)


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
