"""The signal by which a process tells its runs to stop: they begin nothing new and end early."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class StopSignal:
    """Set by SIGTERM; true from then on."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    def __bool__(self) -> bool:
        return self.event.is_set()
