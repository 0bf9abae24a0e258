"""Security events: one form of log line for all of them, sampled, and a counter that misses none.

A line is `security event` with `kind`, who (`access_id`, `client_id`, `by`) and where (`method`,
`path`, `peer`), as far as these are known. `held_back` counts lines of the same kind and credential
that were left out before it.
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


_USUAL = (SecurityEvent.TOKEN_ISSUED, SecurityEvent.ACCESS_ADDED, SecurityEvent.ACCESS_REVOKED)


def log_security_event(
    kind: SecurityEvent, *, access_id: int | None = None, **known: str | int | None
) -> None:
    """Count the event, and log it unless many of its kind and credential came before it."""
    EVENTS.labels(kind).inc()
    held_back = _sampler.take((kind, access_id), time.monotonic())
    if held_back is None:
        return
    fields = {"access_id": access_id, **known, "held_back": held_back or None}
    write = log.info if kind in _USUAL else log.warning
    write("security event", kind=str(kind), **{k: v for k, v in fields.items() if v is not None})
