"""Values that break programs, and every place of the API where a caller may put one.

The places follow from the routes' own operations, so that a new route, parameter or property is
tried without anybody adding it here.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.halo.engine.resource_routes import CaseInsensitiveRoute
from app.halo.openapi.document import document

_MARK = "@the-value@"
_NESTED_MAX = 2

_NUMBERS = (
    "0", "-1", "2147483647", "2147483648", "-2147483649", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615",
    "18446744073709551616", "9223372036854.775807", "9223372036854.775808", "0.0000001", "1e-400",
    "1e400", "-1e400", "1e28", "1e99", "-0.0", "NaN", "Infinity", "9" * 28, "9" * 40, "9" * 41,
    "9" * 5000,
)  # fmt: skip
_DATES = (
    "9999-12-31 9999-12-30T00:00:00 9999-12-31T23:59:59.999999-14:00 0001-01-01T00:00:00+14:00 "
    "1899-12-30 1900-01-01T00:00:00+14:00 2026-02-30 10000-01-01 2026-12-31T24:00:00 -1"
).split()
_TEXTS = (
    "", " ", "\0", "a\0b", "\ud800", "x\udfff\ud800y", "\x1b]8;;https://evil.example\x07x",
    "\u202e\u2066x", "\x85\u2028\x9b31m", "[/x]", "=1+1", "%", "_\\", "'; DROP TABLE invoice; --",
    "undefined", "null", "true", "\u0663", "\U0001f4a9" * 80, "x" * 255, "x" * 256, "x" * 9000,
    "e\u0301" * 3000, "Europe/../etc", "pi_1", "18446744073709551616",
)  # fmt: skip
_SHAPES = (
    "null", "true", "[]", "{}", "[null]", "[[]]", "[{}]", '{"id":1}', '{"id":18446744073709551616}',
    "[18446744073709551616]", '[{"a":1e400}]', '{"a":{"b":"\\u0000"}}', '{"\\u0000":1}',
    '{"a":"\\ud800"}', '{"\\ud800":1}', '{"a":1,"a":2}', '{"":""}',
    *("[" * deep + "]" * deep for deep in (30, 33, 300, 5000)),
    *('{"a":' * deep + "1" + "}" * deep for deep in (30, 33, 300)),
    '[{"lookup_id":"x"}]', '["\\u0000"]',
)  # fmt: skip

JSON_VALUES: Sequence[str] = (
    *_NUMBERS,
    *(json.dumps(one) for one in (*_DATES, *_TEXTS, "9223372036854775808", "1e400")),
    *_SHAPES,
)
"""As they stand in a body: some of them are more than a JSON writer would write."""

QUERY_VALUES: Sequence[str] = (
    *_NUMBERS, *_DATES, *_TEXTS, "[1,2]", "[[[[", "{", "1,,x", ",".join("1" * 2000),
    '[{"filter_name":"reference","filter_type":4,"filter_value":"\0"}]',
    '[{"filter_name":"reference","filter_type":18446744073709551616,"filter_value":"x"}]',
    "[" * 5000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """One value of one request: a name in its path, a query parameter, or a property of its body.

    `body` is JSON text, in which `filled` puts a value; `updates` the same for a known record.
    """

    method: str
    path: str
    where: str
    name: str
    schema: Mapping[str, Any]
    body: str | None = None

    def filled(self, value: str, record_id: int | None = None) -> str:
        """The body with a value at the place; of the record with this id, if one is given."""
        assert self.body is not None, "only a property stands in a body"
        text = self.body
        if record_id is not None:
            text = text.replace("{", f'{{"id": {record_id}, ', 1)
        return text.replace(json.dumps(_MARK), value)

    @property
    def likely(self) -> Sequence[str]:
        """The values that a parser of this place's type has most to do with."""
        kinds = self.schema.get("type")
        if "format" in self.schema and "integer" not in (kinds or ()):
            found: Sequence[str] = _DATES
        elif isinstance(kinds, str | list) and {"integer", "number"} & {*_listed(kinds)}:
            return _NUMBERS
        elif isinstance(kinds, str | list) and "string" in _listed(kinds):
            found = _TEXTS
        else:
            return QUERY_VALUES if self.body is None else _SHAPES
        return found if self.body is None else [json.dumps(one) for one in found]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.where} {self.name}"


def _listed(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


def places(routes: Sequence[CaseInsensitiveRoute]) -> list[Place]:
    """Every place of these routes, in their order."""
    components = document(routes)["components"]["schemas"]
    return [one for route in routes for one in _of_route(route, components)]


def _of_route(route: CaseInsensitiveRoute, components: Mapping[str, Any]) -> Iterator[Place]:
    [method] = (route.methods or set()) - {"HEAD"}
    for name in re.findall(r"{(\w+)", route.path):
        yield Place(method, route.path, "path", name, {"type": "integer"})
    operation = route.operation
    if operation is None:
        return
    for name, parameter in operation.parameters.items():
        yield Place(method, route.path, "query", name, parameter.schema)
    if operation.takes is None or operation.takes_form:
        return
    bodies = _bodies(operation.takes, operation.example, components)
    for name, schema, body in bodies:
        yield Place(method, route.path, "body", name, schema, json.dumps(body))


def _bodies(
    schema: Mapping[str, Any], example: Any, components: Mapping[str, Any], depth: int = 0
) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """The example once for each of its properties, with the mark in that property's place."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    if depth > _NESTED_MAX:
        return
    yield "", schema, _MARK
    if schema.get("type") == "array" and "items" in schema:
        first = example[0] if example else {}
        for name, inner, body in _bodies(schema["items"], first, components, depth):
            yield f"[]{name}", inner, [body]
    base = example if isinstance(example, Mapping) else {}
    for name, one in schema.get("properties", {}).items():
        if one.get("readOnly"):  # nobody reads it
            continue
        for further, inner, body in _bodies(one, base.get(name), components, depth + 1):
            yield f".{name}{further}", inner, {**base, name: body}
