"""Security events: one form of log line for all of them, sampled, and a counter that misses none.

A line is `security event` with `kind`, who (`access_id`, `client_id`, `user_id`, `by`) and where
(`method`, `path`, `peer`), as far as these are known. `held_back` counts lines of the same kind and
credential that were left out before it.
"""

import time
from enum import StrEnum

import structlog
from prometheus_client import Counter

from app.logs import LogSampler

EVENTS = Counter(
    "paydue_security_events_total", "Security events, also those not logged.", ["kind"]
)
log = structlog.get_logger("paydue.security")
_sampler = LogSampler()


class SecurityEvent(StrEnum):
    """Each kind of security event."""

    TOKEN_ISSUED = "token_issued"  # noqa: S105  a kind, no token
    TOKEN_REFUSED = "token_refused"  # noqa: S105
    NOT_AUTHENTICATED = "not_authenticated"
    NOT_ALLOWED = "not_allowed"
    RATE_LIMITED = "rate_limited"
    WEBHOOK_REFUSED = "webhook_refused"
    ACCESS_ADDED = "access_added"
    ACCESS_REVOKED = "access_revoked"
    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGNED_OUT = "signed_out"
    IDENTITY_CONFIRMED = "identity_confirmed"
    FORM_REFUSED = "form_refused"
    USER_ADDED = "user_added"
    USER_DISABLED = "user_disabled"
    USER_ENABLED = "user_enabled"
    ROLE_CHANGED = "role_changed"
    LINK_ISSUED = "link_issued"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"


_UNUSUAL = frozenset(
    {
        SecurityEvent.TOKEN_REFUSED, SecurityEvent.NOT_AUTHENTICATED, SecurityEvent.NOT_ALLOWED,
        SecurityEvent.RATE_LIMITED, SecurityEvent.WEBHOOK_REFUSED, SecurityEvent.SIGN_IN_REFUSED,
        SecurityEvent.FORM_REFUSED,
    }
)  # fmt: skip


def log_security_event(
    kind: SecurityEvent, *, access_id: int | None = None, **known: str | int | None
) -> None:
    """Count the event, and log it unless many of its kind and credential came before it."""
    EVENTS.labels(kind).inc()
    held_back = _sampler.take((kind, access_id), time.monotonic())
    if held_back is None:
        return
    fields = {"access_id": access_id, **known, "held_back": held_back or None}
    write = log.warning if kind in _UNUSUAL else log.info
    write("security event", kind=str(kind), **{k: v for k, v in fields.items() if v is not None})
