"""Starts lives in warm processes and says how they ended."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.patience import wait_limit

# What a child tells may hold every row of its database.
_LINE_MAX = 1 << 20
LIFE_S = wait_limit(30.0)


@dataclass
class Life:
    """One process, from its fork to its end."""

    zygote: "Zygote"
    pid: int

    async def told(self, name: str) -> Any:
        """What the child says under a name; it must not die before it has."""
        async with asyncio.timeout(LIFE_S):
            said = await self.zygote.line()
        assert name in said, f"expected {name!r}, got {said}; {self.zygote.log()}"
        return said[name]

    async def end(self) -> int:
        """The exit code: negative for a signal. What the child says before is passed over."""
        async with asyncio.timeout(LIFE_S):
            while True:
                said = await self.zygote.line()
                if "ended" in said:
                    return int(said["ended"])


class Zygote:
    """One warm process; one life at a time."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._process = process
        self._errors = errors

    async def begin(self, part: str, **life: Any) -> Life:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"part": part, **life}).encode() + b"\n")
        await self._process.stdin.drain()
        return Life(self, int((await self.line())["pid"]))

    async def line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, f"the zygote has ended; {self.log()}"
        said: dict[str, Any] = json.loads(line)
        return said

    def log(self) -> str:
        return "its log ends with:\n" + self._errors.read_text()[-4000:]


@contextlib.asynccontextmanager
async def zygotes(count: int, folder: Path) -> AsyncIterator[Sequence[Zygote]]:
    """So many lanes for lives to run in."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(_zygote(folder / f"zygote{number}.log"))
            for number in range(count)
        ]


@contextlib.asynccontextmanager
async def _zygote(errors: Path) -> AsyncIterator[Zygote]:
    with errors.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.crash.zygote",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=file,
            limit=_LINE_MAX, cwd=Path(__file__).parents[2], env=dict(os.environ),
            start_new_session=True,
        )  # fmt: skip
        try:
            yield Zygote(process, errors)
        finally:  # whatever life a failed test has left goes with it
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
