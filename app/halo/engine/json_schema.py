"""What values look like in JSON, as OpenAPI says it: of a column, and of what a reader accepts."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, Integer
from sqlalchemy.types import TypeEngine

from app.halo.engine import parsing
from app.storage.column_types import Exact, Instant, Json

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
# UTC without a zone: HaloPSA's way, for which OpenAPI's registry of formats has this name.
MOMENT: Schema = {"type": "string", "format": "date-time-local"}
ANYTHING: Schema = {}

_OF_READERS: Mapping[parsing.Parser, Schema] = {
    parsing.flag: FLAG,
    parsing.small: SMALL,
    parsing.whole: WHOLE,
    parsing.reference: WHOLE,
    parsing.exact: NUMBER,
    parsing.plain_number: NUMBER,
    parsing.instant: MOMENT,
    parsing.day: MOMENT,
    parsing.plain_moment: MOMENT,
    parsing.text: TEXT,
    parsing.short: {**TEXT, "maxLength": parsing.INDEXED_TEXT_MAX},
    parsing.nested: ANYTHING,
}


def column_schema(column: Column[Any]) -> Schema:
    """What a column takes and shows. A resource may read it more strictly, but as the same type."""
    return parser_schema(parsing.parser_of(column))


def type_schema(kind: TypeEngine[Any]) -> Schema:
    """What is shown of a column, or of an expression, of this type."""
    match kind:
        case Exact():
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


def parser_schema(read: parsing.Parser) -> Schema:
    """What a reader accepts. One of a module's own counts as text, unless it says `schema`."""
    known: Schema = getattr(read, "schema", TEXT)
    return _OF_READERS.get(read, known)
