"""What a route says of itself for OpenAPI; a resource's four routes say it by their declaration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.data import shapes
from app.data.resource import Parameter
from app.data.shapes import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. What a path names in braces is documented as a whole number."""

    summary: str
    # The heading it stands under; for an action, its resource's path.
    tag: str
    # The scope that opens it; None for what anybody may ask.
    right: str | None
    about: str = ""
    # Query parameters.
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    # The JSON body it takes, and the JSON it answers with `status`.
    takes: Schema | None = None
    gives: Schema = field(default_factory=lambda: shapes.ANYTHING)
    status: int = 200
    takes_example: Any = None


def the(name: str) -> Schema:
    """The schema of a resource, by its path."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def one_or_many(one: Schema) -> Schema:
    """HaloPSA answers one object to a list of one."""
    return {"oneOf": [one, many(one)]}
