"""The group of all commands: it reads the settings, and turns errors into words and exit codes.

It imports little, so that `paydue --version` and a mistyped command are answered at once.
"""

import contextlib
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from app.cli import commands

if TYPE_CHECKING:
    import asyncio

    from app.settings import Settings

T = TypeVar("T")

# Exit codes: 0 done, 1 could not be done now, 2 asked wrongly or configured wrongly; as shells have
# it, 128 and the signal's number where SIGTERM ended the command.
FAILED, MISUSED = 1, 2
TERMINATED = 128 + signal.SIGTERM


class Paydue(click.Group):
    """An error that we foresee ends in one line on stderr; any other shows its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_as_words():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return commands.names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return commands.load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:  # click suggests none that is not imported yet
            raise click.NoSuchCommand(
                error.command_name, possibilities=commands.names(), ctx=ctx
            ) from None


@click.group(
    cls=Paydue,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from the environment or a file .env; `paydue doctor` checks them.",
)
@click.version_option(package_name="paydue", prog_name="paydue")
def paydue() -> None:
    """Stripe webhooks become payments, due invoices are charged once, support finds them.

    New here? `paydue demo` shows the whole of it on this machine, without Stripe and without
    settings.
    """


@contextlib.contextmanager
def _errors_as_words() -> Iterator[None]:
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        from app.cli import error_words
        from app.cli.terminal import say

        found = error_words.words_of(error)
        if found is None:
            raise
        for line in found.text.split("\n"):
            say(f"paydue: {line}", err=True)
        sys.exit(found.exit_code)


def settings_and_logs() -> "Settings":
    """The settings, with logging and traces set up as they say. Every command begins here."""
    from app import tracing
    from app.cli.terminal import say
    from app.logs import configure
    from app.settings import Settings, unknown_settings

    settings = Settings()
    configure(settings)
    for one in unknown_settings():
        say(f"paydue: {one}", err=True)
    tracing.configure()
    return settings


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on the fastest loop this platform has.

    A SIGTERM that the command does not take itself ends it as Ctrl-C does: what it opened is
    closed, temporary folders are removed.
    """
    import asyncio

    is_terminated = False

    async def until_terminated() -> T:
        def terminate() -> None:
            nonlocal is_terminated
            is_terminated = True
            task.cancel()

        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await task

    try:
        return _loop_run(until_terminated())
    except asyncio.CancelledError:
        if not is_terminated:
            raise
        sys.exit(TERMINATED)


def _loop_run(work: Coroutine[Any, Any, T]) -> T:
    with contextlib.suppress(ModuleNotFoundError):
        import uvloop

        return uvloop.run(work)
    import asyncio

    return asyncio.run(work)


def on_signals(event: "asyncio.Event") -> None:
    """SIGTERM and Ctrl-C set the event instead of ending the process."""
    import asyncio

    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, event.set)
