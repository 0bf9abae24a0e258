"""An Operation describes one route for OpenAPI; a resource's follow from its declaration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.halo.engine import json_schema
from app.halo.engine.filters import Parameter
from app.halo.engine.json_schema import Schema
from app.halo.engine.resource import Resource
from app.halo.openapi import examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. A name in the path's braces is documented as a whole number."""

    summary: str
    # The heading it stands under; for an action, its resource's path.
    tag: str
    # The scope that opens it; None where anybody may ask.
    right: str | None
    about: str = ""
    # Query parameters.
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    # The JSON body it takes (or the form), and the JSON it answers with `status`.
    takes: Schema | None = None
    takes_form: bool = False
    gives: Schema = field(default_factory=lambda: json_schema.ANYTHING)
    gives_type: str = "application/json"
    status: int = 200
    # A body that is accepted as it stands, and its answer.
    example: Any = None
    answer_example: Any = None
    # Which of its refusals are documented; those of every operation are added.
    refusals: Sequence[int] = (400,)
    # Resources whose schemas it refers to.
    resources: Sequence[Resource] = ()
    # The path of the resource whose records its answer's `id` names.
    made: str | None = None


def the(name: str) -> Schema:
    """The schema of a resource, by its path."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def one_or_many(one: Schema) -> Schema:
    """HaloPSA answers one object to a list of one."""
    return {"anyOf": [one, many(one)]}


# --- the parameters of every list ----------------------------------------------------------------

_PAGING: Mapping[str, Parameter] = {
    "pageinate": Parameter(
        json_schema.FLAG, "Turns paging on; without it the next two are ignored."
    ),
    "page_no": Parameter({**json_schema.SMALL, "minimum": 1, "default": 1}, "Which page, from 1."),
    "page_size": Parameter(
        {**json_schema.SMALL, "minimum": 1, "default": 50}, "Records a page, at most 1000."
    ),
    "count": Parameter(
        {**json_schema.SMALL, "minimum": 1, "maximum": 1000}, "Records at most, when not paging."
    ),
    "idonly": Parameter(json_schema.FLAG, "Each record is its `id` alone."),
}


def _ordering() -> Mapping[str, Parameter]:
    found: dict[str, Parameter] = {}
    for suffix in ("", "2", "3", "4", "5"):
        before = f"after `order{int(suffix) - 1 if suffix > '2' else ''}`" if suffix else "first"
        about = f"The field that is sorted by {before}; what is no field is ignored."
        found[f"order{suffix}"] = Parameter(json_schema.TEXT, about)
        about = f"Sorts by `order{suffix}` from the highest to the lowest."
        found[f"orderdesc{suffix}"] = Parameter(json_schema.FLAG, about)
    return found


_ORDERING = _ordering()


def _of_list(resource: Resource) -> Mapping[str, Parameter]:
    found: dict[str, Parameter] = {}
    for name, one in resource.listing.filters.items():
        found[name] = one.parameter
        found.update(one.further_parameters)
    for name, child in resource.output.children.items():
        if child.in_list:
            found[child.in_list] = Parameter(json_schema.FLAG, f"Each record has its `{name}`.")
    return {**found, **_PAGING, **_ORDERING}


def _of_one(resource: Resource) -> Mapping[str, Parameter]:
    added: dict[str, list[str]] = {}
    for name, child in resource.output.children.items():
        if child.in_one:
            added.setdefault(child.in_one, []).append(f"`{name}`")
    for name, parameter in resource.output.on_request.items():
        added.setdefault(parameter, []).append(f"`{name}`")
    return {
        parameter: Parameter(json_schema.FLAG, f"Adds {' and '.join(names)}.")
        for parameter, names in added.items()
    }


# --- a resource's own routes -------------------------------------------------------------------


def listed(resource: Resource) -> Operation:
    return Operation(
        summary=f"List {resource.path}",
        about="Only the records that meet every condition given; unknown parameters are ignored.",
        tag=resource.path,
        right=f"read:{resource.group}",
        parameters=_of_list(resource),
        gives=_list_of(resource),
        answer_example=_list_example(resource),
        resources=(resource,),
    )


def saved(resource: Resource) -> Operation:
    return Operation(
        summary=f"Create or update {resource.path}",
        about=(
            "An array of objects. One without `id`, or with 0, is created; one with an `id` is "
            "updated: what it does not name stays as it is. All are saved, or none is. One object "
            "is answered as one object, several as an array in their order."
        ),
        tag=resource.path,
        right=f"edit:{resource.group}",
        takes=many(the(resource.path)),
        gives=one_or_many(the(resource.path)),
        status=resource.saved_status,
        example=[examples.example_of(resource)],
        answer_example=_shown(resource),
        refusals=(400, 404, 409, 413, 422),
        resources=(resource,),
        made=resource.path,
    )


def read(resource: Resource) -> Operation:
    return Operation(
        summary=f"Get one {resource.path}",
        tag=resource.path,
        right=f"read:{resource.group}",
        parameters=_of_one(resource),
        gives=the(resource.path),
        answer_example=_shown(resource),
        refusals=(400, 404),
        resources=(resource,),
    )


def removed(resource: Resource) -> Operation:
    return Operation(
        summary=f"Delete {resource.path}",
        about="Refused, with the reason, where other records or money hang on it.",
        tag=resource.path,
        right=f"edit:{resource.group}",
        gives={"type": "object", "required": ["id"], "properties": {"id": json_schema.WHOLE}},
        answer_example={"id": 1},
        refusals=(400, 404, 409),
        resources=(resource,),
    )


def _shown(resource: Resource) -> dict[str, Any]:
    return {"id": 1, **examples.example_of(resource)}


def _list_example(resource: Resource) -> Any:
    records = [_shown(resource)]
    envelope = resource.listing.envelope
    return records if envelope is None else {"record_count": 1, envelope: records}


def _list_of(resource: Resource) -> Schema:
    records: Schema = {"type": "array", "items": the(resource.path)}
    envelope, wrapper = resource.listing.envelope, resource.listing.wrapper
    if envelope is None:
        return records
    further = wrapper.properties if wrapper else {}
    about = "All matches over all pages; 0 on a page past the end."
    return {
        "type": "object",
        "required": ["record_count", envelope],
        "properties": {
            "page_no": {**json_schema.SMALL, "description": "Of a page that was asked for."},
            "page_size": {**json_schema.SMALL, "description": "Of a page that was asked for."},
            "record_count": {**json_schema.WHOLE, "minimum": 0, "description": about},
            envelope: records,
            **{name: {**one.schema, "description": one.about} for name, one in further.items()},
        },
    }
