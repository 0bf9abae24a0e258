"""The corpus through nginx, HAProxy and Caddy: what each forwards is what Paydue reads, once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.edge.corpus import CASES, HOST, Case
from tests.edge.observer import Observer
from tests.edge.proxies import NGINX, PASSES_UPGRADES_ON, PROXIES, RunningProxy
from tests.edge.test_smuggling import SENTINEL
from tests.edge.wire import answered, exchange
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio
AT_ONCE = 24
INNOCENT = (
    b"POST /innocent/%d HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 5\r\n\r\n"
)


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture(
    params=[*((one, None) for one in PROXIES), (NGINX, PASSES_UPGRADES_ON)],
    ids=[*(one.program for one in PROXIES), "nginx that passes upgrades on"],
)
async def proxy(
    request: pytest.FixtureRequest, observer: Observer, tmp_path: Path
) -> AsyncIterator[RunningProxy]:
    chosen, block = request.param
    if not chosen.is_installed:
        absent(f"no {chosen.program}: apt-get install {chosen.program}")
    async with observer.served() as port:
        with chosen.before(port, tmp_path, block) as running:
            yield running


async def test_what_is_forwarded_is_read_once_and_answered_to_its_sender(
    observer: Observer, proxy: RunningProxy
) -> None:
    done = asyncio.Event()
    innocents = asyncio.create_task(send_innocents(proxy.port, done))

    received = await send_corpus(proxy.port)
    done.set()
    strayed = await innocents
    await until_logged(observer, proxy)

    names = Counter(one.name for one in observer.seen)
    forwarded = proxy.forwarded()
    assert strayed == []
    assert [one for one in forwarded if not one.is_the_same] == []
    assert Counter(one.seen for one in forwarded) == names
    assert [name for name, count in names.items() if count > 1] == []
    assert [number for number in received if is_foreign(number, received[number])] == []
    assert unlike_the_corpus(observer) == []


async def send_corpus(port: int) -> dict[int, list[str]]:
    """Every case on a connection of its own; the names of the answers that came back on it."""
    room = asyncio.Semaphore(AT_ONCE)

    async def sent(number: int, case: Case) -> list[str]:
        async with room:
            return answered(await exchange(port, case.raw + SENTINEL % number, quiet_s=0.5))

    answers = await asyncio.gather(*(sent(*one) for one in enumerate(CASES)))
    return dict(enumerate(answers))


async def send_innocents(port: int, done: asyncio.Event) -> list[bytes]:
    """Requests among the others, which share their connections to Paydue; the wrong answers."""
    strayed, number = [], 0
    while not done.is_set() or number < 50:
        received = await exchange(port, INNOCENT % number + b"mine!")
        if answered(received) != [f"POST /innocent/{number}"] or not received.endswith(b"mine!"):
            strayed.append(received)
        number += 1
    return strayed


async def until_logged(observer: Observer, proxy: RunningProxy) -> None:
    """A proxy writes its line after the answer."""
    for _ in range(int(wait_limit(50))):
        if len(proxy.forwarded()) == len(observer.seen):
            return
        await asyncio.sleep(0.1)


def is_foreign(number: int, answers: list[str]) -> bool:
    return any(f"/{number:03}" not in one for one in answers)


def unlike_the_corpus(observer: Observer) -> list[str]:
    """Requests whose bodies are other ones than Paydue reads when nobody stands between."""
    direct = {
        f"{method} {target}": body for case in CASES for method, target, body in case.believed
    }
    return [
        one.name for one in observer.seen if one.name in direct and one.body != direct[one.name]
    ]
