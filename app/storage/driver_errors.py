"""Errors of both databases, sorted: a lost race, our own mistake, a database out of reach."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    TimeoutError as PoolTimeout,
)

from app.errors import DatabaseUnavailable


class LostRace(Exception):
    """Another node did the same first. The transaction is run again and sees what it wrote."""


# SQLSTATE classes that blame the statement or its values. All others blame the place.
_OUR_FAULT = ("22", "23", "42")
# 23503: a record that was there when we looked is deleted; looking again says which.
_TRY_AGAIN = frozenset({"40001", "40P01", "23503"})


def is_duplicate(error: BaseException) -> bool:
    """Whether a unique key was there already, as either driver says it."""
    return (
        _sqlstate(error) == "23505"
        or getattr(error, "sqlite_errorname", "") in _SQLITE_DUPLICATE
        or getattr(getattr(error, "orig", None), "sqlite_errorname", "") in _SQLITE_DUPLICATE
    )


_SQLITE_DUPLICATE = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")


def is_worth_retrying(error: BaseException) -> bool:
    """Whether the transaction lost a race that the database itself broke up."""
    return isinstance(error, LostRace) or _sqlstate(error) in _TRY_AGAIN


@contextlib.asynccontextmanager
async def translated_errors() -> AsyncIterator[None]:
    """Turns a failure of the place into DatabaseUnavailable; our own faults pass as they are."""
    try:
        yield
    except (IntegrityError, DataError, ProgrammingError, *_SQLITE_OURS):
        raise
    except (PoolTimeout, TimeoutError, OSError, sqlite3.Error) as error:
        raise DatabaseUnavailable(_reason(error)) from error
    except Exception as error:
        if not _is_of_the_place(error):
            raise
        raise DatabaseUnavailable(_reason(getattr(error, "orig", None) or error)) from error


_SQLITE_OURS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)


def _is_of_the_place(error: Exception) -> bool:
    """Whether the database, not our statement, is at fault: wrapped, or as asyncpg says it."""
    if is_worth_retrying(error) or (_sqlstate(error) or "").startswith(_OUR_FAULT):
        return False
    return isinstance(error, DBAPIError) or type(error).__module__.startswith(_DRIVERS)


_DRIVERS = ("asyncpg", "sqlalchemy.dialects.postgresql")


def _sqlstate(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def _reason(error: BaseException) -> str:
    said = str(error).strip() or type(error).__name__
    said = said.removeprefix("<class 'asyncpg.exceptions.").splitlines()[0]
    return f"the database cannot be used now: {said}"
