"""A served Paydue: opens the database and the inbox, answers requests, closes in order."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import ConfigurationError
from app.main import create_app
from app.payments.webhook import endpoint
from app.payments.webhook.endpoint import WebhookEndpoint
from app.payments.webhook.inbox import Inbox
from app.settings import Settings
from app.storage import schema
from app.storage.engines import Database

log = structlog.get_logger("paydue.serve")

# SIGTERM: what was accepted is answered within this, well before an orchestrator kills.
FINISH_S = 8
# Connections the kernel holds while the process is busy; beyond them callers are refused at once.
BACKLOG = 2048


@contextlib.asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[tuple[Database, str]]:
    """The database with its schema up to date, and the installation's name."""
    assert_key_set(settings)
    database = Database(settings.database_url)
    try:
        if settings.upgrade_on_start:
            await schema.upgrade(database)
        else:
            await schema.expect_current(database)
        yield database, await schema.installation(database)
    finally:
        await database.close()


def assert_key_set(settings: Settings) -> None:
    """Without a key nothing of ours may talk to the live API, not even by mistake."""
    if settings.talks_to_stripe_itself and not settings.api_key:
        raise ConfigurationError(
            "STRIPE_API_KEY is not set. Set it to Stripe's secret key, or PAYDUE_STRIPE_API_BASE "
            "to another Stripe-shaped server (`paydue sandbox` starts one)."
        )


class WebhookRouter:
    """Stripe's deliveries go straight to the webhook, everything else through the application."""

    def __init__(self, receiver: WebhookEndpoint, app: ASGIApp) -> None:
        self._receiver = receiver
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_delivery = scope["type"] == "http" and scope["path"] in endpoint.PATHS
        if is_delivery and scope["method"] == "POST":
            await self._receiver(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@contextlib.asynccontextmanager
async def web_application(settings: Settings) -> AsyncIterator[ASGIApp]:
    """The whole web application, ready to be served."""
    async with open_database(settings) as (database, installation):
        inbox = Inbox(database, installation)
        try:
            receiver = WebhookEndpoint(settings, inbox)
            app = create_app(settings, database, extra_routes=endpoint.webhook_routes(receiver))
            yield WebhookRouter(receiver, app)
        finally:
            await inbox.close()


class Service:
    """The application as a server's worker process starts it: it opens when its lifespan begins."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = contextlib.AsyncExitStack()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        assert self._app is not None, "a server begins the lifespan before it serves"
        await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._app = await self._open.enter_async_context(web_application(self._settings))
        except Exception as error:
            log.error("cannot start", why=str(error))
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        # What is there now stays; looking through it for garbage again and again takes a tenth of
        # a busy server's time.
        gc.collect()
        gc.freeze()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._open.aclose()
        await send({"type": "lifespan.shutdown.complete"})


def from_environment() -> Service:
    """What each of several server processes calls."""
    from app.logs import configure

    settings = Settings()
    configure(settings)
    return Service(settings)


class Server(uvicorn.Server):
    """uvicorn, but a SIGTERM that was obeyed ends in exit code 0, not in the signal once more."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self.handle_exit, name, None)
        try:
            yield
        finally:
            for name in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(name)


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


def server_config(app: ASGIApp | str, host: str, port: int, *, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        workers=workers,
        factory=isinstance(app, str),
        http="httptools",
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


@contextlib.asynccontextmanager
async def serve_in_loop(
    app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serves an application inside the running loop; yields its base URL."""
    listener = socket.create_server((host, port), backlog=BACKLOG)
    # asyncio sets this only on sockets that name their protocol; without it answers wait 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = InnerServer(server_config(app, host, port))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  uvicorn has no event
            await asyncio.sleep(0.005)
        if task.done():
            await task
            raise ConfigurationError("the service could not start; its log says why")
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.stopping.set()
        await task
        listener.close()
