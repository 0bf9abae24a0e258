"""API credentials, and the tokens that are issued for them.

Secrets and tokens are 256 random bits and are stored as SHA-256 only. Nobody can guess 256 bits, so
a slow hash would protect nothing.
"""

import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Table, delete, insert, or_, select, update

from app.errors import AppError, InvalidField, NotFound
from app.halo.access.authenticator import UNLIMITED, hash_secret
from app.security_log import SecurityEvent
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.credentials import AccessToken, ApiCredential

ACCESS: Table = table_of(ApiCredential)
TOKENS: Table = table_of(AccessToken)

SCOPES = frozenset({"all", "admin", "read:invoices", "edit:invoices", "read:customers",
                    "edit:customers", "read:autopay", "edit:autopay",
                    "read:mail", "edit:mail"})  # fmt: skip
# Names of HaloPSA's own consents; here they mean the same.
_ALIASES = {"all:standard": "all"}

# Expired tokens removed when a new one is issued: more than arrive, few enough to be quick.
_SWEPT = 100
# Live tokens of one credential. A client holds one for each of its processes, not for each request.
TOKENS_MAX = 50


class TokenRequestRefused(AppError):
    """A token request that is answered as OAuth 2 says (RFC 6749, 5.2)."""

    security_event = SecurityEvent.TOKEN_REFUSED

    def __init__(
        self, code: str, message: str, status: int = 400, client_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.client_id = client_id


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    scope: str
    expires_in: int
    access_id: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The credential whose secret was shown, and the scopes of it that a token opens."""

    access_id: int
    scopes: str


@dataclass(frozen=True, slots=True)
class CredentialSummary:
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


async def list_credentials(tx: Tx) -> list[CredentialSummary]:
    """All credentials there ever were, the oldest first."""
    names = (ACCESS.c[one] for one in CredentialSummary.__dataclass_fields__)
    found = await tx.execute(select(*names).order_by(ACCESS.c.id))
    return [CredentialSummary(*row) for row in found]


async def revoke_credential(tx: Tx, who: str, now: datetime) -> int:
    """Revoke the credentials of this client_id or name, with their tokens; answers their number."""
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


async def find_grant(tx: Tx, client_id: str, secret: str, scope: str) -> Grant:
    """The wanted scopes that the credentials own, or TokenRequestRefused."""
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
        raise TokenRequestRefused(
            "invalid_client", "client_id or client_secret is wrong", 401, _shown_id(client_id)
        )
    return Grant(found.id, _grantable_scopes(scope, found.scopes.split()))


async def issue_token(tx: Tx, grant: Grant, *, now: datetime, lasts_s: int) -> Token:
    """A new token; of the credential's others, those beyond TOKENS_MAX end, the oldest first."""
    value = secrets.token_urlsafe(32)
    await _sweep(tx, now)
    await _end_oldest(tx, grant.access_id)
    await tx.execute(
        insert(TOKENS).values(
            token_hash=hash_secret(value), access_id=grant.access_id, scopes=grant.scopes,
            expires_at=now + timedelta(seconds=lasts_s),
        )
    )  # fmt: skip
    return Token(value, grant.scopes, lasts_s, grant.access_id)


def _shown_id(client_id: str) -> str | None:
    """A client_id as the log may show it: one of ours by its look, not a secret pasted there."""
    return client_id if re.fullmatch(r"[0-9a-f]{32}", client_id) else None


def _grantable_scopes(wanted: str, owned: list[str]) -> str:
    asked = {_ALIASES.get(one, one) for one in wanted.split()} or {"all"}
    has = set(owned) | {one.replace("edit:", "read:") for one in owned}
    granted = (asked if has & UNLIMITED else asked & has) & SCOPES
    if asked & UNLIMITED:
        granted |= set(owned)
    if not granted:
        raise TokenRequestRefused(
            "invalid_scope", f"these credentials open only: {' '.join(owned)}"
        )
    return " ".join(sorted(granted))


async def _sweep(tx: Tx, now: datetime) -> None:
    old = select(TOKENS.c.token_hash).where(TOKENS.c.expires_at < now).limit(_SWEPT)
    await tx.execute(delete(TOKENS).where(TOKENS.c.token_hash.in_(old)))


async def _end_oldest(tx: Tx, access_id: int) -> None:
    """Delete tokens of the credential, so that there is room for one more."""
    of_credential = TOKENS.c.access_id == access_id
    newest_first = (TOKENS.c.expires_at.desc(), TOKENS.c.token_hash)
    oldest = (
        select(TOKENS.c.token_hash)
        .where(of_credential)
        .order_by(*newest_first)
        .offset(TOKENS_MAX - 1)
    )
    found = (await tx.scalars(oldest)).all()
    if found:
        await tx.execute(delete(TOKENS).where(TOKENS.c.token_hash.in_(found)))
