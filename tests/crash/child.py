"""The lives a process can lead: a day's autopay run, the restart after it, and serving webhooks."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson
from sqlalchemy import update

from app.node import Node, open_node, open_stripe_node
from app.payments.webhook import dead_letters
from app.rules.attempt import UNRESOLVED
from app.serving import serve_in_loop
from app.storage.column_types import table_of
from app.storage.engines import Database
from app.storage.tables.charge_attempts import ChargeAttempt
from app.storage.tables.cluster import CustomerLease
from tests.crash import scenario
from tests.crash.points import ARM, Commits
from tests.harness import SECRET, settings_for

Tell = Callable[..., None]
ATTEMPTS, TURNS = table_of(ChargeAttempt), table_of(CustomerLease)


@dataclass
class House:
    node: Node
    stripe: aiohttp.ClientSession

    @property
    def database(self) -> Database:
        return self.node.database

    async def call(self, control: str, **body: Any) -> Any:
        async with self.stripe.post(f"/_sandbox/{control}", data=orjson.dumps(body)) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@contextlib.asynccontextmanager
async def house(database_url: str, stripe_url: str, concurrency: int = 1) -> AsyncIterator[House]:
    settings = settings_for(database_url, stripe_url, PAYDUE_STRIPE_CONCURRENCY=concurrency)
    async with (
        open_stripe_node(settings) as node,
        aiohttp.ClientSession(stripe_url) as stripe,
    ):
        yield House(node, stripe)


async def run(
    tell: Tell, *, database_url: str, stripe_url: str, concurrency: int, die_at: str | None
) -> None:
    """The first day in peace, payments by hand, and the second day until the point to die at."""
    async with house(database_url, stripe_url, concurrency) as home:
        await scenario.write_books(home.database)
        await _report(home, scenario.first_day())
        await scenario.pay_by_hand(home.database)
        await _open_checkout(stripe_url)
    async with house(database_url, stripe_url, concurrency) as home:
        commits = Commits(home.database, die_at)
        commits.watch()
        await home.stripe.get(ARM)
        await _report(home, scenario.second_day())
        tell(points=list(commits.seen))


async def restart(
    tell: Tell, *, database_url: str, stripe_url: str, concurrency: int, disorder: int
) -> None:
    """What `worker` does after the crash, then all of Stripe's events in disorder."""
    async with house(database_url, stripe_url, concurrency) as home:
        await let_leases_expire(home.database)
        await _report(home, scenario.second_day())
        again = await _report(home, scenario.second_day())
        await home.node.autopay().recover()
        before = await scenario.books(home.database)
        async with serve_in_loop(home.node.web_application()) as url:
            await home.call("endpoints", url=f"{url}/stripe/webhook", secrets=[SECRET], mode="held")
            await home.call("deliver", everything=True, seed=disorder)
            await home.call("clock", advance=8 * 86400)
            await home.call("deliver", everything=True, until_delivered=True)
        await replay(home)
        after = await scenario.books(home.database)
        tell(verdict={"charged_again": again["charged"], "before": before, "after": after})


async def one_of_many(tell: Tell, *, database_url: str, stripe_url: str, concurrency: int) -> None:
    """A short life in a storm: the second day, taken up wherever the life before it left it."""
    async with house(database_url, stripe_url, concurrency) as home:
        await let_leases_expire(home.database)
        await home.stripe.get(ARM)
        await _report(home, scenario.second_day())
        tell(done=True)


async def serve(tell: Tell, *, database_url: str, stripe_url: str, die_at: str | None) -> None:
    """Takes webhooks until it is killed, or dies at the commit of an event."""
    settings = settings_for(database_url, stripe_url)
    async with open_node(settings) as node:
        commits = Commits(node.database, die_at)
        commits.watch()
        async with serve_in_loop(node.web_application()) as url:
            tell(url=url)
            await asyncio.Event().wait()


async def look(tell: Tell, *, database_url: str) -> None:
    database = Database(database_url)
    tell(books=await scenario.books(database))
    await database.close()


async def settle(tell: Tell, *, database_url: str, stripe_url: str) -> None:
    """The worker's turn at parked events, a day later, until there is nothing more to do."""
    async with house(database_url, stripe_url) as home:
        await replay(home)
        tell(books=await scenario.books(home.database))


async def warm_up() -> None:
    """One whole life before the first fork, so that no child imports what this one has."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/paydue.db"
        async with scenario.a_stripe().running() as stripe_url:
            where: dict[str, Any] = {"database_url": url, "stripe_url": stripe_url}
            await run(_to_nobody, **where, concurrency=1, die_at=None)
            await restart(_to_nobody, **where, concurrency=1, disorder=0)


def _to_nobody(**_: Any) -> None: ...


LIVES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "run": run,
    "restart": restart,
    "one_of_many": one_of_many,
    "serve": serve,
    "look": look,
    "settle": settle,
}


async def let_leases_expire(database: Database) -> None:
    """As if the 45 seconds of a dead process's leases had passed: its clock is moved, not ours."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    async with database.transaction() as tx:
        await tx.execute(
            update(ATTEMPTS)
            .where(ATTEMPTS.c.state.in_(UNRESOLVED))
            .values(lease_until=past, check_at=past)
        )
        await tx.execute(update(TURNS).values(until=past))


async def replay(home: House) -> None:
    for _ in range(2):
        later = datetime.now(UTC) + timedelta(days=1)
        await dead_letters.retry_due(home.database, home.node.installation, later)


async def _report(home: House, day: Any) -> dict[str, Any]:
    report = await home.node.autopay().run(day)
    try:
        found: dict[str, Any] = orjson.loads("".join(report.json_lines()))
        return found
    finally:
        report.close()


async def _open_checkout(stripe_url: str) -> None:
    """Another way to pay stands open: the run must shut it before it charges."""
    price = {"currency": "usd", "unit_amount": "12000", "product_data[name]": "Invoice 2"}
    form = {
        "customer": "cus_1",
        "mode": "payment",
        "success_url": "https://example.com/paid",
        "metadata[invoice_id]": str(scenario.PAYS_TOO),
        "line_items[0][quantity]": "1",
        **{"line_items[0][price_data]" + _nested(name): value for name, value in price.items()},
    }
    headers = {"Authorization": "Bearer sk_test_tests"}
    async with (
        aiohttp.ClientSession(stripe_url, headers=headers) as http,
        http.post("/v1/checkout/sessions", data=form) as answer,
    ):
        assert answer.status == 200, await answer.text()


def _nested(name: str) -> str:
    head, bracket, rest = name.partition("[")
    return f"[{head}]{bracket}{rest}"
