"""The JSON Schema of a resource's records, from its columns and everything it says beside them."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Column

from app.halo.engine import json_schema
from app.halo.engine.codec import codec_of
from app.halo.engine.json_schema import Schema
from app.halo.engine.resource import Resource
from app.halo.openapi import property_docs
from app.halo.openapi.operations import the


def of_record(resource: Resource) -> Schema:
    """What a record may hold. Null is never answered; given, it clears a property."""
    properties: dict[str, Schema] = {}
    for name, schema in _properties(resource):
        properties.setdefault(name, schema)
    return {
        "type": "object",
        "properties": {
            name: {**schema, "description": property_docs.property_text(resource, name)}
            for name, schema in properties.items()
        },
    }


def within(resource: Resource) -> Iterator[Resource]:
    """The resources whose records stand inside this one's, and it itself."""
    yield resource
    inner = {*resource.nested.values(), *(one.resource for one in resource.children.values())}
    for one in inner - {resource}:
        yield from within(one)


def _properties(resource: Resource) -> Iterator[tuple[str, Schema]]:
    """The first that is said of a property counts."""
    yield from _lists(resource)
    shown = codec_of(resource).shown
    for name, read in resource.instructions.items():
        schema = resource.further.get(name) or json_schema.parser_schema(read)
        is_shown = name in shown or name in resource.further
        yield name, schema if is_shown else {**schema, "writeOnly": True}
    for column in codec_of(resource).table.c:
        if not column.info.get("hidden"):
            yield column.name, _of_column(column)
    for name, derived in resource.derived.items():
        yield name, _read_only(json_schema.type_schema(derived.type))
    for name, schema in resource.further.items():
        yield name, _read_only(schema)
    for name, read in resource.wider.items():
        yield name, _nullable(json_schema.parser_schema(read))
    for name, value in resource.sentinels.items():
        yield name, _read_only(_of_value(value))


def _lists(resource: Resource) -> Iterator[tuple[str, Schema]]:
    shown, taken = resource.children, resource.nested
    for name in {**shown, **taken}:
        inner = taken[name] if name in taken else shown[name].resource
        schema: Schema = {"type": "array", "items": the(inner.path)}
        if name not in taken:
            yield name, _read_only(schema)
        elif name not in shown:
            yield name, {**schema, "writeOnly": True}
        else:
            yield name, schema


def _of_column(column: Column[Any]) -> Schema:
    schema = json_schema.column_schema(column)
    if column.info.get("read_only"):
        return _read_only(schema)
    return _nullable(schema) if column.nullable else schema


def _read_only(schema: Schema) -> Schema:
    return {**schema, "readOnly": True}


def _nullable(schema: Schema) -> Schema:
    kind = schema.get("type")
    return {**schema, "type": [kind, "null"]} if isinstance(kind, str) else schema


def _of_value(value: Any) -> Schema:
    match value:
        case bool():
            return json_schema.FLAG
        case int():
            return json_schema.WHOLE
        case str() if value[:4].isdigit() and "T" in value:
            return json_schema.MOMENT
        case str():
            return json_schema.TEXT
        case list():
            return {"type": "array"}
        case Mapping():
            return {"type": "object"}
    return json_schema.ANYTHING
