"""Does the money path keep its pace while API clients send the heaviest requests they may?

    python -m tests.bench.neighbours               SQLite
    python -m tests.bench.neighbours --postgres    the same on PostgreSQL
    python -m tests.bench.neighbours --together    one process serves webhooks and API
    python -m tests.bench.neighbours --seconds 20  longer, for a steadier p99

Signed webhooks arrive at an even pace, first alone, then beside each request in a loop. Promised:
every webhook is answered 200. Wanted, and not reached for large writes, least on SQLite with its
one writer: where `--only` gives each part a process, p99 stays within 3 times its idle value.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from app.halo.access.api_credentials import create_credential
from app.storage import schema
from app.storage.engines import Database
from tests import postgres
from tests.bench import load
from tests.bench.api import ROOT, served

RATIO_MAX = 3.0
PER_SECOND = 25
SECONDS = 8.0
# Requests of one kind at once: a credential's own share is two.
AT_ONCE = 2
LINES = [{"item_shortdescription": "Support", "qty_order": 1, "unit_price": 9.5}]


@dataclass(frozen=True)
class Heavy:
    """A request that its scope permits, as heavy as the limits let it be."""

    scope: str
    method: str
    path: str
    body: bytes | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"[:60]


@dataclass
class Seen:
    """Latencies of the webhooks, and the answers of both kinds of request by status."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    answers: int = 0

    def quantile_ms(self, part: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--postgres", action="store_true")
    options.add_argument("--together", action="store_true")
    options.add_argument("--seconds", type=float, default=SECONDS)
    given = options.parse_args()
    with contextlib.ExitStack() as stack:
        if given.postgres:
            url = stack.enter_context(postgres.running()).create("neighbours")
        else:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/paydue.db"
        credentials = asyncio.run(made_credentials(url))
        only = {part: () if given.together else ("--only", part) for part in ("webhooks", "api")}
        webhook_port = stack.enter_context(served("app", url, "", *only["webhooks"]))
        api_port = webhook_port
        if not given.together:
            api_port = stack.enter_context(served("app", url, "", *only["api"]))
        measuring = measured(webhook_port, api_port, credentials, given.seconds)
        sys.exit(0 if asyncio.run(measuring) else 1)


SCOPES = ("read:invoices", "edit:invoices", "read:customers", "edit:customers")


async def made_credentials(url: str) -> dict[str, tuple[str, str]]:
    database = Database(url)
    await schema.upgrade(database)
    async with database.transaction() as tx:
        found = {
            scope: await create_credential(tx, scope, [scope], datetime.now(UTC))
            for scope in SCOPES
        }
    await database.close()
    return found


async def measured(
    webhook_port: int, api_port: int, credentials: dict[str, tuple[str, str]], seconds: float
) -> bool:
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{webhook_port}") as stripe,
        aiohttp.ClientSession(f"http://127.0.0.1:{api_port}") as http,
    ):
        tokens = {scope: await token(http, *one) for scope, one in credentials.items()}
        heavy = await prepared(http, tokens)
        await webhooks(stripe, "warm", 2)
        idle = await webhooks(stripe, "idle", seconds)
        print(
            f"  {'idle':62} p50 {idle.quantile_ms(0.5):7.1f}  p99 {idle.quantile_ms(0.99):7.1f} ms"
        )
        holds = True
        for number, one in enumerate(heavy):
            async with looping(http, one, tokens[one.scope]) as answers:
                seen = await webhooks(stripe, f"r{number}", seconds)
            holds &= report(one, seen, idle, answers)
        return holds


def report(one: Heavy, seen: Seen, idle: Seen, answers: Seen) -> bool:
    ratio = seen.quantile_ms(0.99) / idle.quantile_ms(0.99)
    holds = ratio <= RATIO_MAX and not seen.refused
    print(
        f"  {one.name:62} p50 {seen.quantile_ms(0.5):7.1f}  p99 {seen.quantile_ms(0.99):7.1f} ms"
        f"  {ratio:5.1f} x idle, {seen.refused} not 200; {answers.answers} answers,"
        f" {answers.refused} refused {'' if holds else '  <- broken'}",
        flush=True,
    )
    return holds


async def token(http: aiohttp.ClientSession, client_id: str, secret: str) -> str:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    async with http.post("/auth/token", data=form) as answer:
        found: str = (await answer.json())["access_token"]
        return found


# --- the heavy requests ----------------------------------------------------------------------


async def prepared(http: aiohttp.ClientSession, tokens: dict[str, str]) -> Sequence[Heavy]:
    """Fill the tables up to the limits, and answer the heaviest requests over them."""
    edit, people = tokens["edit:invoices"], tokens["edit:customers"]
    await posted(http, edit, "/api/Invoice", dumped(*[{"lines": LINES}] * load.INVOICES, each=500))
    filled = await posted(
        http, edit, "/api/Invoice", dumped(*[{"lines": LINES * 950}] * 20, each=1)
    )
    templates = await posted(
        http, edit, "/api/RecurringInvoice", dumped(*[{"lines": LINES * 499}] * 2, each=2)
    )
    kept = {f"custom{number}": "x" * 1000 for number in range(60)}
    await posted(http, people, "/api/Client", dumped(*[{"name": "Ada", **kept}] * 200, each=10))
    longest = filled[0]["id"]
    changes = [{"id": line["id"], "unit_price": 3} for line in filled[0]["lines"][:500]]
    whole = dumped({"lines": LINES * 999}, *[{"lines": LINES * 9}] * 20)[0]
    ids = orjson.dumps([one["id"] for one in templates])
    return [
        Heavy("read:invoices", "GET", f"/api/Invoice?includelines=true&ids={ids_of(filled)}"),
        Heavy("read:invoices", "GET", f"/api/Invoice/{longest}"),
        Heavy("read:invoices", "GET", "/api/Invoice?order=notes_1&order2=client_name"),
        Heavy("read:invoices", "POST", f"/api/Invoice/PDF/{longest}"),
        Heavy("edit:invoices", "POST", "/api/Invoice", whole),
        Heavy("edit:invoices", "POST", "/api/Invoice/updatelines", orjson.dumps(changes)),
        Heavy("edit:invoices", "POST", "/api/RecurringInvoice/process?force_creation=true", ids),
        Heavy("read:customers", "GET", "/api/Client"),
        Heavy("edit:customers", "POST", "/api/Client", orjson.dumps([{"name": "Bob"}] * 500)),
    ]


def ids_of(records: Sequence[Any]) -> str:
    return ",".join(str(one["id"]) for one in records)


def dumped(*objects: Any, each: int = 500) -> list[bytes]:
    """The bodies of requests that bring these objects, so many each."""
    return [orjson.dumps(objects[start : start + each]) for start in range(0, len(objects), each)]


async def posted(
    http: aiohttp.ClientSession, bearer: str, path: str, bodies: Sequence[bytes]
) -> list[Any]:
    found: list[Any] = []
    for body in bodies:
        async with http.post(path, data=body, headers=bearing(bearer)) as answer:
            assert answer.status in (200, 201), (path, await answer.text())
            records = orjson.loads(await answer.read())
            found += records if isinstance(records, list) else [records]
    return found


def bearing(bearer: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}


@contextlib.asynccontextmanager
async def looping(http: aiohttp.ClientSession, one: Heavy, bearer: str) -> AsyncIterator[Seen]:
    seen = Seen()

    async def loop() -> None:
        while True:
            async with http.request(
                one.method, one.path, data=one.body, headers=bearing(bearer)
            ) as answer:
                await answer.read()
                seen.answers += 1
                seen.refused += answer.status >= 400

    tasks = [asyncio.create_task(loop()) for _ in range(AT_ONCE)]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# --- the webhooks ----------------------------------------------------------------------------


async def webhooks(http: aiohttp.ClientSession, run: str, seconds: float) -> Seen:
    """Webhooks at an even pace, whether or not the last one is answered."""
    seen = Seen()
    template = (ROOT / "tests/bench/event.json").read_bytes()
    requests = load.requests(template, int(PER_SECOND * seconds), run)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
            group.create_task(delivered(http, request, seen))
    return seen


async def delivered(http: aiohttp.ClientSession, request: bytes, seen: Seen) -> None:
    head, _, body = request.partition(b"\r\n\r\n")
    signature = head.decode().partition("Stripe-Signature: ")[2].splitlines()[0]
    headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
    began = time.perf_counter()
    async with http.post("/stripe/webhook", data=body, headers=headers) as answer:
        await answer.read()
        seen.refused += answer.status != 200
    seen.seconds.append(time.perf_counter() - began)


if __name__ == "__main__":
    main()
