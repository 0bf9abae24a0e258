"""Rows to JSON objects and back, by the resource's columns. Worked out once, at import."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement

from app.errors import InvalidField
from app.halo.engine.parsing import Parser, nested, parser_of, whole
from app.halo.engine.resource import Resource
from app.halo.engine.serializing import Serializer, serializer_of
from app.storage.column_types import table_of
from app.storage.engines import Record

# HaloPSA's clients send one to a few objects; their importers send hundreds. Each object may
# become a row with lines and audit rows, all under one lock.
OBJECTS_MAX = 500
# HaloPSA's longest property name has 47 characters.
NAME_MAX = 100


class RecordCodec:
    """What a resource's rows look like outside. One for each resource, made at import."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.table = table_of(resource.table)
        shown = [column for column in self.table.c if not column.info.get("hidden")]
        # Each accepted property: what reads it, and whether null clears it.
        self._read: dict[str, tuple[Parser, bool]] = {
            **{name: (codec_of(one).load_list, False) for name, one in resource.nested.items()},
            **{name: (read, False) for name, read in resource.instructions.items()},
            **{
                column.name: (_reader(resource, column), bool(column.nullable))
                for column in shown
                if not column.info.get("read_only")
            },
            "id": (_existing, False),
        }
        self._fields: list[tuple[str, Serializer | None]] = [
            *((column.name, _shower(resource, column)) for column in shown),
            *((name, serializer_of(one.type)) for name, one in resource.derived.items()),
        ]
        names = [name for name, _ in self._fields]
        self._has_extra = "extra" in self.table.c
        self._ours = {*self.table.c.keys(), *resource.derived}
        self.shown: Mapping[str, ColumnElement[Any]] = {
            **{column.name: column for column in shown},
            **{name: one.label(name) for name, one in resource.derived.items()},
        }
        self.selected = [*self.shown.values(), *self._behind(names)]

    def _behind(self, names: Collection[str]) -> list[ColumnElement[Any]]:
        """Hidden columns that fields are made of."""
        attached = self.resource.attached
        wanted = ["extra"] if self._has_extra else []
        wanted += [attached.key.key] if attached and attached.key.key not in names else []
        return [self.table.c[name] for name in wanted]

    def show(self, row: Record) -> dict[str, Any]:
        """The object for a row. What is NULL is left out, as HaloPSA does."""
        shown = {
            name: value if show is None else show(value)
            for (name, show), value in zip(self._fields, row, strict=False)
            if value is not None
        }
        if self.resource.computed is not None:
            shown.update(self.resource.computed(row))
        if self._has_extra and row.extra:
            return {**row.extra, **shown}
        return shown

    def load(self, body: Any) -> list[dict[str, Any]]:
        """The records a body holds: an array, a lone object, or an array in an array."""
        objects = body if isinstance(body, list) else [body]
        if len(objects) == 1 and isinstance(objects[0], list):
            objects = objects[0]
        if not objects:
            raise InvalidField("body", "holds no object")
        if len(objects) > OBJECTS_MAX:
            raise InvalidField("body", f"holds more than {OBJECTS_MAX} objects")
        if len(objects) == 1:
            return [self.load_one(objects[0], "")]
        return [self.load_one(one, f"[{number}].") for number, one in enumerate(objects)]

    def load_one(self, given: Any, at: str) -> dict[str, Any]:
        """The accepted properties by name, `extra` among them; what is unknown is ignored."""
        if not isinstance(given, dict):
            raise InvalidField(f"{at}body".lstrip("."), "is not an object")
        record: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, value in given.items():
            if name in self._read:
                read, may_be_null = self._read[name]
                found = None if value is None else read(at + name, value)
                if found is not None or may_be_null:
                    record[name] = found
            elif name in self.resource.wider:
                extra[name] = self.resource.wider[name](at + name, value)
            elif self.resource.keeps_all and self._may_be_kept(name):
                extra[name] = nested(at + name, value)
        return {**record, "extra": extra} if extra else record

    def _may_be_kept(self, name: str) -> bool:
        """HaloPSA's names are plain ASCII; our own columns are not written this way."""
        is_name = name.isascii() and name.isprintable() and len(name) <= NAME_MAX
        return is_name and name not in self._ours

    def load_list(self, at: str, given: Any) -> list[dict[str, Any]]:
        """The records of a list inside another record."""
        if not isinstance(given, list):
            raise InvalidField(at, "is not an array")
        return [self.load_one(one, f"{at}[{number}].") for number, one in enumerate(given)]


_CODECS: dict[Resource, RecordCodec] = {}


def codec_of(resource: Resource) -> RecordCodec:
    if resource not in _CODECS:
        _CODECS[resource] = RecordCodec(resource)
    return _CODECS[resource]


def _reader(resource: Resource, column: Column[Any]) -> Parser:
    return resource.readers.get(column.name) or parser_of(column)


def _shower(resource: Resource, column: Column[Any]) -> Callable[[Any], Any] | None:
    return resource.showers.get(column.name) or serializer_of(column.type)


def _existing(name: str, value: Any) -> int | None:
    """No id, or 0, is a record to be created."""
    return whole(name, value) or None
