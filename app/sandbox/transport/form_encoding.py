"""Form encoding as Stripe's SDKs send it: a[b]=c, a[]=x, a[0]=x and a[0][b]=c nest."""

from typing import Any
from urllib.parse import parse_qsl

Obj = dict[str, Any]


def decoded(text: str) -> Obj:
    """Nested dicts and lists of text; the call that uses a value says what it is."""
    if not text:
        return {}
    root: Obj = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if "[" in name:
            _place(root, _keys(name), value)
        else:
            root[name] = value
    return {key: _lists(value) for key, value in root.items()}


def _keys(name: str) -> list[str]:
    head, *rest = name.split("[")
    return [head, *(part.rstrip("]") for part in rest)]


def _place(node: Obj, keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        child = node.setdefault(key or str(len(node)), {})
        if not isinstance(child, dict):
            child = node[key] = {}
        node = child
    node[keys[-1] or str(len(node))] = value


def _lists(value: Any) -> Any:
    """A dict whose keys count 0, 1, 2 was an array."""
    if not isinstance(value, dict):
        return value
    items = {key: _lists(item) for key, item in value.items()}
    if items and all(key == str(place) for place, key in enumerate(items)):
        return list(items.values())
    return items
