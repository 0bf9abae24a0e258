"""The command `paydue init`: asks for the settings that everybody needs, and writes `.env`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from pydantic import ValidationError

from app.cli.error_words import setting_words
from app.cli.terminal import say
from app.settings import Settings

FILE = ".env"


class _Question(NamedTuple):
    setting: str
    words: str
    default: str
    is_secret: bool = False


_QUESTIONS: Sequence[_Question] = (
    _Question("STRIPE_API_KEY", "Stripe's secret or restricted key (sk_... or rk_...)", "", True),
    _Question(
        "STRIPE_WEBHOOK_SECRET", "The signing secret of the webhook endpoint (whsec_...)", "", True
    ),
    _Question("PAYDUE_DATABASE_URL", "The database", "sqlite:///paydue.db"),
    _Question("PAYDUE_TIMEZONE", "Time zone of the business day", "UTC"),
    _Question("PAYDUE_AUTOPAY_AT", "Local time of the daily autopay run", "06:00"),
    _Question("PAYDUE_PUBLIC_URL", "The address clients will use, https://..., or empty", ""),
)


@click.command("init")
@click.option("--force", is_flag=True, help=f"Write {FILE} though there is one.")
def init(*, force: bool) -> None:
    """Ask a few questions and write the answers to the file .env in this folder.

    Only its owner may read it. An empty answer leaves the setting out.
    """
    file = Path(FILE)
    if file.exists() and not force:
        raise click.UsageError(f"{file.absolute()} exists; --force writes it anew")
    lines = [
        f"{one.setting}={_quoted(answer)}" for one in _QUESTIONS if (answer := _answer_to(one))
    ]
    _write(file, lines)
    say(f"{file.absolute()} is written. Next: paydue db init, paydue doctor, paydue serve")


def _answer_to(one: _Question) -> str:
    answer: str = click.prompt(
        one.words,
        default=one.default,
        show_default=bool(one.default),
        hide_input=one.is_secret,
        value_proc=_checked(one.setting),
    )
    return answer


def _checked(setting: str) -> Callable[[str], str]:
    def check(given: str) -> str:
        answer = given.strip()
        if any(not one.isprintable() for one in answer):
            raise click.BadParameter("holds a character that cannot be seen")
        values: dict[str, Any] = {setting: answer} if answer else {}
        try:
            Settings(_env_file=None, **values)
        except ValidationError as error:
            raise click.BadParameter(setting_words(error.errors()[0])) from None
        return answer

    return check


def _quoted(answer: str) -> str:
    """As python-dotenv reads it back, whatever stands in it."""
    escaped = answer.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _write(file: Path, lines: Sequence[str]) -> None:
    """In one step, and never readable by others."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as written:
        written.write("\n".join([*lines, ""]))
    fresh.replace(file)
