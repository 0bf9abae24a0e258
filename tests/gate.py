"""A gate in front of Stripe: requests wait at it until the test has done what must come first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.sandbox.server import Sandbox
from app.sandbox.transport import asgi_server
from tests.patience import wait_limit

PATIENCE_S = wait_limit(20)


@dataclass
class Held:
    """Requests of one method whose path has one ending; they wait until they are let go."""

    method: str
    ending: str
    paths: list[str] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    async def came(self) -> None:
        """Returns once the first such request has come."""
        async with asyncio.timeout(PATIENCE_S):
            await self._came.wait()

    def let_go(self) -> None:
        self._open.set()

    def matches(self, scope: Scope) -> bool:
        return bool(scope["method"] == self.method and scope["path"].endswith(self.ending))

    async def wait(self, path: str) -> None:
        self.paths.append(path)
        self._came.set()
        await self._open.wait()


class Gate:
    """An ASGI application that passes requests on to Stripe, some of them later."""

    def __init__(self, stripe: ASGIApp) -> None:
        self.url = ""
        self._stripe = stripe
        self._held: list[Held] = []
        self._answers: dict[str, tuple[int, bytes]] = {}

    def hold(self, method: str, ending: str) -> Held:
        held = Held(method, ending)
        self._held.append(held)
        return held

    def answer(self, ending: str, body: bytes, status: int = 200) -> None:
        """From now on, requests whose path has this ending get this body, whatever it is."""
        self._answers[ending] = (status, body)

    def let_all_go(self) -> None:
        for held in self._held:
            held.let_go()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # the sandbox behind it has been started already
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        for held in self._held:
            if held.matches(scope):
                await held.wait(scope["path"])
        for ending, (status, body) in self._answers.items():
            if scope["path"].endswith(ending):
                await Response(body, status, media_type="application/json")(scope, receive, send)
                return
        await self._stripe(scope, receive, send)


@contextlib.asynccontextmanager
async def gated(sandbox: Sandbox) -> AsyncIterator[Gate]:
    """Another address of a running sandbox. Nobody waits at the gate past its end."""
    gate = Gate(sandbox.app)
    async with asgi_server.serve(gate, 0, "127.0.0.1") as gate.url:
        try:
            yield gate
        finally:
            gate.let_all_go()
