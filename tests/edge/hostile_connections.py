"""A thousand hostile connections to a served Paydue: their memory, and when the last is gone.

    python -m tests.edge.hostile_connections                    the settings as they are shipped
    python -m tests.edge.hostile_connections --kinds half_body  of one kind

Half heads, half bodies, clients that read nothing of their answers and floods of headers: whoever
is closed comes back until the attack ends. Promised: they hold no more than 64 KiB each, Stripe's
deliveries are all answered 200 meanwhile, and 30 seconds after the attack all of them are gone.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from app.storage import schema
from app.storage.engines import Database
from tests.edge.attackers import KINDS
from tests.harness import NO_STRIPE, event, intent, signed
from tests.patience import wait_limit
from tests.place.programs import Program, server

CONNECTIONS = 1000
HELD_KIB_MAX = 64.0
GONE_S_MAX = 30.0
# Deliveries a second, and so at most as many sockets of Stripe's at a moment.
PER_SECOND = 20
_ATTACKERS = Path(__file__).with_name("attackers.py")


@dataclass
class Attack:
    """Memory of the server before and at its most, in KiB; Stripe's answers; and the end."""

    connections: int
    before_kib: float = 0
    most_kib: float = 0
    most_sockets: int = 0
    gone_after_s: float = 0
    statuses: Counter[int | str] = field(default_factory=Counter)

    @property
    def held_kib(self) -> float:
        """Of each connection."""
        return (self.most_kib - self.before_kib) / self.connections

    def look(self, serving: Program) -> None:
        self.most_kib = max(self.most_kib, serving.memory_mb() * 1024)
        self.most_sockets = max(self.most_sockets, sockets(serving))


def sockets(serving: Program) -> int:
    """Descriptors of the process that are sockets, its listener among them."""
    found = 0
    for one in Path(f"/proc/{serving.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found += str(one.readlink()).startswith("socket:")
    return found


async def attacked(
    serving: Program, connections: int, seconds: float, kinds: Sequence[str] = tuple(KINDS)
) -> Attack:
    """Attack for so long, then wait until the server has no more sockets than before."""
    found = Attack(connections)
    async with delivering(serving.url, found.statuses):
        # Memory that a server takes once, whoever comes, is none of a connection's.
        async with attackers(serving, 2 * len(kinds), kinds):
            await asyncio.sleep(1)
        found.before_kib, sockets_before = serving.memory_mb() * 1024, sockets(serving)
        async with attackers(serving, connections, kinds) as no_more:
            for _ in range(int(seconds * 5)):
                found.look(serving)
                await asyncio.sleep(0.2)
            no_more()
            ended = time.monotonic()
            allowed = ended + wait_limit(2 * GONE_S_MAX)
            while sockets(serving) > sockets_before + PER_SECOND:
                assert time.monotonic() < allowed, f"{sockets(serving)} sockets are left"
                await asyncio.sleep(0.2)
            found.gone_after_s = time.monotonic() - ended
    return found


@contextlib.asynccontextmanager
async def attackers(
    serving: Program, connections: int, kinds: Sequence[str]
) -> AsyncIterator[Callable[[], None]]:
    """Attackers under way; once the function is called, none comes back that has been closed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-S", str(_ATTACKERS), serving.url.rpartition(":")[2], str(connections),
        *kinds, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(wait_limit(60)):
            assert await process.stdout.readline() == b"attacking\n"
        yield process.stdin.close
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def delivering(url: str, statuses: Counter[int | str]) -> AsyncIterator[None]:
    """Stripe's deliveries at an even pace, each on a connection of its own."""
    done = asyncio.Event()

    async def deliver(http: aiohttp.ClientSession) -> None:
        statuses[await delivered(http)] += 1

    async def deliver_all() -> None:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=wait_limit(20))
        async with (
            aiohttp.ClientSession(url, connector=connector, timeout=timeout) as http,
            asyncio.TaskGroup() as group,
        ):
            while not done.is_set():
                group.create_task(deliver(http))
                await asyncio.sleep(1 / PER_SECOND)

    deliveries = asyncio.create_task(deliver_all())
    try:
        yield
    finally:
        done.set()
        await deliveries


async def delivered(http: aiohttp.ClientSession) -> int | str:
    """Delivered again where the database was too slow, as on a machine that does other things."""
    body = orjson.dumps(event("payment_intent.succeeded", intent(1, amount=100)))
    while True:
        headers = {"Stripe-Signature": signed(body)}
        try:
            async with http.post("/stripe/webhook", data=body, headers=headers) as answer:
                said = await answer.text()
        except (aiohttp.ClientError, OSError) as error:
            return repr(error)
        if "DatabaseUnavailable" not in said:
            return answer.status


@contextlib.asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[Program]:
    url = f"sqlite:///{folder / 'paydue.db'}"
    database = Database(url)
    await schema.upgrade(database)
    await database.close()
    async with server(database_url=url, stripe_url=NO_STRIPE, folder=folder, **settings) as one:
        yield one


async def measured(connections: int, seconds: float, kinds: Sequence[str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder)) as serving:
            found = await attacked(serving, connections, seconds, kinds)
    print(f"  {found.connections} connections of {', '.join(kinds)}")
    print(f"  memory      {found.before_kib:8.0f} KiB before, {found.most_kib:8.0f} KiB at most:")
    print(f"              {found.held_kib:8.1f} KiB each, {HELD_KIB_MAX:.0f} promised")
    print(f"  sockets     {found.most_sockets:8d} at most")
    print(f"  gone after  {found.gone_after_s:8.1f} s, {GONE_S_MAX:.0f} promised")
    print(f"  Stripe      {dict(found.statuses)}")
    is_small = found.held_kib <= HELD_KIB_MAX
    return is_small and found.gone_after_s <= GONE_S_MAX and set(found.statuses) == {200}


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--connections", type=int, default=CONNECTIONS)
    options.add_argument("--seconds", type=float, default=15)
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    given = options.parse_args()
    holds = asyncio.run(measured(given.connections, given.seconds, given.kinds))
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
