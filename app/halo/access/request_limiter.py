"""How many requests one credential may make of this process."""

import math
from datetime import datetime

from app.errors import AppError

WINDOW_S = 60


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
        """One request more of this credential, or RateLimited. Without a limit, always well."""
        if not self._per_minute:
            return
        at = now.timestamp()
        full_at = max(at, self._full_at.get(access_id, at)) + self._interval
        too_early = full_at - at - WINDOW_S
        if too_early > _ROUNDING_S:
            raise RateLimited(self._per_minute, max(1, math.ceil(too_early)))
        self._full_at[access_id] = full_at


# Adding an interval that is no binary fraction a thousand times is off by less than this.
_ROUNDING_S = 1e-3
