"""People who use the console: users, their sessions, second factors and what they did to sign in.

Whatever opens a door is stored as a hash: passwords by argon2id, random tokens by SHA-256. The
secret of an authenticator app is the one exception, for its codes are computed from it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import BigId, Id, Json, Ref, Row


class ConsoleUser(Row):
    __tablename__ = "console_user"

    id: Mapped[Id]
    # The name a person signs in with, in lower case; often an e-mail address.
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    timezone: Mapped[str | None]
    locale: Mapped[str] = mapped_column(default="en")
    theme: Mapped[str] = mapped_column(default="auto")
    password_hash: Mapped[str | None]
    password_set_at: Mapped[datetime | None]
    # Waits for its first code until `totp_since` is set.
    totp_secret: Mapped[str | None]
    totp_since: Mapped[datetime | None]
    # The last step of 30 seconds whose code was used: no code is used twice.
    totp_step: Mapped[int | None] = mapped_column(BigId)
    # Who the person is at the OpenID provider: `issuer subject`.
    oidc_identity: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class ConsoleSession(Row):
    __tablename__ = "console_session"
    __table_args__ = (Index("ix_console_session_user_id", "user_id"),)

    id: Mapped[Id]
    token_hash: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[Ref] = mapped_column(ForeignKey("console_user.id"))
    signed_in_by: Mapped[str]
    peer: Mapped[str | None]
    user_agent: Mapped[str]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    # When the person last showed who they are.
    authenticated_at: Mapped[datetime]


class OneTimeToken(Row):
    """A secret that opens one thing once: a link, the second step of a sign-in, a challenge."""

    __tablename__ = "console_one_time_token"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("console_user.id"), index=True)
    content: Mapped[Any] = mapped_column(Json)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RecoveryCode(Row):
    """Stands in for the authenticator app, once."""

    __tablename__ = "console_recovery_code"

    code_hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[Ref] = mapped_column(ForeignKey("console_user.id"), index=True)


class Passkey(Row):
    __tablename__ = "console_passkey"

    id: Mapped[Id]
    user_id: Mapped[Ref] = mapped_column(ForeignKey("console_user.id"), index=True)
    credential_id: Mapped[str] = mapped_column(unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigId)
    name: Mapped[str]
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class FailedSignIns(Row):
    """How often in a row one user, or one address, failed to sign in."""

    __tablename__ = "console_failed_sign_ins"

    key: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    failed_at: Mapped[datetime] = mapped_column(index=True)


class ConsoleUserEvent(Row):
    """One act by or on a user: sign-ins, refusals, changes of role, password and factors."""

    __tablename__ = "console_user_event"
    __table_args__ = (Index("ix_console_user_event_user_id", "user_id", "id"),)

    id: Mapped[Id]
    user_id: Mapped[Ref] = mapped_column(ForeignKey("console_user.id"))
    kind: Mapped[str]
    at: Mapped[datetime]
    # Who did it: the user, another user, or the operator at a shell.
    by: Mapped[str]
    peer: Mapped[str | None]
    user_agent: Mapped[str | None]
    detail: Mapped[str | None]


class SavedView(Row):
    """A list as one person wants it: its filters and columns under a name."""

    __tablename__ = "console_saved_view"
    __table_args__ = (
        Index("uq_console_saved_view_name", "user_id", "path", "name", unique=True),
    )  # fmt: skip

    id: Mapped[Id]
    user_id: Mapped[Ref] = mapped_column(ForeignKey("console_user.id"))
    # The list's address, and what stands behind its question mark.
    path: Mapped[str]
    query: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime]
