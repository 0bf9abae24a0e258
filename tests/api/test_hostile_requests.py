"""No caller and no event causes a 5xx: every place of every route is sent what breaks programs.

Whatever was accepted must be read again: alone, in its list, and printed. A place gets its share of
the values, those of its own type first; PAYDUE_FUZZ_ROUNDS=100 gives every place all of them. In a
single round the two engines share the places: every route is sent hostile values on both, and each
of its places on one.
"""

import asyncio
import copy
import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
import pytest
from yarl import URL

from app.halo.routes import ROUTES
from tests.api.client import Answer, Api
from tests.api.hostile_values import JSON_VALUES, QUERY_VALUES, Place, places
from tests.harness import Paydue

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(3600)]

T = TypeVar("T")

ROUNDS = int(os.environ.get("PAYDUE_FUZZ_ROUNDS", "1"))
# From one round to the next a place skips so many values: it has no factor in common with their
# numbers, so that every place gets every value sooner or later.
STRIDE = 37
PLACES = places(ROUTES)
FIXTURES = sorted((Path(__file__).parents[2] / "fixtures" / "stripe").glob("*.json"))
# Of the invoices that were made, every so many-th is printed.
PRINTED_EVERY = 25
# Events that arrive together, so that they share a batch.
AT_ONCE = 64


class House:
    """A served Paydue with a record of every kind, and the answers that must not be."""

    def __init__(self, paydue: Paydue, api: Api) -> None:
        self.paydue = paydue
        self.api = api
        self.ids: dict[str, int] = {}
        self.made: defaultdict[str, set[int]] = defaultdict(set)
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        self.takes_odd = False

    def share(self, places: Sequence[T]) -> Iterator[tuple[int, T]]:
        """The places that this engine tries, each with its number."""
        for number, one in enumerate(places):
            if ROUNDS > 1 or number % 2 == self.takes_odd:
                yield number, one

    async def ask(self, what: object, method: str, target: str, body: str | None = None) -> Answer:
        """Send it exactly as written; a 5xx is remembered with what caused it."""
        data = None if body is None else body.encode("utf-8", "surrogatepass")
        answer = await self.api.send(method, URL(target, encoded=True), data=data)
        self.statuses[answer.status] += 1
        if answer.status >= 500:
            self.failures.append(f"{what}: {answer.status} {target[:300]} {(body or '')[:300]}")
        return answer

    async def read_again(self, path: str, record_id: int) -> None:
        """The record alone, with all that may be asked of it."""
        self.made[path].add(record_id)
        single = f"{path}/{{id}}"
        if single in READS:
            flags = "&".join(f"{name}=true" for name in READS[single])
            await self.ask("read again", "GET", f"{path}/{record_id}?{flags}")

    async def use_everything(self) -> None:
        """What is made of records: invoices of templates, a hundred at once, and documents."""
        templates = sorted(self.made["/api/RecurringInvoice"])
        for force in ("true", "false"):
            for some in _hundreds(templates):
                target = f"/api/RecurringInvoice/process?force_creation={force}"
                await self.ask("processed", "POST", target, orjson.dumps(some).decode())
        for one in sorted(self.made["/api/Invoice"])[::PRINTED_EVERY]:
            await self.ask("printed", "POST", f"/api/Invoice/PDF/{one}")

    async def list_everything(self) -> None:
        for path, names in READS.items():
            if "{" not in path and "count" in names:
                flags = "&".join(f"{one}=true" for one in names if one.startswith("include"))
                for page in range(1, 1000):
                    paging = f"pageinate=true&page_size=100&page_no={page}"
                    answer = await self.ask("listed", "GET", f"{path}?{paging}&{flags}")
                    if answer.status != 200 or not _records(answer):
                        break


def _hundreds(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + 100] for start in range(0, len(ids), 100))


def _records(answer: Answer) -> Any:
    found = orjson.loads(answer.text)
    return found if isinstance(found, list) else next(
        (one for one in found.values() if isinstance(one, list)), []
    )  # fmt: skip


def _reads() -> dict[str, Sequence[str]]:
    """By path, the parameters of every GET of the API that changes nothing."""
    return {
        route.path: list(route.operation.parameters)
        for route in ROUTES
        if route.operation and "GET" in (route.methods or ()) and "updatelines" not in route.path
    }


READS = _reads()


@pytest.fixture
async def house(paydue: Paydue) -> House:
    api = Api(paydue.http, paydue.database)
    api.headers = await paydue.access()
    opened = House(paydue, api)
    opened.takes_odd = not paydue.database.is_sqlite
    for route in (*ROUTES, *ROUTES):  # twice, for some examples name what others make
        operation = route.operation
        if operation and operation.made and route.path not in opened.ids:
            answer = await api.send("POST", route.path, data=orjson.dumps(operation.example))
            if answer.status < 300:
                opened.ids[route.path] = answer.json["id"]
    return opened


def _values(place: int, values: Sequence[str]) -> Iterator[str]:
    for turn in range(min(ROUNDS, len(values))):
        yield values[(place + turn * STRIDE) % len(values)]


def _url(one: Place, value: str) -> str:
    said = quote(value.encode("utf-8", "surrogatepass"), safe="")
    if one.where == "path":
        return re.sub(r"{\w+}", said[:9000], one.path)
    target = re.sub(r"{\w+}", "1", one.path)
    further = {"start_date": "datesearch=duedate", "page_no": "pageinate=true"}.get(one.name, "")
    return f"{target}?{one.name}={said[:60000]}&{further}"


async def test_no_path_and_no_parameter_gives_a_5xx(house: House) -> None:
    targets = [one for one in PLACES if one.where != "body"]

    for number, one in house.share(targets):
        for value in (*_values(number, one.likely), *_values(number, QUERY_VALUES)):
            await house.ask(one, one.method, _url(one, value), None if one.method == "GET" else "")

    assert house.failures == []
    assert house.statuses[200] > 25
    assert house.statuses[400] > 25


async def test_no_body_gives_a_5xx_then_or_later(house: House) -> None:
    targets = [one for one in PLACES if one.where == "body"]
    turns = itertools.count()  # each value goes to a new record or to one that exists

    for number, one in house.share(targets):
        path = re.sub(r"{\w+}", "1", one.path)
        for value in (*_values(number, one.likely), *_values(number, JSON_VALUES)):
            known = house.ids.get(one.path) if next(turns) % 2 else None
            answer = await house.ask(one, "POST", path, one.filled(value, known))
            made = orjson.loads(answer.text) if answer.status < 300 else None
            if isinstance(made, dict) and isinstance(made.get("id"), int):
                await house.read_again(one.path, made["id"])
    await house.use_everything()
    await house.list_everything()

    assert house.failures == []
    assert house.statuses[200] > 100
    assert house.statuses[400] > 100


async def test_no_signed_event_gives_a_5xx_then_or_later(house: House) -> None:
    bodies = [body for _, body in house.share(list(_hostile_events()))]

    for start in range(0, len(bodies), AT_ONCE):
        some = bodies[start : start + AT_ONCE]
        statuses = await asyncio.gather(*(house.paydue.deliver_body(body) for body in some))
        for body, status in zip(some, statuses, strict=True):
            house.statuses[status] += 1
            if status >= 500:
                house.failures.append(f"{status}: {body[:3000]!r}")
    await house.list_everything()

    assert house.failures == []
    assert house.statuses[200] > 200


def _hostile_events() -> Iterator[bytes]:
    """Every fixture, with a value in each of its places in turn."""
    numbers = itertools.count()
    for path in FIXTURES:
        event = orjson.loads(path.read_bytes())
        for number, place in enumerate(_leaves(event)):
            for value in _values(number, JSON_VALUES):
                yield _changed(event, place, value, next(numbers))


def _leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a JSON value, objects and lists among them."""
    if at:
        yield at
    of_list = enumerate(value[:1]) if isinstance(value, list) else ()
    for name, one in value.items() if isinstance(value, dict) else of_list:
        yield from _leaves(one, (*at, name))


def _changed(event: Any, place: tuple[Any, ...], value: str, number: int) -> bytes:
    """The event with a value at a place, and with ids of its own, so that it is new."""
    changed = copy.deepcopy(event)
    holder = changed
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = "@the-value@"
    text = re.sub(
        r'"((?:evt|pi|ch|re|du|dp|po|cs|issfr)_\w+)"',
        rf'"\g<1>{number}"',
        orjson.dumps(changed).decode(),
    )
    return text.replace('"@the-value@"', value).encode("utf-8", "surrogatepass")
