"""Serves the web application: in this process, in several, or inside a running loop."""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import cast

import structlog
import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.supervisors import Multiprocess

from app import tracing
from app.connection_guard import ConnectionGuard, ConnectionLimits
from app.console.people.users import has_users
from app.errors import ConfigurationError, Unavailable
from app.http_protocol import LimitedProtocol
from app.node import Node, ServedPart, open_node
from app.settings import Settings
from app.storage.engines import Database

log = structlog.get_logger("paydue.serve")

# By it a supervisor tells its processes that they are about to be ended.
DRAIN_SIGNAL = signal.SIGUSR1
# SIGTERM: what was accepted is answered within this, well before an orchestrator kills.
FINISH_S = 8
# Reference counts free nearly all that a request makes. So many objects, a few megabytes, are made
# before the rest is looked for: as often as Python would, a twentieth of a busy server's time.
GARBAGE_AFTER = 50_000
# Connections the kernel holds while the process is busy; beyond them callers are refused at once.
BACKLOG = 2048


class NodeApplication:
    """The web application of a node that opens when the server begins the lifespan."""

    def __init__(self, settings: Settings, part: ServedPart = ServedPart.EVERYTHING) -> None:
        self._settings = settings
        self._part = part
        self._open = contextlib.AsyncExitStack()
        self._app: ASGIApp | None = None
        self._node: Node | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
            return
        assert self._app is not None, "a server begins the lifespan before it serves"
        await self._app(scope, receive, send)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            asyncio.get_running_loop().add_signal_handler(DRAIN_SIGNAL, self.begin_drain)
            node = await self._open.enter_async_context(open_node(self._settings))
            self._use(node)
            log.info("node open", **node.log_fields())
            await node.warn_of_risks()
            await say_how_to_sign_in(node.database)
        except Exception as error:
            log.error("cannot start", why=str(error))
            await self._open.aclose()  # the node may have been opened before it failed
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        # What is there now stays; looking through it for garbage again and again takes a tenth of
        # a busy server's time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_AFTER, 20, 20)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._open.aclose()
        # One of several processes ends without Python's own last calls.
        await asyncio.to_thread(tracing.finish)
        await send({"type": "lifespan.shutdown.complete"})

    def _use(self, node: Node) -> None:
        self._node = node
        self._app = node.web_application(self._part)

    def begin_drain(self) -> None:
        """Answer 503 at /readyz from now on, and go on serving."""
        if self._node is not None:
            log.info("draining", seconds=self._settings.drain)
            self._node.stop.set()

    def reload(self) -> None:
        """Serve the next requests by the secrets and the log level as they are set now."""
        if self._node is not None:
            self._use(self._node.reload())


class HealthApplication:
    """The health pages of a node that serves nothing else, which may be told to read settings."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._app = node.health_application()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def reload(self) -> None:
        """Work by the secrets and the log level as they are set now."""
        self._node = self._node.reload()
        self._app = self._node.health_application()


async def say_how_to_sign_in(database: Database) -> None:
    """The console of a new installation has nobody who could open it."""
    async with database.snapshot() as tx:
        if not await has_users(tx):
            log.info("nobody can sign in to the console", mend="paydue user add NAME --role admin")


def application_from_environment(part: ServedPart = ServedPart.EVERYTHING) -> NodeApplication:
    """Each of several server processes makes its own application, from the same settings."""
    from app.logs import configure

    settings = Settings()
    configure(settings)
    tracing.configure()
    return NodeApplication(settings, part)


def webhooks_from_environment() -> NodeApplication:
    return application_from_environment(ServedPart.WEBHOOKS)


def api_from_environment() -> NodeApplication:
    return application_from_environment(ServedPart.API)


# By its name uvicorn finds in each process what makes the application there.
FACTORY_OF = {
    ServedPart.EVERYTHING: application_from_environment,
    ServedPart.WEBHOOKS: webhooks_from_environment,
    ServedPart.API: api_from_environment,
}


def factory_name(part: ServedPart) -> str:
    return f"{__name__}:{FACTORY_OF[part].__name__}"


class Server(uvicorn.Server):
    """uvicorn, but SIGTERM drains and ends in exit code 0, and SIGHUP reads secrets again."""

    def __init__(self, config: uvicorn.Config, app: NodeApplication, drain_s: int) -> None:
        super().__init__(config)
        self._app = app
        self._drain_s = drain_s
        self._is_draining = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            log.info("serving", url=url_of(sockets[0]))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.handle_exit, signal.SIGINT, None)
        loop.add_signal_handler(signal.SIGTERM, self._drain)
        loop.add_signal_handler(signal.SIGHUP, self._app.reload)
        try:
            yield
        finally:
            for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(name)

    def _drain(self) -> None:
        """Close the port after the drain; at once where none is wanted, and at a second SIGTERM."""
        if self._is_draining or not self._drain_s:
            self.handle_exit(signal.SIGTERM, None)
            return
        self._is_draining = True
        self._app.begin_drain()
        loop = asyncio.get_running_loop()
        loop.call_later(self._drain_s, self.handle_exit, signal.SIGTERM, None)


class Supervisor(Multiprocess):
    """Several server processes on one port. SIGTERM drains all of them before it ends them.

    SIGHUP replaces them one after the other, each by one that has read the settings again.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], drain_s: int) -> None:
        super().__init__(config, sockets)
        self._drain_s = drain_s
        self._is_draining = False

    def keep_subprocess_alive(self) -> None:
        """A process that died no longer holds what it said it held."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            # prometheus_client has no types for processes of several.
            mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def handle_term(self) -> None:
        if self._is_draining or not self._drain_s:
            super().handle_term()
            return
        self._is_draining = True
        for process in self.processes:
            if process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, DRAIN_SIGNAL)
        threading.Timer(self._drain_s, self.should_exit.set).start()


class InnerServer(uvicorn.Server):
    """uvicorn inside somebody else's process: signals are theirs, and it is told when to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()

    async def main_loop(self) -> None:
        await self.stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def common_metrics() -> Iterator[None]:
    """Processes that are started meanwhile count together: whichever is scraped tells of all."""
    with tempfile.TemporaryDirectory(prefix="paydue-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def server_config(
    app: ASGIApp | str, *, limits: ConnectionLimits, workers: int = 1
) -> uvicorn.Config:
    # Each of several processes unpickles a guard of its own, before the first connection.
    protocol = partial(LimitedProtocol, ConnectionGuard(limits))
    return uvicorn.Config(
        app,
        workers=workers,
        factory=isinstance(app, str),
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nothing of ours asks who the client is
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=FINISH_S,
    )


def bound(host: str, port: int) -> socket.socket:
    """A listening socket; Unavailable, with the mend, where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            said = f"port {port} of {host} is taken by another program; choose one with --port"
        elif error.errno == errno.EACCES:
            said = f"port {port} needs more rights than this user has; choose one above 1023"
        else:
            said = f"cannot listen on {host}, port {port}: {error.strerror}; see --host and --port"
        raise Unavailable(said) from None
    # asyncio sets this only on sockets that name their protocol; without it answers wait 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.set_inheritable(True)  # `--workers` shares it among processes
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def serve_in_loop(
    app: ASGIApp, settings: Settings | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serves an application inside the running loop, within limits; yields its base URL."""
    limits = ConnectionLimits.of(settings or Settings.model_construct())
    listener = bound(host, port)
    server = InnerServer(server_config(app, limits=limits))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  uvicorn has no event
            await asyncio.sleep(0.005)
        if task.done():
            await task
            raise ConfigurationError("the service could not start; its log says why")
        yield url_of(listener)
    finally:
        server.stopping.set()
        await task
        listener.close()
