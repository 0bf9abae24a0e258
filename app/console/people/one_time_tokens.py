"""One-time tokens: 256 random bits that open one thing once, within minutes."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Table, delete, func, insert, select

from app.errors import Unavailable
from app.halo.access.authenticator import hash_secret
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.console_people import OneTimeToken

ONE_TIME: Table = table_of(OneTimeToken)

# Expired tokens removed when a new one is issued: more than arrive, few enough to be quick.
_SWEPT = 100
# Strangers get challenges before anybody knows them; so many may wait at once.
STRANGERS_MAX = 1000


class Purpose(StrEnum):
    """Each kind of thing that a one-time token opens."""

    LINK = "link"
    SECOND_FACTOR = "second_factor"
    PASSKEY = "passkey"
    OPENID = "openid"


class Grantee(NamedTuple):
    """For whom a token was issued, and the values that were put away with it."""

    user_id: int | None
    content: Any


def new_token() -> str:
    return secrets.token_urlsafe(32)


async def issue_one_time(
    tx: Tx, purpose: Purpose, *, lasts: timedelta, now: datetime, user_id: int | None = None,
    content: Mapping[str, Any] = MappingProxyType({}),
) -> str:  # fmt: skip
    """A new token. One for nobody yet is refused while too many of these wait."""
    expired = select(ONE_TIME.c.token_hash).where(ONE_TIME.c.expires_at < now).limit(_SWEPT)
    await tx.execute(delete(ONE_TIME).where(ONE_TIME.c.token_hash.in_(expired)))
    if user_id is None:
        waiting = select(func.count()).select_from(ONE_TIME).where(ONE_TIME.c.user_id.is_(None))
        if (await tx.scalar(waiting) or 0) >= STRANGERS_MAX:
            raise Unavailable("too many people are signing in; try again in a few minutes")
    token = new_token()
    values = {
        "token_hash": hash_secret(token), "purpose": purpose, "user_id": user_id,
        "content": dict(content), "expires_at": now + lasts,
    }  # fmt: skip
    await tx.execute(insert(ONE_TIME).values(values))
    return token


async def find_one_time(tx: Tx, purpose: Purpose, token: str, now: datetime) -> Grantee | None:
    """For whom the token is good; it stays good."""
    found = (
        await tx.execute(
            select(ONE_TIME.c.user_id, ONE_TIME.c.content, ONE_TIME.c.expires_at).where(
                _is(purpose, token)
            )
        )
    ).one_or_none()
    return Grantee(found.user_id, found.content) if found and now < found.expires_at else None


async def redeem(tx: Tx, purpose: Purpose, token: str, now: datetime) -> Grantee | None:
    """For whom the token was good. Of two that come at once one gets it, and the other nothing."""
    found = (
        await tx.execute(
            delete(ONE_TIME)
            .where(_is(purpose, token))
            .returning(ONE_TIME.c.user_id, ONE_TIME.c.content, ONE_TIME.c.expires_at)
        )
    ).one_or_none()
    return Grantee(found.user_id, found.content) if found and now < found.expires_at else None


async def revoke_one_time(tx: Tx, user_id: int, purpose: Purpose) -> None:
    """The user's tokens of this purpose open nothing any more."""
    theirs = (ONE_TIME.c.user_id == user_id) & (ONE_TIME.c.purpose == purpose)
    await tx.execute(delete(ONE_TIME).where(theirs))


def _is(purpose: Purpose, token: str) -> Any:
    return (ONE_TIME.c.token_hash == hash_secret(token)) & (ONE_TIME.c.purpose == purpose)
