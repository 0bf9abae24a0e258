"""Errors that a caller, an event or the environment causes, each with its HTTP status."""


class AppError(Exception):
    """Something a caller or an event can cause. The message is shown to whoever caused it."""

    status = 400
    # When the same request may be right, for those that are wrong only now.
    retry_after_s: int | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidField(AppError):
    """A value that cannot be meant. Names the field, as a person reading the answer would."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field


class AmountNotAllowed(InvalidField):
    """An amount that Stripe could only take after rounding; we never round it for the caller."""


class BadSignature(AppError):
    """A webhook that Stripe did not sign, or signed too long ago."""


class BadEvent(AppError):
    """A signed body that is no event of ours: not JSON, or not an event."""


class BodyTooLarge(AppError):
    status = 413


class NotAuthenticated(AppError):
    status = 401
    # The answer's WWW-Authenticate.
    challenge = "Bearer"


class NotAllowed(AppError):
    status = 403


class NotFound(AppError):
    status = 404

    def __init__(self, what: str, key: object) -> None:
        super().__init__(f"{what} {key} does not exist")


class Refused(AppError):
    """The request is understood, but a rule of the ledger forbids it."""


class ChargeUnderWay(Refused):
    """An automatic charge has not ended; the same request may be right once it has."""

    status = 409


class Changed(AppError):
    """Somebody else changed the record since it was read."""

    status = 409


class Unavailable(AppError):
    """We cannot do it now; the same request is right later."""

    status = 503
    retry_after_s = 5


class DatabaseUnavailable(Unavailable):
    """The database is gone, full, read-only or too slow. Nothing was written."""


class DatabaseRefused(DatabaseUnavailable):
    """The database is not ours to use before a person acts: rights, a password, a wrong name."""


class RecordLocked(DatabaseUnavailable):
    """Another transaction holds a record for longer than anybody waits; the others are free."""


class DamagedDatabase(AppError):
    """A file that should hold a whole database does not. Nothing was put in place of anything."""


class StatementTimeout(DatabaseUnavailable):
    """A statement took longer than a caller's may; others are not kept waiting for it."""


class NoSigningSecret(Unavailable):
    """No signing secret is set, so no webhook can be verified and none is accepted."""

    retry_after_s = 60


class ConfigurationError(Exception):
    """The settings do not allow this command. The message says how to mend it."""
