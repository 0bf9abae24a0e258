"""Serializers: a column's value as JSON shows it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Date
from sqlalchemy.types import TypeEngine

from app.rules.money import plain
from app.rules.notation import midnight, moment
from app.storage.column_types import Exact, Instant

Serializer = Callable[[Any], Any]


def serializer_of(kind: TypeEngine[Any]) -> Serializer | None:
    """What turns a column's value into JSON's; None when it is the same."""
    match kind:
        case Exact():
            return number
        case Instant():
            return moment
        case Date():
            return midnight
        case _:
            return None


def number(value: Decimal) -> int | orjson.Fragment:
    """A JSON number with exactly these digits."""
    return orjson.Fragment(plain(value)) if value else 0
