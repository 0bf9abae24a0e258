"""Column types that keep money exact and instants unambiguous, and the base of every table."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Annotated, Any

import orjson
from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
)
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.errors import InvalidField

DECIMALS = 6
_SCALE = Decimal(10) ** DECIMALS
_SCALED_MAX = 2**63 - 1
# A double keeps every decimal number of 15 digits.
SIGNIFICANT_DIGITS = 15
DECIMALS_MAX = 20
_SIGNIFICANT = Context(prec=SIGNIFICANT_DIGITS, rounding=ROUND_HALF_UP)
_SIGNIFICANT_CONTEXT = Context(prec=60, rounding=ROUND_HALF_UP)


class Exact(TypeDecorator[Decimal]):
    """A price, quantity, rate or total: a whole number of millionths, a Decimal in Python."""

    impl = BigInteger
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Decimal | None], int | None]:
        return _scaled_or_none

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[int | None], Decimal | None]:
        return _unscaled_or_none

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal


def to_millionths(value: Decimal) -> int:
    """The value in millionths, or InvalidField when it has more decimals or digits than we keep."""
    exact = value * _SCALE
    whole = int(exact)
    if whole != exact:
        raise InvalidField("amount", f"{value} has more than {DECIMALS} decimals")
    if abs(whole) > _SCALED_MAX:
        raise InvalidField("amount", f"{value} is too large")
    return whole


class Precise(TypeDecorator[Decimal]):
    """A quantity, price or rate: a decimal of 15 significant digits, as many as a double keeps.

    PostgreSQL has a type for it. SQLite keeps its digits as text, for its own numbers are binary.
    """

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric())

    def bind_processor(self, dialect: Dialect) -> Callable[[Decimal | None], Any] | None:
        return _digits if dialect.name == "sqlite" else None

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], Decimal | None] | None:
        return _decimal if dialect.name == "sqlite" else None

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal


def significant(value: Decimal) -> Decimal:
    """The value with 15 significant digits and 20 decimals at most, halves away from zero."""
    rounded = _SIGNIFICANT.plus(value)
    if rounded.adjusted() - SIGNIFICANT_DIGITS + 1 < -DECIMALS_MAX:
        rounded = rounded.quantize(Decimal(1).scaleb(-DECIMALS_MAX), context=_SIGNIFICANT_CONTEXT)
    return rounded if rounded else Decimal(0)


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python. SQLite keeps text that sorts as time does."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        return _sortable if dialect.name == "sqlite" else _aware

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], datetime | None]:
        return _parsed if dialect.name == "sqlite" else _in_utc

    @property
    def python_type(self) -> type[datetime]:
        return datetime


class Json(TypeDecorator[Any]):
    """A JSON value kept as text on both databases; jsonb would refuse an escaped NUL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)

    @property
    def python_type(self) -> type[Any]:
        return object


# The same few amounts and moments are written and read many times over; what follows remembers
# them. Our types hand these functions out themselves, for TypeDecorator's own layers cost more.
_REMEMBERED = 4096


@lru_cache(_REMEMBERED)
def _scaled_or_none(value: Decimal | None) -> int | None:
    return None if value is None else to_millionths(value)


@lru_cache(_REMEMBERED)
def _unscaled_or_none(value: int | None) -> Decimal | None:
    return None if value is None else Decimal(value).scaleb(-DECIMALS)


@lru_cache(_REMEMBERED)
def _digits(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


@lru_cache(_REMEMBERED)
def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


@lru_cache(_REMEMBERED)
def _sortable(value: datetime | None) -> str | None:
    if value is None:
        return None
    assert value.tzinfo is not None, "an instant without a time zone is ambiguous"
    moment = value if value.tzinfo is UTC else value.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def _aware(value: datetime | None) -> datetime | None:
    assert value is None or value.tzinfo is not None, "an instant without a time zone is ambiguous"
    return value


@lru_cache(_REMEMBERED)
def _parsed(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


# SQLite gives row ids of its own only to INTEGER, PostgreSQL needs BIGINT to hold as many.
BigId = BigInteger().with_variant(Integer, "sqlite")

Id = Annotated[int, mapped_column(BigId, primary_key=True)]
Ref = Annotated[int, mapped_column(BigId)]
Number = Annotated[Decimal, mapped_column(Precise)]
"""A quantity, price or rate; a column of plain Decimal is money, in millionths."""


class Row(DeclarativeBase):
    """Every table. A column that the API offers has the name of the API's field."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads it once, as a class attribute
        str: Text,
        int: Integer,
        Decimal: Exact,
        datetime: Instant,
        date: Date,
    }


def table_of(row: type[Row]) -> Table:
    """The table behind a declared row, for statements that build no objects."""
    table = row.__table__
    assert isinstance(table, Table), "every row is declared on a table of its own"
    return table
