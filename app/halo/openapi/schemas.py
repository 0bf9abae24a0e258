"""The JSON Schema of a resource's records, from its fields and everything else it declares."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.halo.engine import json_schema
from app.halo.engine.codec import codec_of
from app.halo.engine.json_schema import Schema
from app.halo.engine.resource import InputList, Property, Resource
from app.halo.openapi.operations import the


def record_schema(resource: Resource) -> Schema:
    """The properties of a record. Null is never answered; given, it clears a property."""
    properties: dict[str, Schema] = {}
    for name, one in _properties(resource):
        properties.setdefault(name, {**one.schema, "description": one.about})
    return {"type": "object", "properties": properties}


def nested_resources(resource: Resource) -> Iterator[Resource]:
    """The resource, and those whose records stand inside its own."""
    yield resource
    lists, children = resource.input.lists, resource.output.children
    inner = {one.resource for one in lists.values()}
    inner |= {one.resource for one in children.values()}
    for one in inner - {resource}:
        yield from nested_resources(one)


def _properties(resource: Resource) -> Iterator[tuple[str, Property]]:
    """Every property with its schema; of several with one name the first counts."""
    yield from _lists(resource)
    yield from _instructions(resource)
    yield from _columns(resource)
    output = resource.output
    for name, derived in output.derived.items():
        schema = json_schema.type_schema(derived.expression.type)
        yield name, Property(_read_only(schema), derived.about)
    for name, further in output.further.items():
        yield name, Property(_read_only(further.schema), further.about)
    for name, field in resource.input.passthrough.items():
        schema = json_schema.parser_schema(field.parse) if field.parse else json_schema.ANYTHING
        yield name, Property(_nullable(schema), field.about)
    for name, constant in output.constants.items():
        yield name, Property(_read_only(_value_schema(constant.value)), constant.about)


def _lists(resource: Resource) -> Iterator[tuple[str, Property]]:
    children, lists = resource.output.children, resource.input.lists
    for name, child in children.items():
        schema: Schema = {"type": "array", "items": the(child.resource.path)}
        if name in lists:
            schema = _bounded(schema, lists[name])
            yield name, Property(schema, f"{child.about} {lists[name].about}")
        else:
            yield name, Property(_read_only(schema), child.about)
    for name, given in lists.items():
        if name not in children:
            schema = {"type": "array", "items": the(given.resource.path), "writeOnly": True}
            yield name, Property(_bounded(schema, given), given.about)


def _bounded(schema: Schema, given: InputList) -> Schema:
    return schema if given.most is None else {**schema, "maxItems": given.most}


def _instructions(resource: Resource) -> Iterator[tuple[str, Property]]:
    shown = {*codec_of(resource).shown, *resource.output.further}
    for name, field in resource.input.instructions.items():
        brought = resource.output.further.get(name)
        parsed = json_schema.parser_schema(field.parse) if field.parse else json_schema.ANYTHING
        schema = brought.schema if brought else parsed
        yield (
            name,
            Property(schema if name in shown else {**schema, "writeOnly": True}, field.about),
        )


def _columns(resource: Resource) -> Iterator[tuple[str, Property]]:
    codec = codec_of(resource)
    for column in codec.columns:
        field = resource.fields[column.name]
        schema = codec.input_schema(column.name)
        if field.read_only:
            schema = _read_only(schema)
        elif column.nullable:
            schema = _nullable(schema)
        yield column.name, Property(schema, field.about)


def _read_only(schema: Schema) -> Schema:
    return {**schema, "readOnly": True}


def _nullable(schema: Schema) -> Schema:
    kind = schema.get("type")
    return {**schema, "type": [kind, "null"]} if isinstance(kind, str) else schema


def _value_schema(value: Any) -> Schema:
    match value:
        case bool():
            return json_schema.FLAG
        case int():
            return json_schema.WHOLE
        case str():
            return json_schema.TEXT
        case list():
            return {"type": "array"}
        case Mapping():
            return {"type": "object"}
    return json_schema.ANYTHING
