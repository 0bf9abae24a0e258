"""The commands that run until SIGTERM: serve, worker, sandbox."""

import asyncio
import contextlib
import signal
import socket
import sys

import click
import structlog

from app import serving
from app.cli.command_group import FAILED, on_signals, run, settings_and_logs
from app.cli.terminal import say
from app.connection_guard import ConnectionLimits
from app.node import ServedPart, assert_database_there, assert_key_set, open_stripe_node
from app.settings import Settings
from app.worker import Worker

# 0 is any free one; the first line of the log names it.
PORT = click.IntRange(0, 65_535)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=PORT, help="Port to listen on.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Server processes. One process fills one core; SQLite gains nothing from more.",
)
@click.option(
    "--only",
    "part",
    type=click.Choice([ServedPart.WEBHOOKS.value, ServedPart.API.value]),
    help="Serve one part alone: heavy requests of the API then never delay a webhook's process.",
)
def serve(host: str, port: int, workers: int, part: str | None) -> None:
    """Serve the webhook endpoint, the API and the console.

    Point Stripe at POST /stripe/webhook. Stops on SIGTERM after answering what it has accepted,
    and after PAYDUE_DRAIN. SIGHUP reads secrets and log level again, from the file .env.
    """
    served = ServedPart(part or ServedPart.EVERYTHING)
    settings = settings_and_logs()
    assert_key_set(settings)
    assert_database_there(settings)
    if served is not ServedPart.API and not settings.webhook_secrets:
        say("paydue: STRIPE_WEBHOOK_SECRET is not set: webhooks get 503", err=True)
    with contextlib.closing(serving.bound(host, port)) as listener:
        if workers == 1:
            run(_serve_one(settings, listener, served))
        else:
            _serve_many(settings, listener, workers, served)


async def _serve_one(settings: Settings, listener: socket.socket, part: ServedPart) -> None:
    app = serving.NodeApplication(settings, part)
    config = serving.server_config(app, limits=ConnectionLimits.of(settings))
    server = serving.Server(config, app, settings.drain)
    with contextlib.suppress(SystemExit):  # uvicorn's own exit code, for what its log has said
        await server.serve(sockets=[listener])
    if not server.started:
        sys.exit(FAILED)


def _serve_many(
    settings: Settings, listener: socket.socket, workers: int, part: ServedPart
) -> None:
    factory = serving.factory_name(part)
    limits = ConnectionLimits.of(settings)
    config = serving.server_config(factory, limits=limits, workers=workers)
    say(f"paydue: {workers} processes serve at {serving.url_of(listener)}", err=True)
    with serving.common_metrics():
        serving.Supervisor(config, [listener], settings.drain).run()


@click.command()
@click.option("--health-host", default="127.0.0.1", show_default=True, help="Its address.")
@click.option(
    "--health-port", type=PORT, help="Serve /healthz, /readyz and /metrics here; none by default."
)
def worker(health_host: str, health_port: int | None) -> None:
    """Run what is scheduled: autopay, templates, parked events, open attempts, reconciliation.

    Any number of workers may run on one database; each job is done by one at a time, and
    `paydue status` shows by which. SIGHUP reads secrets and log level again, from the file .env.
    """
    settings = settings_and_logs()

    async def work() -> None:
        stop = asyncio.Event()
        on_signals(stop)
        async with contextlib.AsyncExitStack() as open_parts:
            node = await open_parts.enter_async_context(open_stripe_node(settings, stop=stop))
            pages = serving.HealthApplication(node)
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, pages.reload)
            if health_port is not None:
                served = serving.serve_in_loop(pages, settings, host=health_host, port=health_port)
                url = await open_parts.enter_async_context(served)
                structlog.get_logger("paydue.worker").info("health pages served", url=url)
            await Worker(node).run()

    run(work())


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=12121, show_default=True, type=PORT)
@click.option("--webhook", help="Deliver signed events to this URL.")
@click.option("--secret", default="whsec_sandbox", show_default=True, help="The signing secret.")
@click.option("--pace", type=float, help="Requests/s the limiter allows per endpoint.")
@click.option("--latency", type=float, default=0.0, help="Seconds each call takes.")
def sandbox(
    host: str, port: int, webhook: str | None, secret: str, pace: float | None, latency: float
) -> None:
    """Serve a stateful stand-in for Stripe on this machine. No money moves.

    Set PAYDUE_STRIPE_API_BASE to its address and STRIPE_API_KEY to any sk_test_ key. Its controls
    (customers, faults, clock, ledger) are listed at its root page.
    """

    async def work() -> None:
        from app.sandbox.server import Sandbox

        stripe = Sandbox(rate_limit=pace, latency=latency)
        if webhook:
            stripe.add_endpoint(webhook, secrets=[secret], mode="auto")
        stop = asyncio.Event()
        on_signals(stop)
        async with stripe.running(port=port, host=host) as url:
            say(f"paydue: a Stripe stand-in answers at {url}", err=True)
            await stop.wait()

    run(work())
