"""Paydue's commands as processes, and the load that Stripe puts on a server."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests import leaks
from tests.harness import KEY, SECRET, event, intent, signed
from tests.patience import wait_limit
from tests.postgres import free_port

START_S = wait_limit(20.0)
# What the promise says, and a little for a machine that does other things too.
ANSWERED_WITHIN_S = wait_limit(5.0 + 1.0)
STOPPED_WITHIN_S = wait_limit(10.0)


@dataclass
class Program:
    """A running command; its stderr goes to a file."""

    process: asyncio.subprocess.Process
    errors: Path
    url: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.errors.read_text()

    async def terminated(self) -> tuple[int, float]:
        """The exit code after SIGTERM, and the seconds it took."""
        assert self.process.returncode is None, f"it has ended before: {self.log()}"
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(wait_limit(30)):
            code = await self.process.wait()
        return code, time.monotonic() - started

    async def end(self) -> int:
        async with asyncio.timeout(wait_limit(60)):
            return await self.process.wait()

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@contextlib.asynccontextmanager
async def program(
    *command: str, database_url: str, stripe_url: str, folder: Path, **environment: Any
) -> AsyncIterator[Program]:
    """`paydue COMMAND`; killed at the end if it still runs. A setting that is None is not set."""
    errors = folder / f"{command[0]}-{time.monotonic_ns()}.log"
    settings = {
        "PAYDUE_DATABASE_URL": database_url,
        "PAYDUE_CREATE_DATABASE": "true",
        "PAYDUE_STRIPE_API_BASE": stripe_url,
        "STRIPE_API_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "PAYDUE_STRIPE_PACE": "10000",
        "PAYDUE_STRIPE_TIMEOUT": "5",
        **environment,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    with errors.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", *command, stderr=file, stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **given},
            cwd=folder,
        )  # fmt: skip
    try:
        yield Program(process, errors)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        found = leaks.leaked(errors.read_text())
        assert not found, f"the log of {command} shows {found}"


@contextlib.asynccontextmanager
async def server(*options: str, **where: Any) -> AsyncIterator[Program]:
    """`paydue serve`, once it answers."""
    port = free_port()
    async with program("serve", "--port", str(port), *options, **where) as found:
        found.url = f"http://127.0.0.1:{port}"
        await _answers(found)
        yield found


async def _answers(found: Program) -> None:
    deadline = time.monotonic() + START_S
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline:
            assert found.process.returncode is None, found.log()
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"{found.url}/healthz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)
    raise AssertionError(f"the server did not start: {found.log()}")


@dataclass(frozen=True)
class Sent:
    """One delivery; `status` is None when there was no answer."""

    event_id: str
    intent_id: str
    status: int | None
    seconds: float
    retry_after: str | None


@dataclass
class Load:
    """Deliveries of one event each, and what became of them."""

    url: str
    sent: list[Sent] = field(default_factory=list)
    padding: int = 0

    def answered(self, status: int) -> list[Sent]:
        return [one for one in self.sent if one.status == status]

    def statuses(self) -> set[int | None]:
        return {one.status for one in self.sent}

    async def at(self, per_second: float, seconds: float, invoices: list[int]) -> None:
        """A steady stream that does not wait for answers."""
        async with asyncio.TaskGroup() as group, self._session() as http:
            started = time.monotonic()
            for number in range(round(per_second * seconds)):
                wait = started + number / per_second - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                group.create_task(self._post(http, invoices[number % len(invoices)]))
            await asyncio.sleep(0)
            while len(self.sent) < round(per_second * seconds):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def at_once(self, count: int, invoice: int) -> None:
        async with self._session() as http:
            await asyncio.gather(*(self._post(http, invoice) for _ in range(count)))

    async def one(self, invoice: int) -> Sent:
        async with self._session() as http:
            await self._post(http, invoice)
        return self.sent[-1]

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            self.url, connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=wait_limit(30)),
        )  # fmt: skip

    async def _post(self, http: aiohttp.ClientSession, invoice: int) -> None:
        thing = intent(invoice, amount=100, description="x" * self.padding)
        told = event("payment_intent.succeeded", thing)
        body = orjson.dumps(told)
        started, status, retry_after = time.monotonic(), None, None
        try:
            async with http.post(
                "/stripe/webhook", data=body, headers={"Stripe-Signature": signed(body)}
            ) as answer:
                await answer.read()
                status, retry_after = answer.status, answer.headers.get("Retry-After")
        except (aiohttp.ClientError, OSError):
            pass  # no answer at all: Stripe delivers it again
        seconds = time.monotonic() - started
        self.sent.append(Sent(told["id"], thing["id"], status, seconds, retry_after))
