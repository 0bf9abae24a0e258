"""Bytes sent on a connection of their own, and the bytes that come back."""

import asyncio
import contextlib
from collections.abc import Iterable

from tests.edge.observer import NAME
from tests.patience import wait_limit


async def exchange(port: int, *parts: bytes, quiet_s: float = 5) -> bytes:
    """What is answered until the server closes, or says nothing for so long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        with contextlib.suppress(ConnectionError, TimeoutError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            while more := await asyncio.wait_for(reader.read(65536), wait_limit(quiet_s)):
                received += more
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return received


def answered(received: bytes) -> list[str]:
    """The names of the requests whose answers came back, in order."""
    lines: Iterable[bytes] = received.split(b"\r\n")
    start = NAME + b": "
    return [one[len(start) :].decode() for one in lines if one.lower().startswith(start)]
