"""The codec: rows to JSON objects, and JSON objects to records, by the resource's fields."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Column, ColumnElement, Date
from sqlalchemy.types import TypeEngine

from app.errors import InvalidField
from app.halo.engine import json_schema
from app.halo.engine.json_schema import Schema
from app.halo.engine.parsing import Parser, nested, parser_of, whole
from app.halo.engine.resource import Resource, Serializer
from app.rules.money import plain
from app.rules.notation import midnight, moment
from app.storage.column_types import Exact, Instant, Precise, table_of
from app.storage.engines import Record

# HaloPSA's clients send one to a few objects; their importers send hundreds. Each object may
# become a row with lines and audit rows, all under one lock.
OBJECTS_MAX = 500
# Rows that one request writes: its objects, their lines and their entries. Each is drafted, audited
# and answered inside one transaction, which webhooks on SQLite wait for.
ROWS_MAX = 1_200
# HaloPSA's longest property name has 47 characters.
NAME_MAX = 100


class _Accepted(NamedTuple):
    """A property that a POST may name: its parser, and whether null clears it."""

    parse: Parser
    is_nullable: bool = False


class RecordCodec:
    """Serializes a resource's rows, and parses the records that a POST brings.

    There is one for each resource; it is made at import.
    """

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.table = table_of(resource.table)
        assert resource.fields.keys() <= set(self.table.c.keys()), "a field names its column"
        self._accepted = self._accepted_properties()
        # .NET, in which HaloPSA reads its input, takes a property's name in any case.
        self._spelled: dict[str, str] = {
            name.lower(): name for name in (*self._accepted, *resource.input.passthrough)
        }
        self._serializers: list[tuple[str, Serializer | None]] = [
            *(
                (one.name, resource.fields[one.name].serialize or serializer_of(one.type))
                for one in self.columns
            ),
            *(
                (name, serializer_of(one.expression.type))
                for name, one in resource.output.derived.items()
            ),
        ]
        self._has_extra = "extra" in self.table.c
        self._own_names = {*self.table.c.keys(), *resource.output.derived}
        self.shown: Mapping[str, ColumnElement[Any]] = {
            **{column.name: column for column in self.columns},
            **{name: one.expression.label(name) for name, one in resource.output.derived.items()},
        }
        self.selected = [*self.shown.values(), *self._needed_columns()]

    @property
    def columns(self) -> list[Column[Any]]:
        """The columns that have a Field, in the table's order."""
        return [column for column in self.table.c if column.name in self.resource.fields]

    def input_schema(self, name: str) -> Schema:
        """The JSON values that a column takes."""
        field = self.resource.fields[name]
        return field.schema or json_schema.column_schema(self.table.c[name].type, field.parse)

    def serialize(self, row: Record) -> dict[str, Any]:
        """The object for a row. A NULL is left out, as HaloPSA does."""
        values = row._mapping
        shown = {
            name: value if serialize is None else serialize(value)
            for name, serialize in self._serializers
            if (value := values[name]) is not None
        }
        if self.resource.output.computed is not None:
            shown.update(self.resource.output.computed.compute(row))
        if self._has_extra and row.extra:
            return {**row.extra, **shown}
        return shown

    def parse_request(self, body: Any) -> list[dict[str, Any]]:
        """The records of a request's body, which may not write more than ROWS_MAX rows."""
        rows = sum(self._row_count(one) for one in _objects(body))
        if rows > ROWS_MAX:
            raise InvalidField(
                "body", f"holds {rows} records, lines and entries; a request may hold {ROWS_MAX}"
            )
        return self.parse(body)

    def parse(self, body: Any) -> list[dict[str, Any]]:
        """The records of a body: an array, a lone object, or an array in an array."""
        objects = _objects(body)
        if not objects:
            raise InvalidField("body", "holds no object")
        if len(objects) > OBJECTS_MAX:
            raise InvalidField("body", f"holds more than {OBJECTS_MAX} objects")
        if len(objects) == 1:
            return [self.parse_one(objects[0], "")]
        return [self.parse_one(one, f"[{number}].") for number, one in enumerate(objects)]

    def parse_one(self, given: Any, at: str) -> dict[str, Any]:
        """The accepted properties by name, `extra` among them; an unknown one is ignored.

        A name may be written in any case; of several spellings of one name the last counts.
        """
        if not isinstance(given, dict):
            raise InvalidField(f"{at}body".lstrip("."), "is not an object")
        record: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        passthrough = self.resource.input.passthrough
        for written, value in given.items():
            name = self._name(written)
            if name in self._accepted:
                accepted = self._accepted[name]
                parsed = None if value is None else accepted.parse(at + name, value)
                if parsed is not None or accepted.is_nullable:
                    record[name] = parsed
            elif name in passthrough:
                extra[name] = (passthrough[name].parse or nested)(at + name, value)
            elif self.resource.input.keeps_unknown and self._may_be_kept(name):
                extra[name] = nested(at + name, value)
        return {**record, "extra": extra} if extra else record

    def parse_list(self, at: str, given: Any, most: int | None = None) -> list[dict[str, Any]]:
        """The records of a list inside another record."""
        if not isinstance(given, list):
            raise InvalidField(at, "is not an array")
        if most is not None and len(given) > most:
            raise InvalidField(at, f"holds {len(given)} objects; at most {most} are allowed")
        return [self.parse_one(one, f"{at}[{number}].") for number, one in enumerate(given)]

    def _row_count(self, given: Any) -> int:
        """The rows that an object writes: its own, and those of the lists that it brings."""
        if not isinstance(given, Mapping):
            return 1
        lists = self.resource.input.lists
        rows = 1
        for written, value in given.items():
            name = self._name(written)
            if name in lists and isinstance(value, list):
                inner = codec_of(lists[name].resource)
                rows += sum(inner._row_count(one) for one in value)
            elif name in self._accepted and isinstance(value, list):
                rows += len(value)
        return rows

    def _accepted_properties(self) -> Mapping[str, _Accepted]:
        lists, instructions = self.resource.input.lists, self.resource.input.instructions
        fields = self.resource.fields
        return {
            **{
                name: _Accepted(partial(codec_of(one.resource).parse_list, most=one.most))
                for name, one in lists.items()
            },
            **{name: _Accepted(one.parse or nested) for name, one in instructions.items()},
            **{
                one.name: _Accepted(
                    fields[one.name].parse or parser_of(one.type), bool(one.nullable)
                )
                for one in self.columns
                if not fields[one.name].read_only
            },
            "id": _Accepted(_existing),
        }

    def _needed_columns(self) -> Iterator[ColumnElement[Any]]:
        """Columns that are not shown themselves, but from which other properties are made."""
        attached = self.resource.output.attached
        if self._has_extra:
            yield self.table.c.extra
        if attached is not None and attached.key.key not in self.shown:
            yield self.table.c[attached.key.key]

    def _name(self, written: str) -> str:
        """The property that is meant; another name is left as it is."""
        return self._spelled.get(written.lower(), written)

    def _may_be_kept(self, name: str) -> bool:
        """HaloPSA's names are plain ASCII; our own columns are not written this way."""
        is_name = name.isascii() and name.isprintable() and len(name) <= NAME_MAX
        return is_name and name.lower() not in self._own_names


def _objects(body: Any) -> list[Any]:
    objects = body if isinstance(body, list) else [body]
    if len(objects) == 1 and isinstance(objects[0], list):
        return objects[0]
    return objects


_CODECS: dict[Resource, RecordCodec] = {}


def codec_of(resource: Resource) -> RecordCodec:
    if resource not in _CODECS:
        _CODECS[resource] = RecordCodec(resource)
    return _CODECS[resource]


def _existing(name: str, value: Any) -> int | None:
    """No id, or 0, is a record to be created."""
    return whole(name, value) or None


# --- serializers -------------------------------------------------------------------------------


def serializer_of(kind: TypeEngine[Any]) -> Serializer | None:
    """The serializer of a column's type; None where JSON shows the value as it is."""
    match kind:
        case Exact() | Precise():
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
