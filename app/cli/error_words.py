"""Errors that a user can cause, as the words and the exit code that a command ends with."""

import errno
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_settings import SettingsError

from app.cli.command_group import FAILED, MISUSED
from app.errors import AppError, ConfigurationError, Unavailable
from app.payments.stripe.gateway import NoAnswer, NotAuthorized, StripeRateLimited
from app.settings import UnsafeEnvFile


class ErrorWords(NamedTuple):
    text: str
    exit_code: int


def words_of(error: Exception) -> ErrorWords | None:
    """The words for an error that we foresee; None for a defect, whose traceback is wanted."""
    match error:
        case ConfigurationError() | UnsafeEnvFile():
            return ErrorWords(str(error), MISUSED)
        case ValidationError():
            return ErrorWords("\n".join(map(setting_words, error.errors())), MISUSED)
        case SettingsError() | UnicodeDecodeError():
            return ErrorWords(f"the settings cannot be read: {error}", MISUSED)
        case NotAuthorized():
            return ErrorWords(f"Stripe does not accept STRIPE_API_KEY: {error}", FAILED)
        case NoAnswer() | StripeRateLimited():
            return ErrorWords(f"Stripe gives no usable answer: {error}", FAILED)
        case Unavailable() | AppError():
            return ErrorWords(error.message, FAILED)
        case OSError() if error.errno in _OF_THE_MACHINE:
            where = f"{error.filename}: " if error.filename else ""
            return ErrorWords(f"{where}{error.strerror}", FAILED)
    return None


# The disk, rights and paths: nothing that a traceback would help with.
_OF_THE_MACHINE = {
    errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EDQUOT,
    errno.EADDRINUSE,
}  # fmt: skip


def setting_words(error: Any) -> str:
    """`PAYDUE_X: why`, for one error of pydantic's."""
    name = ".".join(str(part) for part in error["loc"])
    said: str = error["msg"].removeprefix("Value error, ")
    return f"{name}: {said}" if name else said
