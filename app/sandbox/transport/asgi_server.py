"""Serves an ASGI app inside a running event loop, without signals; it stops within a second."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.sandbox.transport.http_messages import TRANSPORT

_LAST_ANSWERS_SECONDS = 0.5


class BreakableProtocol(HttpToolsProtocol):
    """Gives the app its connection, so that a fault can really break it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


class EmbeddedServer(uvicorn.Server):
    """Stops on an event, where uvicorn polls ten times a second and listens for signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self.ready.set()
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, late = await asyncio.wait(self.server_state.tasks, timeout=_LAST_ANSWERS_SECONDS)
            for task in late:
                task.cancel()
        await self.lifespan.shutdown()


def config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BreakableProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level=None,
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=60,
    )


@asynccontextmanager
async def serve(app: ASGIApp, port: int, host: str) -> AsyncIterator[str]:
    """The base URL while the app is being served; port 0 takes a free one."""
    listener = socket.create_server((host, port), backlog=1024)
    # asyncio sets this only on sockets that name their protocol; without it answers wait 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = EmbeddedServer(config(app))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            raise RuntimeError("the sandbox did not start")
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.stopping.set()
        ready.cancel()
        with suppress(asyncio.CancelledError):
            await task
        listener.close()
