"""The sandbox clock: real time plus an offset, and the timers that run by it."""

import heapq
import itertools
import time
from collections.abc import Callable

TimerAction = Callable[[], object]


class SandboxClock:
    """The source of every timestamp; moving it runs the timers that have become due."""

    def __init__(self) -> None:
        self._offset = 0.0
        self.went_back = False
        self._running_at: float | None = None
        self._timers: list[tuple[float, int, TimerAction]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Epoch seconds; inside a timer's action, the moment that timer was set for."""
        return self._running_at if self._running_at is not None else time.time() + self._offset

    def stamp(self) -> int:
        return int(self.now())

    def after(self, seconds: float, action: TimerAction) -> None:
        heapq.heappush(self._timers, (self.now() + seconds, next(self._order), action))

    def at(self, moment: float, action: TimerAction) -> None:
        heapq.heappush(self._timers, (moment, next(self._order), action))

    def advance(self, seconds: float) -> None:
        self.went_back |= seconds < 0
        self._offset += seconds
        self.run_due()

    def set(self, moment: float) -> None:
        self.advance(moment - self.now())

    def run_due(self) -> None:
        """Runs due timers in order of time, also those that a due timer sets for a past moment."""
        if not self._timers or self._running_at is not None:
            return
        limit = self.now()
        try:
            while self._timers and self._timers[0][0] <= limit:
                self._running_at, _, action = heapq.heappop(self._timers)
                action()
        finally:
            self._running_at = None
