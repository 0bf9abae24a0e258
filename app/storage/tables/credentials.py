"""API credentials and tokens, stored as hashes only, and idempotency records of their requests."""

from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Ref, Row


class ApiCredential(Row):
    __tablename__ = "access"

    id: Mapped[Id]
    name: Mapped[str]
    client_id: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[str]
    scopes: Mapped[str]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class AccessToken(Row):
    __tablename__ = "access_token"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    access_id: Mapped[Ref] = mapped_column(ForeignKey("access.id"), index=True)
    scopes: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)


# For so long the answer to a request is told again under its key.
IDEMPOTENCY_RECORD_LASTS = timedelta(hours=24)


class IdempotencyRecord(Row):
    """The answer to a request that carried an Idempotency-Key."""

    __tablename__ = "kept_answer"

    access_id: Mapped[Ref] = mapped_column(
        ForeignKey("access.id"), primary_key=True, autoincrement=False
    )
    key: Mapped[str] = mapped_column(primary_key=True)
    # A hash of the request's path, query, body and rights.
    fingerprint: Mapped[str]
    status: Mapped[int]
    content_type: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    kept_at: Mapped[datetime] = mapped_column(index=True)
