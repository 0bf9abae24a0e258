"""How fast are the console's pages at a million payments, and what do ten people cost webhooks?

    python -m tests.bench.console                     SQLite, 1,000,000 payments
    python -m tests.bench.console --postgres          the same on PostgreSQL
    python -m tests.bench.console --payments 50000    a quick look

Search, stories and lists are asked for one by one, each beside the API's answer for the same rows.
Promised: p99 of a page is at most 50 ms, and at most 3 times that of the API. Then webhooks are
sent as fast as they are answered, alone and while ten people open a page each second: they keep at
least 0.9 of their rate. Between the two kinds of rounds nothing changes but the people.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp

from app.console.people import users
from app.console.people.roles import Role
from app.console.people.user_events import Act
from app.storage.engines import Database
from tests import postgres
from tests.bench import load
from tests.bench.api import PAGED, ROOT, bought, filled, intent, served, spread
from tests.console.browser import Browser

PAYMENTS = 1_000_000
P99_MAX_MS = 50.0
RATIO_MAX = 3.0
RATE_MIN = 0.9
REQUESTS = 300
PEOPLE = 10
# A person reads a page for so long before the next click.
CLICK_S = 1.0
EVENTS = 4_000
ROUNDS = 5
EVENT = ROOT / "tests" / "bench" / "event.json"


@dataclass(frozen=True)
class Question:
    """A page, and the request of the API that reads the same rows."""

    name: str
    page: Callable[[int, int], str]  # (payments, number of the request) -> path
    api: Callable[[int, int], str]


def _number(size: int, turn: int) -> str:
    return f"INV-{spread(size, turn):08d}"


QUESTIONS = (
    Question(
        "search by PaymentIntent",
        lambda size, n: f"/search/hits?q={intent(spread(size, n))}",
        lambda size, n: f"/api/InvoicePayment?intent_id={intent(spread(size, n))}",
    ),
    Question(
        "search by number",
        lambda size, n: f"/search/hits?q={_number(size, n)}",
        lambda size, n: f"/api/Invoice?search={_number(size, n)}{PAGED}",
    ),
    Question(
        "story of a payment",
        lambda size, n: f"/payments/{intent(spread(size, n))}",
        lambda size, n: f"/api/InvoicePayment?intent_id={intent(spread(size, n))}",
    ),
    Question(
        "an invoice",
        lambda size, n: f"/invoices/{spread(size, n)}",
        lambda size, n: f"/api/Invoice/{spread(size, n)}?includedetails=true",
    ),
    Question(
        "list of payments",
        lambda size, n: f"/payments?before={spread(size, n) + 100}",
        lambda size, n: f"/api/InvoicePayment?pageinate=true&page_size=25&page_no={n % 50 + 1}",
    ),
    Question(
        "list of open invoices",
        lambda size, n: f"/invoices?state=open&before={spread(size, n) + 5000}",
        lambda size, n: (
            f"/api/Invoice?paymentstatuses=0,-1&order=id&orderdesc=true"
            f"&pageinate=true&page_size=25&page_no={n % 50 + 1}"
        ),
    ),
)
# The pages that a person opens one after the other.
CLICKS = ("/", "/payments", "/invoices", "/payments?state=declined", "/inbox", "/search/hits?q=inv")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--postgres", action="store_true")
    options.add_argument("--payments", type=int, default=PAYMENTS)
    options.add_argument("--requests", type=int, default=REQUESTS)
    options.add_argument("--events", type=int, default=EVENTS)
    given = options.parse_args()
    with contextlib.ExitStack() as stack:
        if given.postgres:
            url = stack.enter_context(postgres.running()).create("console")
        else:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/paydue.db"
        print(f"  filling {given.payments:,} payments", file=sys.stderr)
        client_id, secret = asyncio.run(filled(url, given.payments))
        links = asyncio.run(_links(url))
        port = stack.enter_context(served("app", url, ""))
        token = bought(port, client_id, secret)
        holds = asyncio.run(_measured(port, token, links, given))
    sys.exit(0 if holds else 1)


async def _links(url: str) -> list[str]:
    """A sign-in link for each person."""
    database, act = Database(url), Act("bench", datetime.now(UTC))
    links = []
    async with database.transaction() as tx:
        for number in range(PEOPLE):
            login = f"person{number}"
            await users.add_user(tx, login, name=login, role=Role.ADMIN, act=act)
            links.append(await users.issue_link(tx, await users.load_user(tx, login), act))
    await database.close()
    return links


async def _measured(port: int, token: str, links: list[str], given: argparse.Namespace) -> bool:
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=jar) as http:
        people = [Browser(http) for _ in links]
        for person, link in zip(people, links, strict=True):
            await person.follow(link)
        cookie = "; ".join(f"{name}={value}" for name, value in people[0].cookies.items())
        holds = True
        for one in QUESTIONS:
            holds &= await _compared(one, port, token, cookie, given)
        return await _webhooks_beside(people, port, given.events) and holds


# --- pages -------------------------------------------------------------------------------------


async def _compared(
    one: Question, port: int, token: str, cookie: str, given: argparse.Namespace
) -> bool:
    """Both are asked in turn, a part of the requests each time: a slow moment meets both."""
    pages, answers = [], []
    for part in range(3):
        turns = range(part * given.requests, (part + 1) * given.requests)
        size = given.payments
        browser = f"Cookie: {cookie}\r\nAccept: text/html\r\n"
        program = f"Authorization: Bearer {token}\r\n"
        pages.append(await _asked(port, [one.page(size, n) for n in turns], browser))
        answers.append(await _asked(port, [one.api(size, n) for n in turns], program))
    page, api = statistics.median(pages), statistics.median(answers)
    holds = page <= P99_MAX_MS and page / api <= RATIO_MAX
    print(f"  {one.name:26} p99 {page:6.1f} ms (<= {P99_MAX_MS:.0f}), the API {api:6.1f} ms: "
          f"{page / api:5.2f} times (<= {RATIO_MAX}) {'kept' if holds else 'BROKEN'}",
          flush=True)  # fmt: skip
    return holds


async def _asked(port: int, paths: list[str], headers: str) -> float:
    """The p99 in ms of these requests, one after the other on one connection."""
    requests = [f"GET {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n" for path in paths]
    found = await _loaded(port, "--stdin", "--connections", "1", sent=json.dumps(requests))
    assert found["not_200"] == 0, f"{found['not_200']} of {paths[:3]}... were refused"
    return found["p99_ms"]


async def _loaded(port: int, *options: str, sent: str = "") -> dict[str, float]:
    """The load of a process of its own, while this one goes on clicking."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load", "--port", str(port), *options, cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    answer, _ = await process.communicate(sent.encode())
    found: dict[str, float] = json.loads(answer)
    return found


# --- webhooks beside people ----------------------------------------------------------------------


@dataclass
class Clicks:
    """Pages that people opened, and how many were not shown."""

    opened: int = 0
    refused: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


@contextlib.asynccontextmanager
async def _clicking(people: list[Browser]) -> AsyncIterator[Clicks]:
    clicks = Clicks()

    async def click(person: Browser, first: int) -> None:
        for turn in range(first, sys.maxsize):
            shown = await person.get(CLICKS[turn % len(CLICKS)])
            clicks.opened += 1
            clicks.refused += shown.status != 200
            await asyncio.sleep(CLICK_S)

    clicks.tasks = [asyncio.create_task(click(one, n)) for n, one in enumerate(people)]
    try:
        yield clicks
    finally:
        for task in clicks.tasks:
            task.cancel()
        await asyncio.gather(*clicks.tasks, return_exceptions=True)


async def _webhooks_beside(people: list[Browser], port: int, events: int) -> bool:
    await _rate(port, "warm", events // 4)
    alone, beside, opened = [], [], 0
    for number in range(ROUNDS):
        alone.append(await _rate(port, f"a{number}", events))
        async with _clicking(people) as clicks:
            beside.append(await _rate(port, f"b{number}", events))
        opened += clicks.opened
        assert clicks.refused == 0, f"{clicks.refused} of {clicks.opened} pages were not shown"
    ratio = statistics.median(beside) / statistics.median(alone)
    holds = ratio >= RATE_MIN
    print(f"  webhooks alone {statistics.median(alone):.0f}/s, while {PEOPLE} people open "
          f"{opened} pages {statistics.median(beside):.0f}/s: {ratio:.2f} (>= {RATE_MIN}) "
          f"{'kept' if holds else 'BROKEN'}")  # fmt: skip
    return holds


async def _rate(port: int, run: str, events: int) -> float:
    """Webhooks a second."""
    options = ("--template", str(EVENT), "--count", str(events), "--run", run)
    found = await _loaded(port, *options, "--secret", load.SECRET)
    assert found["not_200"] == 0, f"{found['not_200']} of {events} webhooks were refused"
    return found["per_second"]


if __name__ == "__main__":
    main()
