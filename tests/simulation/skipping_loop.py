"""An event loop without waits: where nothing but a timer is left, its time comes at once.

A schedule on SQLite waits for nothing outside of its process, so all that it waits for is a
backoff. Skipped, it costs no time, and the same seed takes the same turns on every machine.
"""

import asyncio
import selectors
from typing import Any


class _SkippingSelector(selectors.DefaultSelector):
    is_alone = False
    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if not self.is_alone:
            return super().select(timeout)
        found = super().select(0)
        if not found and timeout is None:
            raise RuntimeError("the schedule waits for what can never come")
        if not found and timeout:
            self.skipped += timeout
        return found


class SkippingLoop(asyncio.SelectorEventLoop):
    """Once `skip` was called, its clock stands still but for what it has skipped.

    So tasks that wait side by side wake in the same order, however long each has computed.
    """

    def __init__(self) -> None:
        self._selector_of_ours = _SkippingSelector()
        self._stopped_at: float | None = None
        super().__init__(self._selector_of_ours)

    def skip(self) -> None:
        """From here on no thread and no socket is waited for."""
        self._selector_of_ours.is_alone = True
        self._stopped_at = super().time()

    def time(self) -> float:
        if self._stopped_at is None:
            return super().time()
        return self._stopped_at + self._selector_of_ours.skipped
