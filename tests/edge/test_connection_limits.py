"""Every limit of a connection: its head, its bodies, its time, its company; and what is logged."""

import asyncio
import contextlib
import gc
import logging
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from app.connection_guard import ConnectionLimits, _peer_key
from app.http_protocol import HEAD_MAX, HEADERS_MAX, PIPELINED_MAX, LimitedProtocol
from app.serving import serve_in_loop
from app.settings import Settings
from tests.edge.corpus import CHUNKED, FIVE, HOST, post
from tests.edge.observer import Observer, live
from tests.edge.wire import answered, exchange
from tests.harness import Paydue, signed
from tests.patience import wait_limit

pytestmark = pytest.mark.anyio
GET = b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /1 HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
HALF_HEAD = b"GET /half HTTP/1.1\r\nX: "
HALF_BODY = b"POST /half HTTP/1.1\r\n" + FIVE + b"\r\nhel"
FLOOD = b"GET /1 HTTP/1.1\r\n" + b"A: b\r\n" * 200
LARGE = 32 * 1024 * 1024
# What Paydue lets wait, what is under way to so small a reader, and a segment of loopback's.
KERNEL_KEEPS_MAX = 256 * 1024


@pytest.fixture
def observer() -> Observer:
    return Observer()


@contextlib.asynccontextmanager
async def opened(port: int, *parts: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A connection that said this much and stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def writer_of(reader: asyncio.StreamReader) -> asyncio.WriteTransport:
    transport: asyncio.WriteTransport = reader._transport  # type: ignore[attr-defined]
    return transport


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes before the server closes."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), wait_limit(15))
    return b""


def status(received: bytes) -> int | None:
    return int(received.split()[1]) if received else None


# --- one request -----------------------------------------------------------------------------


async def test_the_body_of_an_ignored_upgrade_is_a_body_in_whatever_segment_it_comes(
    observer: Observer,
) -> None:
    headers = HOST + b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: %d\r\n"
    smuggled = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
    async with (
        observer.served() as port,
        opened(port, post(headers % len(smuggled), b"")) as reader,
    ):
        await exchange(port, LAST)  # whoever came before has been read by now
        writer_of(reader).write(smuggled)
        answer = await asyncio.wait_for(reader.readuntil(smuggled), wait_limit(10))

    assert answered(answer) == ["POST /<n>"]
    assert [one.body for one in observer.seen] == [b"", smuggled]


@pytest.mark.parametrize(
    ("flood", "reason"),
    [
        ([b"a" * 65536] * 40, "head too large"),
        ([b"\r\n", *[b"A: b\r\n" * 11000] * 40], "head too large"),
        ([b"\r\n" + b"A: b\r\n" * (HEADERS_MAX + 1)], "head too large"),
        ([b"\r\n X: " * 10], "malformed request"),
    ],
    ids=["one value", "many lines", "a line too many", "folded lines"],
)
async def test_a_flood_of_headers_is_cut_off(
    observer: Observer, flood: list[bytes], reason: str
) -> None:
    before = refused(reason)
    async with observer.served() as port:
        await exchange(port, HALF_HEAD, *flood)

    assert refused(reason) == before + 1
    assert observer.seen == []


@pytest.mark.parametrize("raw", [FLOOD, b"GARBAGE\r\n\r\n"], ids=["flood", "garbage"])
async def test_a_refused_connection_leaves_nothing_behind(observer: Observer, raw: bytes) -> None:
    async with observer.served() as port:
        for _ in range(3):
            await exchange(port, raw)
        for _ in range(int(wait_limit(100))):
            if not protocols():
                break
            await asyncio.sleep(0.05)

        assert protocols() == 0


def protocols() -> int:
    """Connections whose memory is still held by something."""
    gc.collect()
    return sum(isinstance(one, LimitedProtocol) for one in gc.get_objects())


async def test_a_head_of_the_largest_size_is_read(observer: Observer) -> None:
    head = b"GET /1 HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (HEAD_MAX - 200) + b"\r\n\r\n"
    async with observer.served() as port:
        received = await exchange(
            port,
            head[:1000],
            head[1000:],
            LAST,
        )

    assert answered(received) == ["GET /1", "GET /1"]


async def test_a_larger_head_is_refused_also_when_it_comes_whole(observer: Observer) -> None:
    head = b"GET /1 HTTP/1.1\r\n" + HOST + b"X: " + b"a" * HEAD_MAX + b"\r\n\r\n"
    async with observer.served() as port:
        received = await exchange(port, head)

    assert status(received) == 431


async def test_whoever_says_no_more_is_closed(observer: Observer) -> None:
    said = (b"", HALF_HEAD, HALF_BODY, GET, GET + HALF_HEAD)
    async with (
        observer.served(head_timeout=1, body_timeout=1, idle_timeout=1) as port,
        contextlib.AsyncExitStack() as stack,
    ):
        readers = [await stack.enter_async_context(opened(port, one)) for one in said]
        received = await asyncio.gather(*(rest(one) for one in readers))

    assert [status(one) for one in received] == [None, 408, 408, 200, 200]


@pytest.mark.slow
async def test_a_body_that_paydue_itself_does_not_read_is_not_late() -> None:
    let_go = asyncio.Event()

    async def slow_reader(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await let_go.wait()
            while (await receive()).get("more_body"):
                pass
        await answered_with(5, scope, receive, send)

    body = bytes(8 * 1024 * 1024)  # more than the server and the kernel take before it is read
    head = post(HOST + b"Content-Length: %d\r\n" % len(body), b"")
    settings = Settings.model_construct(body_timeout=1, body_max=len(body))
    async with (
        serve_in_loop(slow_reader, settings) as base,
        opened(int(base.rpartition(":")[2]), head) as reader,
    ):
        writer_of(reader).write(body)
        await asyncio.sleep(3.5)  # its deadline is two sweeps away
        let_go.set()
        answer = await asyncio.wait_for(reader.readline(), wait_limit(15))

    assert status(answer) == 200


async def test_a_body_of_many_bytes_on_the_wire_is_cut_off(observer: Observer) -> None:
    extension = b"1;" + b"x" * 8000 + b"\r\na\r\n"
    before = refused("body too large")
    async with observer.served(body_max=1024) as port:
        await exchange(port, post(CHUNKED, b""), *[extension] * 40)

    assert refused("body too large") == before + 1
    assert observer.seen == []


async def test_a_trailer_is_no_header(observer: Observer) -> None:
    raw = post(CHUNKED, b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    async with observer.served() as port:
        await exchange(port, raw, LAST)

    assert [name for name, _ in observer.seen[0].headers] == [b"host", b"transfer-encoding"]


# --- answers in their order ------------------------------------------------------------------


async def test_a_refusal_is_never_taken_for_an_earlier_answer(observer: Observer) -> None:
    async with observer.served() as port:
        received = await exchange(port, GET + b"GARBAGE\r\n\r\n")

    assert received.count(b"HTTP/1.1 ") == 1
    assert answered(received) == ["GET /1"]


async def test_the_connection_ends_after_the_answers_to_those_before_a_refused_one(
    observer: Observer,
) -> None:
    async with observer.served() as port, opened(port, GET + b"GARBAGE\r\n\r\n") as reader:
        received = await rest(reader)

    assert answered(received) == ["GET /1"]


async def test_few_requests_may_wait_for_their_turn(observer: Observer) -> None:
    async with observer.served() as port:
        received = await exchange(port, GET * 1000)

    assert answered(received) == ["GET /1"] * (PIPELINED_MAX + 1)


# --- many connections ------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", HALF_HEAD, HALF_BODY], ids=["silent", "head", "body"])
async def test_the_connection_that_waits_longest_gives_way(observer: Observer, said: bytes) -> None:
    async with (
        observer.served(connections_max=2) as port,
        opened(port, said) as oldest,
        opened(port, HALF_HEAD),
    ):
        received = [await exchange(port, LAST) for _ in range(3)]

        assert [answered(one) for one in received] == [["GET /1"]] * 3
        assert await rest(oldest) == b""


async def test_an_idle_connection_gives_way_where_nobody_waits(observer: Observer) -> None:
    async with observer.served(connections_max=1) as port, opened(port, GET) as idle:
        await idle.readuntil(b"\r\n\r\n")

        assert answered(await exchange(port, LAST)) == ["GET /1"]
        assert await rest(idle) == b""


@pytest.mark.parametrize("said", [GET, GET + HALF_HEAD], ids=["alone", "before half a request"])
async def test_an_answer_that_is_being_made_gives_way_to_nobody(said: bytes) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def slow_answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            begun.set()
            await let_go.wait()
        await answered_with(5, scope, receive, send)

    settings = Settings.model_construct(connections_max=1)
    async with serve_in_loop(slow_answer, settings) as base:
        port = int(base.rpartition(":")[2])
        async with opened(port, said) as reader:
            await begun.wait()
            newcomer = await exchange(port, LAST)
            let_go.set()
            made = await reader.readline()

    assert (status(newcomer), status(made)) == (503, 200)


async def test_an_answer_that_nobody_reads_gives_way() -> None:
    settings = Settings.model_construct(connections_max=1)
    async with serve_in_loop(large_answer, settings) as base:
        port = int(base.rpartition(":")[2])
        async with opened(port, GET) as unread:
            await unread.readuntil(b"\r\n\r\n")
            async with opened(port, GET) as another:
                taken = await another.readline()
            received = await rest(unread)

    assert status(taken) == 200
    assert len(received) < LARGE


async def test_one_address_gets_so_many_connections(observer: Observer) -> None:
    limits: dict[str, Any] = {"peer_connections_max": 2, "proxies": "10.0.0.0/8"}
    async with observer.served(**limits) as port:
        async with opened(port, HALF_HEAD), opened(port, HALF_HEAD):
            third = await exchange(port)
        taken = await eventually_answered(port)

    assert status(third) == 503
    assert taken


async def eventually_answered(port: int) -> bool:
    """A closed connection is counted until the server has heard of its end."""
    for _ in range(200):
        if answered(await exchange(port, LAST)):
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("10.1.2.3", None),
        ("::ffff:10.1.2.3", None),
    ],
)
def test_a_host_is_an_address_or_a_64_of_ipv6_and_a_proxy_is_none(
    address: str, host: str | None
) -> None:
    assert _peer_key(address, (ip_network("10.0.0.0/8"),)) == host


async def test_a_proxy_has_as_many_connections_as_it_likes(observer: Observer) -> None:
    limits: dict[str, Any] = {"peer_connections_max": 1}
    async with observer.served(**limits) as port, opened(port, HALF_HEAD), opened(port, HALF_HEAD):
        assert answered(await exchange(port, LAST)) == ["GET /1"]


async def test_the_oldest_unfinished_body_is_given_up_for_newer_ones(observer: Observer) -> None:
    part = post(HOST + b"Content-Length: 9000\r\n", b"x" * 8000)
    limits = {"body_max": 9000, "unfinished_bodies_max": 20_000}
    async with (
        observer.served(**limits) as port,
        opened(port, part) as oldest,
        opened(port, part),
        opened(port, part),
    ):
        assert await rest(oldest) == b""
        assert answered(await exchange(port, LAST)) == ["GET /1"]


def test_connections_leave_descriptors_over() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
    try:
        limits = ConnectionLimits.of(Settings.model_construct(connections_max=5000))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert limits.connections_max < 1000


@pytest.mark.parametrize("size", [20_000, LARGE], ids=["the kernel has it whole", "large"])
async def test_whoever_takes_no_answer_is_cut_off_and_the_kernel_keeps_none_of_it(
    size: int,
) -> None:
    before = cut_off()
    settings = Settings.model_construct(body_timeout=1)
    async with serve_in_loop(answering(size), settings) as base:
        port = int(base.rpartition(":")[2])
        with unread(port):
            kept: list[int] = []
            for _ in range(int(wait_limit(200))):
                kept += kept_by_kernel(port)
                if cut_off() > before:
                    break
                await asyncio.sleep(0.05)
            await asyncio.sleep(0)  # the transport closes its socket a turn of the loop later
            for _ in range(20):
                if not kept_by_kernel(port):
                    break
                await asyncio.sleep(0.05)
            left = kept_by_kernel(port)

    assert cut_off() == before + 1
    assert 0 < max(kept) < KERNEL_KEEPS_MAX
    assert left == []


@contextlib.contextmanager
def unread(port: int) -> Iterator[None]:
    """A client that asks, reads nothing, and has little room for what comes."""
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.connect(("127.0.0.1", port))
        own.sendall(GET)
        yield


def kept_by_kernel(port: int) -> list[int]:
    """Bytes that wait in each of the server's connections, those that it has closed among them."""
    lines = [one.split() for one in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    own = [one for one in lines if one[1].endswith(f":{port:04X}") and not one[2].endswith(":0000")]
    return [int(one[4].partition(":")[0], 16) for one in own]


async def large_answer(scope: Scope, receive: Receive, send: Send) -> None:
    await answered_with(LARGE, scope, receive, send)


def answering(size: int) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await answered_with(size, scope, receive, send)

    return answer


async def answered_with(size: int, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    headers = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(size)})


def cut_off() -> float:
    return refused("answer not taken")


def refused(reason: str) -> float:
    labels = {"reason": reason}
    return REGISTRY.get_sample_value("paydue_connections_refused_total", labels) or 0


# --- the webhook, and the log ----------------------------------------------------------------


HOPELESS = {
    "missing": None,
    "stale": "t=1,v1=" + "0" * 64,
    "without a number": "t=now",
    "without t": "v1=" + "0" * 64,
    "malformed": f"t={int(time.time())},v1=short",
}
# The database is not asked.
on_one_engine = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_one_engine
async def test_a_hopeless_signature_is_refused_before_the_body_is_read(paydue: Paydue) -> None:
    found = {}
    for name, signature in HOPELESS.items():
        line = f"Stripe-Signature: {signature}\r\n" if signature else ""
        headers = HOST + line.encode() + b"Content-Length: 500000\r\n"
        head = post(headers, b"", b"POST /stripe/webhook HTTP/1.1")
        async with opened(int(paydue.url.rpartition(":")[2]), head) as reader:
            answer = await asyncio.wait_for(reader.readline(), wait_limit(10))
        found[name] = status(answer)

    assert found == dict.fromkeys(HOPELESS, 400)


@on_one_engine
async def test_a_body_is_waited_for_where_the_signature_may_be_right(paydue: Paydue) -> None:
    body = b'{"id": "evt_1", "object": "event"}'
    headers = HOST + f"Stripe-Signature: {signed(body)}\r\n".encode()
    head = post(
        headers + b"Content-Length: %d\r\n" % len(body), b"", b"POST /stripe/webhook HTTP/1.1"
    )

    async with opened(int(paydue.url.rpartition(":")[2]), head) as reader:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.2)


@pytest.mark.parametrize(
    "raw",
    [b"GARBAGE\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\n" + HOST + b"\r\n"],
    ids=["garbage", "connect"],
)
async def test_a_flood_of_refusals_is_one_line_of_the_log(
    observer: Observer, caplog: pytest.LogCaptureFixture, raw: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    async with observer.served() as port:
        before = len(caplog.records)
        with capture_logs() as lines:
            for _ in range(50):
                await exchange(port, raw)
        during = caplog.records[before:]

    assert len(lines) == 1
    assert [one for one in during if one.name.startswith("uvicorn")] == []


async def test_an_upgrade_is_nothing_to_log(
    observer: Observer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upgrade = b"GET /1 HTTP/1.1\r\n" + HOST + b"Connection: close, Upgrade\r\nUpgrade: x\r\n\r\n"
    async with observer.served() as port:
        before = len(caplog.records)
        with capture_logs() as lines:
            await exchange(port, upgrade)
        during = caplog.records[before:]

    assert lines == []
    assert [one for one in during if one.name.startswith("uvicorn")] == []
