"""Errors of both drivers, translated once into our own.

A statement that fails raises one of the four exceptions below, whether SQLAlchemy or a prepared
statement sent it: nobody above storage meets an exception of SQLAlchemy, sqlite3 or asyncpg.
"""

import errno
import re
import sqlite3
from collections.abc import Callable, Mapping

from prometheus_client import Counter
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError, TimeoutError as PoolTimeout

from app.errors import DatabaseRefused, DatabaseUnavailable, RecordLocked, StatementTimeout


class DatabaseFault(Exception):
    """The database refused a statement."""


class LostRace(DatabaseFault):
    """Another node did the same first. The transaction is run again and sees what it wrote."""


class DuplicateKey(DatabaseFault):
    """A row with the same unique key exists."""


class StatementRefused(DatabaseFault):
    """The statement or one of its values is wrong: our own mistake, or an input nobody foresaw."""


# SQLSTATE classes that blame the statement or its values; all others blame the server or the way.
_STATEMENT_CLASSES = ("22", "23", "42")
# Messages about data quote it, and messages of ours are logged and shown.
_DATA_CLASS = "22"
_QUOTED = re.compile(r'"[^"]*"|: .*')
_DUPLICATE_STATE = "23505"
_LOGIN_CLASS = "28"
_NO_SUCH_DATABASE = "3D000"
_SQLITE_REFUSALS = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")
_RIGHTS = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT})
# 23503: a row that existed when we looked is deleted; looking again says which.
_RACE_STATES = frozenset({"40001", "40P01", "23503"})
_SQLITE_DUPLICATES = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
_SQLITE_STATEMENT_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)
# A whole number of more than 64 bits, half a character; asyncpg's DataError is a ValueError too.
_VALUE_ERRORS = (ValueError, TypeError, OverflowError)


def _record_locked() -> RecordLocked:
    return RecordLocked("another transaction holds a record that this one needs")


def _statement_timeout() -> StatementTimeout:
    return StatementTimeout("this takes too long; ask for fewer records, or filter them")


_TIMEOUTS: Mapping[str, Callable[[], DatabaseUnavailable]] = {
    "55P03": _record_locked,  # lock_timeout has passed
    "57014": _statement_timeout,  # statement_timeout has passed
    "SQLITE_INTERRUPT": _statement_timeout,
}


ERRORS = Counter("paydue_database_errors_total", "Errors of the database, by our name.", ["error"])


def translated(error: BaseException) -> Exception:
    """Our exception for one that a driver raised, raw or adapted by SQLAlchemy. It is counted."""
    found = _translation(error)
    ERRORS.labels(type(found).__name__).inc()
    return found


def _translation(error: BaseException) -> Exception:
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    state = getattr(error, "sqlstate", None)
    message = _first_line(error)
    if (state or "").startswith(_DATA_CLASS):
        message = _QUOTED.sub("...", message)
    if state in _RACE_STATES:
        return LostRace(message)
    if state == _DUPLICATE_STATE or _sqlite_name(error) in _SQLITE_DUPLICATES:
        return DuplicateKey(message)
    given_up = _TIMEOUTS.get(state or _sqlite_name(error))
    if given_up is not None:
        return given_up()
    if (state or "").startswith(_STATEMENT_CLASSES) or isinstance(error, _SQLITE_STATEMENT_ERRORS):
        return StatementRefused(message)
    if is_wrong_value(error):
        return StatementRefused(f"a value does not fit its column{_argument(message)}")
    fault = DatabaseRefused if needs_a_person(error) else DatabaseUnavailable
    return fault(f"the database cannot be used now: {message}")


def needs_a_person(error: BaseException) -> bool:
    """Rights, a password or a name is wrong: time alone mends nothing."""
    state = getattr(error, "sqlstate", None) or ""
    if state.startswith(_LOGIN_CLASS) or state == _NO_SUCH_DATABASE:
        return True
    if _sqlite_name(error).startswith(_SQLITE_REFUSALS):
        return True
    return isinstance(error, OSError) and error.errno in _RIGHTS


def is_wrong_value(error: BaseException) -> bool:
    """Whether the driver itself refuses a value: the database never saw it."""
    if isinstance(error, OSError):  # a certificate that is refused is a ValueError to Python
        return False
    return isinstance(error, _VALUE_ERRORS) or isinstance(error.__cause__, _VALUE_ERRORS)


def translate_for_sqlalchemy(context: ExceptionContext) -> Exception | None:
    """SQLAlchemy's `handle_error`: it raises what this answers in place of its own exception."""
    if context.sqlalchemy_exception is None:
        return None  # no error of the driver's
    return translated(context.original_exception)


# What fails outside any statement: the pool, the network, the start or the end of a transaction.
CONNECTION_ERRORS = (PoolTimeout, TimeoutError, OSError, DisconnectionError, DBAPIError)


def _sqlite_name(error: BaseException) -> str:
    name: str = getattr(error, "sqlite_errorname", "")
    return name


def _argument(message: str) -> str:
    """The place of the value that asyncpg refuses, without the value."""
    found = re.search(r"query argument \$\d+", message)
    return f" ({found[0]})" if found else ""


def _first_line(error: BaseException) -> str:
    message = str(error).strip() or type(error).__name__
    return message.removeprefix("<class 'asyncpg.exceptions.").splitlines()[0]
