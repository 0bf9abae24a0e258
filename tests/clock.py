"""The time of a service under test."""

from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)
