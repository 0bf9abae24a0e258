"""Hostile connections, from a process of their own that Stripe's deliveries need not wait for.

    python tests/edge/attackers.py PORT CONNECTIONS [KIND ...]

Whoever is closed comes back, until stdin ends; then all wait to be closed. A line is printed once
each has had its first turn.
"""

import asyncio
import contextlib
import os
import select
import socket
import sys
import time

# Between an end and the next connection of the same attacker.
RETURNS_AFTER_S = 0.5
# So little of an answer fits into a reader's side that the rest stays with the server.
RECEIVE_BUFFER = 4096
# Whoever started the attack ends it sooner, or is gone.
ORPHANED_S = 150
MEBIBYTE = 1024 * 1024


def half_head() -> bytes:
    """Of the size that a head may have, nearly all."""
    return b"POST /stripe/webhook HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 47_000


def half_body() -> bytes:
    """A signature that may be right, so the body is waited for."""
    signature = f"t={int(time.time())},v1={'0' * 64}".encode()
    head = b"Host: x\r\nStripe-Signature: %b\r\nContent-Length: %d\r\n\r\n" % (signature, MEBIBYTE)
    return b"POST /stripe/webhook HTTP/1.1\r\n" + head + b"x" * (MEBIBYTE - 1024)


def no_reader() -> bytes:
    """Of the answers that anybody gets, the two longest, as often as may be asked at once."""
    paths = (b"/api/docs/swagger-ui-bundle.js", b"/api/openapi.json")
    return b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % one for one in paths) * 4


def header_flood() -> bytes:
    return b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000


KINDS = {one.__name__: one for one in (half_head, half_body, no_reader, header_flood)}


async def attack(port: int, connections: int, kinds: list[str]) -> None:
    over, turns = asyncio.Event(), asyncio.Semaphore(0)
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(_attacker(port, kinds[number % len(kinds)], over, turns))
        for _ in range(connections):
            await turns.acquire()
        print("attacking", flush=True)
        await over.wait()
        asyncio.get_running_loop().remove_reader(sys.stdin)
        asyncio.get_running_loop().call_later(ORPHANED_S, os._exit, 1)


async def _attacker(port: int, kind: str, over: asyncio.Event, turns: asyncio.Semaphore) -> None:
    while not over.is_set():
        with socket.socket() as own:
            with contextlib.suppress(OSError, TimeoutError):
                await _said(own, port, KINDS[kind]())
            turns.release()
            with contextlib.suppress(OSError):
                await _closed(own)
        await asyncio.sleep(RETURNS_AFTER_S)


async def _said(own: socket.socket, port: int, said: bytes) -> None:
    """As much of it as the server takes within two seconds."""
    loop = asyncio.get_running_loop()
    own.setblocking(False)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    await loop.sock_connect(own, ("127.0.0.1", port))
    async with asyncio.timeout(2):
        await loop.sock_sendall(own, said)


async def _closed(own: socket.socket) -> None:
    """The kernel tells of a hang-up without anybody reading what came before it."""
    poll = select.poll()
    poll.register(own, select.POLLRDHUP)
    while not poll.poll(0):  # noqa: ASYNC110  the loop tells of a hang-up only to who reads
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(attack(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or list(KINDS)))
