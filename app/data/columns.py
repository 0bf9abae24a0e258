"""Column types that keep money exact and instants unambiguous, and the base of every table."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

import orjson
from sqlalchemy import BigInteger, Date, DateTime, Dialect, Integer, MetaData, String, Table, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.errors import InvalidField

DECIMALS = 6
_SCALE = Decimal(10) ** DECIMALS
_SCALED_MAX = 2**63 - 1


class Exact(TypeDecorator[Decimal]):
    """A price, quantity, rate or total: a whole number of millionths, a Decimal in Python."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else scaled(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value).scaleb(-DECIMALS)

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal


def scaled(value: Decimal) -> int:
    """The value in millionths, or InvalidField when it has more decimals or digits than we keep."""
    exact = value * _SCALE
    whole = int(exact)
    if whole != exact:
        raise InvalidField("amount", f"{value} has more than {DECIMALS} decimals")
    if abs(whole) > _SCALED_MAX:
        raise InvalidField("amount", f"{value} is too large")
    return whole


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python. SQLite keeps text that sorts as time does."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        assert value.tzinfo is not None, "an instant without a time zone is ambiguous"
        if dialect.name == "sqlite":
            moment = value if value.tzinfo is UTC else value.astimezone(UTC)
            return moment.isoformat(timespec="microseconds")[:26] + "Z"
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        assert isinstance(value, datetime)
        return value.astimezone(UTC)

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


# SQLite gives row ids of its own only to INTEGER, PostgreSQL needs BIGINT to hold as many.
BigId = BigInteger().with_variant(Integer, "sqlite")

Id = Annotated[int, mapped_column(BigId, primary_key=True)]
Ref = Annotated[int, mapped_column(BigId)]

HIDDEN = {"hidden": True}
"""`info` of a column that is ours alone: the API neither shows nor accepts it."""

READ_ONLY = {"read_only": True}
"""`info` of a column that the API shows and silently ignores on input."""


class Row(DeclarativeBase):
    """Every table. A column's name is the API's field name."""

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
