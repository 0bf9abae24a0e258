"""An application that remembers each request as the server read it, and names it in its answer."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from app.serving import serve_in_loop
from app.settings import Settings

NAME = b"x-request-seen"


@dataclass(frozen=True)
class Seen:
    method: str
    target: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(compare=False, default=())

    @property
    def name(self) -> str:
        return f"{self.method} {self.target}"


@dataclass
class Observer:
    """The requests that were read whole, in the order of their ends."""

    seen: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        body = await _body(receive)
        if body is None:
            return
        target = scope["raw_path"].decode()
        one = Seen(scope["method"], target, body, tuple(scope["headers"]))
        self.seen.append(one)
        length = b"%d" % len(body)
        headers = [(NAME, one.name.encode()), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    @contextlib.asynccontextmanager
    async def served(self, **settings: Any) -> AsyncIterator[int]:
        """The port of this application behind Paydue's own protocol and limits."""
        async with serve_in_loop(self, Settings.model_construct(**settings)) as base:
            yield int(base.rpartition(":")[2])


async def live(receive: Receive, send: Send) -> None:
    for _ in range(2):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


async def _body(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message["body"])
        if not message.get("more_body"):
            return body
