"""Sessions: rows behind a random token in a cookie; they end when idle, old, or by a person."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Table, delete, insert, select, update
from starlette.requests import Request

from app.console.people.one_time_tokens import new_token
from app.console.people.roles import Role
from app.errors import DatabaseUnavailable
from app.halo.access.authenticator import hash_secret
from app.storage.column_types import table_of
from app.storage.engines import Database, Tx
from app.storage.tables.console_people import ConsoleSession, ConsoleUser

SESSIONS: Table = table_of(ConsoleSession)
USERS: Table = table_of(ConsoleUser)

# A console left open on a desk closes by itself; nobody stays signed in overnight.
IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
# Before money moves a person shows again who they are, unless they have just done so.
FRESH = timedelta(minutes=5)
# `seen_at` is written so often and not at every click.
SEEN_EVERY = timedelta(minutes=1)
# Sessions of one person: a browser or two on a few machines.
SESSIONS_MAX = 20
_USER_AGENT_MAX = 300


class Device(NamedTuple):
    """From where a request comes, as far as it says."""

    peer: str | None
    user_agent: str

    @classmethod
    def of(cls, request: Request) -> "Device":
        peer = request.client.host if request.client else None
        return cls(peer, request.headers.get("user-agent", "")[:_USER_AGENT_MAX])


class OpenSession(NamedTuple):
    """A session that has not ended, and its user."""

    id: int
    user_id: int
    login: str
    name: str
    role: Role
    timezone: str | None
    locale: str
    theme: str
    created_at: datetime
    seen_at: datetime
    authenticated_at: datetime
    signed_in_by: str
    has_app: bool


class SessionSummary(NamedTuple):
    """A session as its user sees it in the list of them."""

    id: int
    signed_in_by: str
    peer: str | None
    user_agent: str
    created_at: datetime
    seen_at: datetime


async def open_session(
    tx: Tx,
    user_id: int,
    *,
    signed_in_by: str,
    device: Device,
    now: datetime,
    authenticated_at: datetime,
) -> str:
    """A new session's token. Each sign-in gets a new one, so none can be planted beforehand."""
    await _end_oldest(tx, user_id, now)
    token = new_token()
    await tx.execute(
        insert(SESSIONS).values(
            token_hash=hash_secret(token), user_id=user_id, signed_in_by=signed_in_by,
            peer=device.peer, user_agent=device.user_agent, created_at=now, seen_at=now,
            authenticated_at=authenticated_at,
        )
    )  # fmt: skip
    return token


async def find_session(database: Database, token: str, now: datetime) -> OpenSession | None:
    """The session behind a cookie, noted as seen; None when there is none or it has ended."""
    columns = (
        SESSIONS.c.id, SESSIONS.c.user_id, USERS.c.login, USERS.c.name, USERS.c.role,
        USERS.c.timezone, USERS.c.locale, USERS.c.theme, SESSIONS.c.created_at, SESSIONS.c.seen_at,
        SESSIONS.c.authenticated_at, SESSIONS.c.signed_in_by, USERS.c.totp_since.is_not(None),
    )  # fmt: skip
    wanted = (
        select(*columns)
        .join(USERS, USERS.c.id == SESSIONS.c.user_id)
        .where(SESSIONS.c.token_hash == hash_secret(token), USERS.c.disabled_at.is_(None))
    )
    async with database.key_snapshot() as tx:
        row = (await tx.execute(wanted)).one_or_none()
    if row is None or now - row.seen_at > IDLE or now - row.created_at > ABSOLUTE:
        return None
    found = OpenSession._make(row)._replace(role=Role(row.role))
    if now - found.seen_at >= SEEN_EVERY:
        await _note_seen(database, found.id, now)
    return found


async def _note_seen(database: Database, session_id: int, now: datetime) -> None:
    seen = update(SESSIONS).where(SESSIONS.c.id == session_id).values(seen_at=now)
    try:
        async with database.transaction() as tx:
            await tx.execute(seen)
    except DatabaseUnavailable:
        return  # a database that only reads still shows its pages, until the session is idle


async def renew_session(tx: Tx, session_id: int, now: datetime) -> str:
    """The session's user has shown again who they are: its new token; the old one is nobody's."""
    token = new_token()
    values = {"token_hash": hash_secret(token), "authenticated_at": now, "seen_at": now}
    await tx.execute(update(SESSIONS).where(SESSIONS.c.id == session_id).values(values))
    return token


async def list_sessions(tx: Tx, user_id: int, now: datetime) -> list[SessionSummary]:
    """The user's open sessions, the last seen first."""
    columns = (SESSIONS.c[name] for name in SessionSummary._fields)
    found = await tx.execute(
        select(*columns)
        .where(SESSIONS.c.user_id == user_id)
        .where(SESSIONS.c.seen_at >= now - IDLE, SESSIONS.c.created_at >= now - ABSOLUTE)
        .order_by(SESSIONS.c.seen_at.desc(), SESSIONS.c.id.desc())
    )
    return [SessionSummary(*row) for row in found]


async def end_session_of(tx: Tx, token: str) -> None:
    """The session behind this token, if there is one, has ended."""
    await tx.execute(delete(SESSIONS).where(SESSIONS.c.token_hash == hash_secret(token)))


async def end_session(tx: Tx, user_id: int, session_id: int) -> bool:
    """Whether there was such a session of this user; it has ended."""
    theirs = (SESSIONS.c.id == session_id) & (SESSIONS.c.user_id == user_id)
    return (await tx.execute(delete(SESSIONS).where(theirs))).rowcount > 0


async def end_sessions(tx: Tx, user_id: int, *, but: int | None = None) -> int:
    """End all sessions of a user, but one perhaps; their number."""
    theirs = delete(SESSIONS).where(SESSIONS.c.user_id == user_id)
    if but is not None:
        theirs = theirs.where(SESSIONS.c.id != but)
    return (await tx.execute(theirs)).rowcount


async def _end_oldest(tx: Tx, user_id: int, now: datetime) -> None:
    """Delete what has ended, and the oldest, so that there is room for one more."""
    theirs = SESSIONS.c.user_id == user_id
    ended = (SESSIONS.c.seen_at < now - IDLE) | (SESSIONS.c.created_at < now - ABSOLUTE)
    await tx.execute(delete(SESSIONS).where(theirs, ended))
    newest_first = select(SESSIONS.c.id).where(theirs).order_by(SESSIONS.c.id.desc())
    oldest = (await tx.scalars(newest_first.offset(SESSIONS_MAX - 1))).all()
    if oldest:
        await tx.execute(delete(SESSIONS).where(SESSIONS.c.id.in_(oldest)))
