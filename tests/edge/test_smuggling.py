"""No two readers of HTTP may differ about a request: Paydue, h11, nginx, HAProxy and Caddy."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import h11
import pytest

from tests.edge.corpus import CASES, HOST, Case
from tests.edge.observer import Observer, Seen
from tests.edge.wire import answered, exchange

pytestmark = pytest.mark.anyio
# Whoever takes a request's end for later than it is takes this one for a part of it.
SENTINEL = b"GET /%03d/sentinel HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
AT_ONCE = 30


@pytest.fixture
async def observer() -> Observer:
    return Observer()


@pytest.fixture
async def port(observer: Observer) -> AsyncIterator[int]:
    async with observer.served(head_timeout=2, body_timeout=2) as served:
        yield served


def believed(case: Case, number: int) -> list[Seen]:
    requests = [Seen(*one) for one in case.believed]
    if case.goes_on:
        requests.append(Seen("GET", f"/{number:03}/sentinel", b""))
    return requests


def is_answered(seen: list[Seen], answers: list[str], case: Case) -> bool:
    """In order; where the server closes, the last answers may be lost to bytes still under way."""
    names = [one.name for one in seen]
    return answers == names if case.goes_on else answers == names[: len(answers)]


def of_case(seen: list[Seen], number: int) -> list[Seen]:
    return [one for one in seen if f"/{number:03}" in one.target]


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize("step", [10**9, 7], ids=["whole", "in pieces"])
async def test_each_case_is_read_as_the_corpus_says(
    observer: Observer, port: int, step: int
) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def found(number: int, case: Case) -> tuple[list[Seen], list[str]]:
        raw = case.raw + SENTINEL % number
        parts = [raw[at : at + step] for at in range(0, min(len(raw), 500), step)]
        parts.append(raw[len(b"".join(parts)) :])
        async with room:
            received = await exchange(port, *parts)
        return of_case(observer.seen, number), answered(received)

    results = await asyncio.gather(*(found(*one) for one in enumerate(CASES)))

    wrong = {
        f"{number} {case.name} {case.raw[:150]!r}": seen
        for number, (case, (seen, answers)) in enumerate(zip(CASES, results, strict=True))
        if seen != believed(case, number) or not is_answered(seen, answers, case)
    }
    assert wrong == {}


@pytest.mark.parametrize("case", [pytest.param(one, id=one.name) for one in CASES if one.believed])
def test_h11_reads_what_is_accepted_in_the_same_way_or_refuses_it(case: Case) -> None:
    requests = read_by_h11(case.raw)

    assert requests in ([], [Seen(*one) for one in case.believed[: len(requests)]])


def read_by_h11(raw: bytes) -> list[Seen]:
    """The requests that a strict reader, written from the RFC, finds in the bytes."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    found: list[Seen] = []
    try:
        while (one := _next_request(connection)) is not None:
            found.append(one)
    except h11.RemoteProtocolError:
        pass
    return found


def _next_request(connection: h11.Connection) -> Seen | None:
    request, body = None, b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            assert request is None, "the rest of a request is waited for"
            return None
    assert request is not None
    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    if connection.our_state is h11.DONE:
        connection.start_next_cycle()
    target = urlsplit(request.target.decode()).path
    return Seen(request.method.decode(), target, body)
