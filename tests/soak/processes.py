"""Processes that are started again whenever they end, as systemd or Kubernetes does it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.patience import wait_limit
from tests.place.programs import Program, program

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
RESTART_S = 0.5


@dataclass
class Supervised:
    """One command that is meant to run always."""

    command: tuple[str, ...]
    where: dict[str, Any]
    clock: "SteppedClock | None" = None
    url: str = ""
    starts: int = 0
    tracebacks: list[str] = field(default_factory=list)
    _current: Program | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Supervised"]:
        stop = asyncio.Event()
        task = asyncio.create_task(self._keep(stop))
        try:
            yield self
        finally:
            stop.set()
            if self._current and self._current.process.returncode is None:
                self._current.process.send_signal(signal.SIGTERM)
            await task

    async def answers(self) -> None:
        """Return once it serves."""
        async with asyncio.timeout(wait_limit(60)), aiohttp.ClientSession() as http:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{self.url}/healthz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)

    def kill(self) -> None:
        if self._current and self._current.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._current.process.kill()

    async def _keep(self, stop: asyncio.Event) -> None:
        clock = self.clock.environment() if self.clock else {}
        while not stop.is_set():
            async with program(*self.command, **self.where, **clock) as self._current:
                self.starts += 1
                if stop.is_set():
                    return
                await self._current.process.wait()
            self.note_tracebacks(self._current)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RESTART_S)

    def note_tracebacks(self, ended: Program) -> None:
        """An error that nobody foresaw is kept, with what led to it."""
        log = ended.log()
        if "Traceback" in log:
            at = log.index("Traceback")
            self.tracebacks.append(f"{' '.join(self.command)}: {log[max(0, at - 300) : at + 1500]}")
        ended.errors.unlink()  # an hour of logs is not kept


class SteppedClock:
    """The wall clock of the processes started with it, which can be stepped by libfaketime."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    @staticmethod
    def is_there() -> bool:
        return FAKETIME.exists()

    def step(self, seconds: int) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds:+d}\n")
        os.replace(part, self._file)  # noqa: PTH105  no process reads half of it

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
