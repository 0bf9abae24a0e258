"""Authentication of a request: its token, the scopes that token opens, and the rate limit."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Table, select
from starlette.requests import Request

from app.errors import AppError, NotAllowed, NotAuthenticated
from app.ledger import audit
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.credentials import AccessToken, ApiCredential

ACCESS: Table = table_of(ApiCredential)
TOKENS: Table = table_of(AccessToken)

# Scopes that open everything.
UNLIMITED = frozenset({"all", "admin"})

# Stripe's raw words about a payment: they hold people's addresses and parts of card numbers.
RAW = frozenset({"webhook_payload", "intent_response"})

# A revoked credential or token works at most this much longer on a node that knew it.
REMEMBERED = timedelta(seconds=10)
REMEMBERED_MAX = 1024
WINDOW_S = 60
# Adding an interval that is no binary fraction a thousand times is off by less than this.
_ROUNDING_S = 1e-3


@dataclass(frozen=True, slots=True)
class Caller:
    """The credential whose token a request carries, with the scopes that the token opens."""

    access_id: int
    name: str
    scopes: frozenset[str]

    def may(self, right: str) -> bool:
        """`edit:` of a group opens its `read:` too."""
        opening = {right, right.replace("read:", "edit:", 1)} | UNLIMITED
        return not self.scopes.isdisjoint(opening)

    def require(self, right: str) -> None:
        if not self.may(right):
            raise NotAllowed(f"this token does not open {right}")

    def redact(self, content: Any) -> Any:
        """The answer without Stripe's raw words, unless this caller may see everything."""
        return content if self.scopes & UNLIMITED else _without_raw(content)


def _without_raw(content: Any) -> Any:
    match content:
        case dict():
            return {name: _without_raw(one) for name, one in content.items() if name not in RAW}
        case list() | tuple():
            return [_without_raw(one) for one in content]
    return content


class RateLimited(AppError):
    status = 429

    def __init__(self, per_minute: int, retry_after_s: int) -> None:
        super().__init__(f"more than {per_minute} requests a minute; come back a little later")
        self.retry_after_s = retry_after_s


class RequestLimiter:
    """A token bucket for each credential: a minute's worth at once, then an even pace.

    A bucket is one number, the moment when it will be full again; so a request costs a look into
    a dictionary that has as many entries as there are credentials.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._interval = WINDOW_S / per_minute if per_minute else 0.0
        self._full_at: dict[int, float] = {}

    def take(self, access_id: int, now: datetime) -> None:
        """Count one more request of this credential, or raise RateLimited. 0 is no limit."""
        if not self._per_minute:
            return
        at = now.timestamp()
        full_at = max(at, self._full_at.get(access_id, at)) + self._interval
        too_early = full_at - at - WINDOW_S
        if too_early > _ROUNDING_S:
            raise RateLimited(self._per_minute, max(1, math.ceil(too_early)))
        self._full_at[access_id] = full_at


class Authenticator:
    """Tells whose request it is by its token, and counts requests against the rate limit.

    Valid tokens are remembered for some seconds, so that few requests ask the database.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime], limits: RequestLimiter
    ) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._known: dict[str, tuple[Caller, datetime]] = {}

    def count(self, caller: Caller) -> None:
        """Count one more request of this caller, or raise RateLimited."""
        self._limits.take(caller.access_id, self._clock())

    async def identify(self, authorization: str) -> Caller:
        """The caller whom the header's token belongs to; or NotAuthenticated."""
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise NotAuthenticated("send Authorization: Bearer with a token from /auth/token")
        token_hash = hash_secret(token.strip())
        now = self._clock()
        known = self._known.get(token_hash)
        if known is not None and now < known[1]:
            return known[0]
        self._known.pop(token_hash, None)
        caller, expires_at = await self._load_token(token_hash, now)
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[token_hash] = caller, min(expires_at, now + REMEMBERED)
        return caller

    async def _load_token(self, token_hash: str, now: datetime) -> tuple[Caller, datetime]:
        async with self._database.key_snapshot() as tx:
            found = (
                await tx.execute(
                    select(ACCESS.c.id, ACCESS.c.name, TOKENS.c.scopes, TOKENS.c.expires_at)
                    .join(ACCESS, ACCESS.c.id == TOKENS.c.access_id)
                    .where(TOKENS.c.token_hash == token_hash, ACCESS.c.revoked_at.is_(None))
                )
            ).one_or_none()
        if found is None or found.expires_at <= now:
            raise NotAuthenticated("the token is unknown or has expired")
        return Caller(found.id, found.name, frozenset(found.scopes.split())), found.expires_at


async def authenticate(request: Request) -> Caller:
    """The caller of a request; or NotAuthenticated or RateLimited."""
    authenticator: Authenticator = request.app.state.authenticator
    caller = await authenticator.identify(request.headers.get("authorization", ""))
    request.state.access_id = caller.access_id  # the log of a refusal names it
    audit.WRITER.set(caller.access_id)
    authenticator.count(caller)
    return caller


async def authorize(request: Request, right: str) -> Caller:
    """The caller of a request, who has this right; or NotAllowed as well."""
    caller = await authenticate(request)
    caller.require(right)
    return caller


def hash_secret(secret: str) -> str:
    """SHA-256 is enough for secrets and tokens of 256 random bits; see api_credentials."""
    return sha256(secret.encode()).hexdigest()
