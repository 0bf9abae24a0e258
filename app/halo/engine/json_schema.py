"""JSON Schemas of the values that a parser accepts and that a column's type shows."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Boolean, Date, Integer
from sqlalchemy.types import TypeEngine

from app.halo.engine import parsing
from app.storage.column_types import Exact, Instant, Json, Precise

Schema = Mapping[str, Any]
"""A JSON Schema of the dialect that OpenAPI 3.1 uses."""


def _whole(bits: int) -> Schema:
    largest = 2 ** (bits - 1) - 1
    return {"type": "integer", "format": f"int{bits}", "minimum": -largest, "maximum": largest}


FLAG: Schema = {"type": "boolean"}
SMALL: Schema = _whole(32)
WHOLE: Schema = _whole(64)
NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string"}
SHORT_TEXT: Schema = {**TEXT, "maxLength": parsing.SHORT_TEXT_MAX}
# UTC without a zone: HaloPSA's way, for which OpenAPI's registry of formats has this name.
MOMENT: Schema = {"type": "string", "format": "date-time-local"}
ANYTHING: Schema = {}

_OF_PARSERS: Mapping[parsing.Parser, Schema] = {
    parsing.flag: FLAG,
    parsing.small: SMALL,
    parsing.whole: WHOLE,
    parsing.reference: WHOLE,
    parsing.exact: NUMBER,
    parsing.double: NUMBER,
    parsing.percentage: NUMBER,
    parsing.plain_number: NUMBER,
    parsing.instant: MOMENT,
    parsing.day: MOMENT,
    parsing.plain_moment: MOMENT,
    parsing.text: TEXT,
    parsing.short_text: SHORT_TEXT,
    parsing.stripe_id: SHORT_TEXT,
    parsing.nested: ANYTHING,
}


def column_schema(kind: TypeEngine[Any], parse: parsing.Parser | None = None) -> Schema:
    """The values that a column of this type takes; a resource's own parser only takes less."""
    of_type = _OF_PARSERS[parsing.parser_of(kind)]
    return of_type if parse is None else _OF_PARSERS.get(parse, of_type)


def type_schema(kind: TypeEngine[Any]) -> Schema:
    """The values that a column, or an expression, of this type shows."""
    match kind:
        case Exact() | Precise():
            return NUMBER
        case Instant() | Date():
            return MOMENT
        case Boolean():
            return FLAG
        case BigInteger():
            return WHOLE
        case Integer():
            return SMALL
        case Json():
            return ANYTHING
        case _:
            return TEXT


def parser_schema(parse: parsing.Parser) -> Schema:
    """The values that a parser accepts; a resource's own parser takes text."""
    return _OF_PARSERS.get(parse, TEXT)
