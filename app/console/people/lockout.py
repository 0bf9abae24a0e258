"""Lock-out: after some failed sign-ins in a row, each further one has to wait longer.

An attempt is counted before it is checked, so that many at once are not checked for the price of
one. Names that nobody has are counted like those of users: the answers do not tell them apart.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from sqlalchemy import Table, delete, select

from app.errors import AppError
from app.security_log import SecurityEvent
from app.settings import Settings
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import insert_of
from app.storage.tables.console_people import FailedSignIns

FAILED: Table = table_of(FailedSignIns)

# Mistyped twice, and once in capitals; a whole office behind one address.
_FREE_BY_USER = 5
_FREE_BY_PEER = 25
_FIRST_WAIT = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(minutes=15)
# After a day without a failure the count begins anew.
_FORGOTTEN = timedelta(days=1)
_SWEPT = 100
# Names of nobody share so many counts, so that strangers cannot fill the table.
_NOBODYS = 4096
_IPV6_NETWORK = 64


class SignInLocked(AppError):
    """Too many failures in a row; says nothing about whose name it was."""

    status = 429
    security_event = SecurityEvent.SIGN_IN_REFUSED

    def __init__(self, wait: timedelta) -> None:
        self.retry_after_s = max(1, math.ceil(wait.total_seconds()))
        super().__init__(f"too many attempts; try again in {self.retry_after_s} seconds")


class Counted(NamedTuple):
    """Someone whose failures are counted, and how many are free."""

    key: str
    free: int


def wait_after(failures: int, free: int) -> timedelta:
    """How long the next attempt waits: nothing at first, then twice as long each time."""
    if failures < free:
        return timedelta(0)
    doublings = min(failures - free, 10)
    return min(_FIRST_WAIT * (1 << doublings), _LONGEST_WAIT)


def counted_user(user_id: int | None, login: str) -> Counted:
    if user_id is not None:
        return Counted(f"user:{user_id}", _FREE_BY_USER)
    number = int.from_bytes(sha256(login.encode()).digest()[:4]) % _NOBODYS
    return Counted(f"nobody:{number}", _FREE_BY_USER)


def counted_peer(peer: str | None, settings: Settings) -> Counted | None:
    """The address, or the /64 of one of IPv6; a proxy's is everybody's and is not counted."""
    try:
        address = ip_address(peer or "")
    except ValueError:
        return None
    if any(address in ip_network(one) for one in settings.proxy_networks):
        return None
    if address.version == 6:
        return Counted(f"peer:{ip_network((address, _IPV6_NETWORK), strict=False)}", _FREE_BY_PEER)
    return Counted(f"peer:{address}", _FREE_BY_PEER)


async def count_attempt(tx: Tx, several: Iterable[Counted | None], now: datetime) -> None:
    """Count one more attempt, or raise SignInLocked and leave it uncounted."""
    old = select(FAILED.c.key).where(FAILED.c.failed_at < now - _FORGOTTEN).limit(_SWEPT)
    await tx.execute(delete(FAILED).where(FAILED.c.key.in_(old)))
    for one in sorted(filter(None, several)):  # in one order, so that nobody waits in a ring
        await _count(tx, one, now)


async def _count(tx: Tx, counted: Counted, now: datetime) -> None:
    begun = insert_of(tx.dialect.name)(FAILED).values(key=counted.key, failures=0, failed_at=now)
    await tx.execute(begun.on_conflict_do_nothing(index_elements=["key"]))
    row = (
        await tx.execute(select(FAILED).where(FAILED.c.key == counted.key).with_for_update())
    ).one()
    failures = row.failures if now - row.failed_at < _FORGOTTEN else 0
    open_at = row.failed_at + wait_after(failures, counted.free)
    if now < open_at:
        raise SignInLocked(open_at - now)
    counting = FAILED.update().where(FAILED.c.key == counted.key)
    await tx.execute(counting.values(failures=failures + 1, failed_at=now))


async def forgive_attempt(tx: Tx, counted: Counted | None) -> None:
    """The attempt was right: the address it came from has one failure less."""
    if counted is not None:
        theirs = FAILED.update().where(FAILED.c.key == counted.key, FAILED.c.failures > 0)
        await tx.execute(theirs.values(failures=FAILED.c.failures - 1))


async def forget_failures(tx: Tx, counted: Counted) -> None:
    """The person has signed in; their failures before do not count any more."""
    await tx.execute(delete(FAILED).where(FAILED.c.key == counted.key))
