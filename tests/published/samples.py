"""For each published property that a client may set: a value that no record has by itself."""

from typing import Any

from tests.published.contract import properties, wider

_BY_TYPE: dict[str, Any] = {
    "any": "x",
    "array": [{"id": 3, "name": "x"}],
    "boolean": True,
    "datetime": "2026-05-04T10:20:30",
    "integer": 7,
    "number": 12.5,
    "object": {"id": 3, "name": "x"},
}


def sample(name: str, kind: str) -> Any:
    if kind == "string":
        return f"a {name}"
    if kind.startswith("array["):
        return _BY_TYPE["array"]
    return _BY_TYPE.get(kind, _BY_TYPE["object"])


def kept(schema: str, computed: set[str], **given: Any) -> dict[str, Any]:
    """A value for each published property but those that the service works out itself."""
    named = properties(schema).items()
    return {
        name: given.get(name, sample(name, kind)) for name, kind in named if name not in computed
    }


def kept_wider(schema: str, others: set[str], **given: Any) -> dict[str, Any]:
    """The same for the properties that are published elsewhere."""
    named = wider(schema).items()
    return {name: given.get(name, sample(name, kind)) for name, kind in named if name not in others}
