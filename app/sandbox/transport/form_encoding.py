"""Form encoding as Stripe's SDKs send it: a[b]=c, a[]=x, a[0]=x and a[0][b]=c nest."""

from typing import Any
from urllib.parse import parse_qsl

from app.sandbox.account.object_templates import Obj


def decode(text: str) -> Obj:
    """Nested dicts and lists of text; `request_params` gives the values their types."""
    if not text:
        return {}
    root: Obj = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if "[" in name:
            _put(root, _keys(name), value)
        else:
            root[name] = value
    return {key: _with_lists(value) for key, value in root.items()}


def _keys(name: str) -> list[str]:
    head, *rest = name.split("[")
    return [head, *(part.rstrip("]") for part in rest)]


def _put(node: Obj, keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        child = node.setdefault(key or str(len(node)), {})
        if not isinstance(child, dict):
            child = node[key] = {}
        node = child
    node[keys[-1] or str(len(node))] = value


def _with_lists(value: Any) -> Any:
    """Turns each dict whose keys count 0, 1, 2 into the list it was."""
    if not isinstance(value, dict):
        return value
    items = {key: _with_lists(item) for key, item in value.items()}
    if items and all(key == str(place) for place, key in enumerate(items)):
        return list(items.values())
    return items
