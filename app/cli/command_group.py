"""The group of all commands: it reads the settings, and turns errors into words and exit codes."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from app.cli.terminal import say
from app.errors import AppError, ConfigurationError, Unavailable
from app.payments.stripe.gateway import NoAnswer, NotAuthorized, StripeRateLimited
from app.settings import Settings, UnsafeEnvFile

T = TypeVar("T")

# Exit codes: 0 done, 1 could not be done now, 2 asked wrongly or configured wrongly.
FAILED, MISUSED = 1, 2


class Paydue(click.Group):
    """An error that we foresee ends in one line on stderr; any other shows its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_as_words():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # as they are added: the first steps first


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
    except (ConfigurationError, UnsafeEnvFile) as error:
        _end(str(error), MISUSED)
    except ValidationError as error:
        _end("\n".join(_setting(one) for one in error.errors()), MISUSED)
    except NotAuthorized as error:
        _end(f"Stripe does not accept STRIPE_API_KEY: {error}", FAILED)
    except Unavailable as error:
        _end(error.message, FAILED)
    except (NoAnswer, StripeRateLimited) as error:
        _end(f"Stripe gives no usable answer: {error}", FAILED)
    except AppError as error:
        _end(error.message, FAILED)


def _setting(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    said: str = error["msg"].removeprefix("Value error, ")
    return f"{name}: {said}" if name else said


def _end(message: str, code: int) -> None:
    for line in message.split("\n"):
        say(f"paydue: {line}", err=True)
    sys.exit(code)


def settings_and_logs() -> Settings:
    """The settings, with logging set up as they say. Every command begins here."""
    from app.logs import configure

    settings = Settings()
    configure(settings)
    return settings


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on the fastest loop this platform has."""
    with contextlib.suppress(ModuleNotFoundError):
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)


def on_signals(event: asyncio.Event) -> None:
    """SIGTERM and Ctrl-C set the event instead of ending the process."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, event.set)
