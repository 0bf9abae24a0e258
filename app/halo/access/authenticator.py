"""Who may use the API: credentials, the tokens they buy, and what a token opens.

Secrets and tokens are 256 random bits and are kept as SHA-256 only. Nobody can guess 256 bits, so
a slow hash would protect nothing.
"""

import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Table, delete, insert, or_, select, update

from app.errors import AppError, InvalidField, NotAllowed, NotAuthenticated, NotFound
from app.halo.access.request_limiter import RequestLimiter
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.credentials import AccessToken, ApiCredential

ACCESS: Table = table_of(ApiCredential)
TOKENS: Table = table_of(AccessToken)

SCOPES = frozenset({"all", "admin", "read:invoices", "edit:invoices", "read:customers",
                    "edit:customers"})  # fmt: skip
_EVERYTHING = frozenset({"all", "admin"})
# Stripe's own words about a payment: they hold people's addresses and parts of card numbers.
RAW = frozenset({"webhook_payload", "intent_response"})
# What HaloPSA's own consents are called; here they mean the same.
_ALIASES = {"all:standard": "all"}

# A revoked credential or token works at most this much longer on a node that knew it.
REMEMBERED = timedelta(seconds=10)
REMEMBERED_MAX = 1024
# Expired tokens removed when a new one is bought: more than arrive, few enough to be quick.
_SWEPT = 100


class TokenRequestRefused(AppError):
    """A token request that is answered as OAuth 2 says (RFC 6749, 5.2)."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token it is, and what it opens."""

    access_id: int
    name: str
    scopes: frozenset[str]

    def may(self, right: str) -> bool:
        """`edit:` of a group opens its `read:` too."""
        opening = {right, right.replace("read:", "edit:", 1)} | _EVERYTHING
        return not self.scopes.isdisjoint(opening)

    def redact(self, content: Any) -> Any:
        """The answer without Stripe's raw words, unless this caller may see everything."""
        return content if self.scopes & _EVERYTHING else _without_raw(content)


def _without_raw(content: Any) -> Any:
    match content:
        case dict():
            return {name: _without_raw(one) for name, one in content.items() if name not in RAW}
        case list() | tuple():
            return [_without_raw(one) for one in content]
    return content


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    scope: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class GrantedToken:
    """Credentials, without their secret."""

    name: str
    client_id: str
    scopes: str
    created_at: datetime
    revoked_at: datetime | None


async def create_credential(
    tx: Tx, name: str, scopes: Iterable[str], now: datetime
) -> tuple[str, str]:
    """New credentials: the client_id and the client_secret, which is shown this once only."""
    wanted = sorted(scopes)
    unknown = set(wanted) - SCOPES
    if unknown or not wanted:
        known = ", ".join(sorted(SCOPES))
        raise InvalidField("scopes", f"{' '.join(sorted(unknown)) or 'none'}: there are {known}")
    client_id, secret = secrets.token_hex(16), secrets.token_urlsafe(32)
    await tx.execute(
        insert(ACCESS).values(
            name=name,
            client_id=client_id,
            secret_hash=hash_secret(secret),
            scopes=" ".join(wanted),
            created_at=now,
        )
    )  # fmt: skip
    return client_id, secret


async def list_scopes(tx: Tx) -> list[GrantedToken]:
    """All credentials there ever were, the oldest first."""
    names = (ACCESS.c[one] for one in GrantedToken.__dataclass_fields__)
    found = await tx.execute(select(*names).order_by(ACCESS.c.id))
    return [GrantedToken(*row) for row in found]


async def revoke_credential(tx: Tx, who: str, now: datetime) -> int:
    """Revoke the credentials of this client_id or name; their tokens go too. Answers how many."""
    theirs = (
        await tx.scalars(
            update(ACCESS)
            .where(or_(ACCESS.c.client_id == who, ACCESS.c.name == who))
            .where(ACCESS.c.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(ACCESS.c.id)
        )
    ).all()
    if not theirs:
        raise NotFound("access", who)
    await tx.execute(delete(TOKENS).where(TOKENS.c.access_id.in_(theirs)))
    return len(theirs)


async def issue_token(
    tx: Tx, client_id: str, secret: str, scope: str, *, now: datetime, lasts_s: int
) -> Token:
    """A token for credentials, with those of the wanted scopes that they have."""
    found = (
        await tx.execute(
            select(ACCESS.c.id, ACCESS.c.secret_hash, ACCESS.c.scopes).where(
                ACCESS.c.client_id == client_id, ACCESS.c.revoked_at.is_(None)
            )
        )
    ).one_or_none()
    # Compared in any case, so that the time taken does not tell which ids exist.
    matches = hmac.compare_digest(found.secret_hash if found else "", hash_secret(secret))
    if found is None or not matches:
        raise TokenRequestRefused("invalid_client", "client_id or client_secret is wrong", 401)
    granted = _granted(scope, found.scopes.split())
    value = secrets.token_urlsafe(32)
    await _sweep(tx, now)
    await tx.execute(
        insert(TOKENS).values(
            token_hash=hash_secret(value), access_id=found.id, scopes=granted,
            expires_at=now + timedelta(seconds=lasts_s),
        )
    )  # fmt: skip
    return Token(value, granted, lasts_s)


def _granted(wanted: str, owned: list[str]) -> str:
    asked = {_ALIASES.get(one, one) for one in wanted.split()} or {"all"}
    has = set(owned) | {one.replace("edit:", "read:") for one in owned}
    granted = (asked if has & _EVERYTHING else asked & has) & SCOPES
    if asked & _EVERYTHING:
        granted |= set(owned)
    if not granted:
        raise TokenRequestRefused(
            "invalid_scope", f"these credentials open only: {' '.join(owned)}"
        )
    return " ".join(sorted(granted))


async def _sweep(tx: Tx, now: datetime) -> None:
    old = select(TOKENS.c.token_hash).where(TOKENS.c.expires_at < now).limit(_SWEPT)
    await tx.execute(delete(TOKENS).where(TOKENS.c.token_hash.in_(old)))


class Authenticator:
    """Lets callers in, and remembers good tokens for a moment, so that few requests ask for it."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime], limits: RequestLimiter
    ) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        self._known: dict[str, tuple[Caller, datetime]] = {}

    async def caller(self, authorization: str, right: str) -> Caller:
        """Whose request this is; or NotAuthenticated, RateLimited or NotAllowed."""
        caller = await self.identified(authorization)
        self.count(caller)
        if not caller.may(right):
            raise NotAllowed(f"this token does not open {right}")
        return caller

    def count(self, caller: Caller) -> None:
        """One request more, or RateLimited."""
        self._limits.take(caller.access_id, self._clock())

    async def identified(self, authorization: str) -> Caller:
        """Whoever the header's token belongs to, or NotAuthenticated."""
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise NotAuthenticated("send Authorization: Bearer with a token from /auth/token")
        token_hash = hash_secret(token.strip())
        now = self._clock()
        known = self._known.get(token_hash)
        if known is not None and now < known[1]:
            return known[0]
        self._known.pop(token_hash, None)
        caller, expires_at = await self._looked_up(token_hash, now)
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[token_hash] = caller, min(expires_at, now + REMEMBERED)
        return caller

    async def _looked_up(self, token_hash: str, now: datetime) -> tuple[Caller, datetime]:
        async with self._database.snapshot() as tx:
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


def hash_secret(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
