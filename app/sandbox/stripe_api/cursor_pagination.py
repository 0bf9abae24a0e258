"""Lists as Stripe pages them: newest first, by cursor, filtered; and `expand`."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice, takewhile
from math import inf
from typing import TypeVar

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import State, Table
from app.sandbox.account.object_templates import Obj

Row = TypeVar("Row")

_LIMIT = 10
_EXPANDABLE = {
    "charge": "charges",
    "customer": "customers",
    "default_payment_method": "payment_methods",
    "latest_charge": "charges",
    "mandate": "mandates",
    "payment_intent": "payment_intents",
    "payment_method": "payment_methods",
    "setup_intent": "setup_intents",
}


@dataclass(frozen=True, slots=True)
class Window:
    """A `created` filter: an instant, or any of gt, gte, lt, lte."""

    above: float = -inf
    below: float = inf

    @classmethod
    def asked(cls, created: object) -> "Window":
        if created is None:
            return cls()
        if not isinstance(created, dict):
            moment = _whole(created, "created")
            return cls(moment - 1, moment + 1)
        bounds = {name: _whole(value, f"created[{name}]") for name, value in created.items()}
        if unknown := bounds.keys() - {"gt", "gte", "lt", "lte"}:
            raise stripe_errors.malformed(
                f"Received unknown parameter: created[{min(unknown)}]",
                param="created",
                code="parameter_unknown",
            )
        return cls(
            max(bounds.get("gt", -inf), bounds.get("gte", -inf) - 1),
            min(bounds.get("lt", inf), bounds.get("lte", inf) + 1),
        )

    def holds(self, created: int) -> bool:
        return self.above < created < self.below


def _whole(value: object, param: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise stripe_errors.malformed(
            f"Invalid integer: {value}", param=param, code="parameter_invalid_integer"
        ) from None


def page(
    table: Table[Row],
    params: Obj,
    *,
    indexed: str | None = None,
    keep: Callable[[Row], bool],
    is_past: Callable[[Row], bool],
) -> tuple[list[Row], bool]:
    """One page, newest first, and whether more follow in the direction that was asked for.

    Nothing older than a row that is past can be wanted, so a poller's list stays short.
    """
    limit = params.get("limit", _LIMIT)
    places = table.places(indexed)
    if (after := params.get("starting_after")) is not None:
        below = bisect_left(places, _place(table, after, "starting_after"))
        walk: Iterable[int] = (places[at] for at in range(below - 1, -1, -1))
    elif (before := params.get("ending_before")) is not None:
        above = bisect_right(places, _place(table, before, "ending_before"))
        walk = (places[at] for at in range(above, len(places)))
    else:
        walk = reversed(places)
    is_upward = "ending_before" in params and "starting_after" not in params
    met: Iterable[Row] = map(table.at, walk)
    if not is_upward:
        met = takewhile(lambda row: not is_past(row), met)
    found = list(islice(filter(keep, met), limit + 1))
    rows = found[:limit]
    return rows[::-1] if is_upward else rows, len(found) > limit


def _place(table: Table[Row], cursor: str, param: str) -> int:
    place = table.place_of(cursor)
    if place is None:
        raise stripe_errors.invalid(
            f"No such object: '{cursor}'", param=param, code="resource_missing"
        )
    return place


def listed(
    state: State,
    table: str,
    params: Obj,
    url: str,
    *fields: str,
    also: Callable[[Obj], bool] | None = None,
) -> Obj:
    """A list filtered by `created` and the named fields; the first id is found by index."""
    window = Window.asked(params.get("created"))
    wanted = [(name, params[name]) for name in fields if name in params]
    indexed = next(
        (value for name, value in wanted if name in {"customer", "payment_intent", "charge"}), None
    )

    def keep(row: Obj) -> bool:
        return (
            window.holds(row.get("created", 0))
            and all(row.get(name) == value for name, value in wanted)
            and (also is None or also(row))
        )

    def is_past(row: Obj) -> bool:
        return not state.clock.went_back and row.get("created", inf) <= window.above

    rows, has_more = page(state[table], params, indexed=indexed, keep=keep, is_past=is_past)
    return object_templates.sublist(url, rows, has_more=has_more)


def expanded(state: State, answer: Obj, paths: object) -> Obj:
    """A copy of the answer with the ids at these paths replaced by their objects."""
    if not isinstance(paths, list):
        return answer
    for path in paths:
        answer = _expanded(state, answer, path.split("."), path)
    return answer


def _expanded(state: State, node: Obj, path: list[str], whole: str) -> Obj:
    field, rest = path[0], path[1:]
    value = node.get(field)
    if field not in node or (not isinstance(value, dict | list) and field not in _EXPANDABLE):
        raise stripe_errors.invalid(f"This property cannot be expanded ({whole}).", param="expand")
    if isinstance(value, str):
        value = state[_EXPANDABLE[field]].get(value) or value
    if rest and isinstance(value, dict):
        value = _expanded(state, value, rest, whole)
    elif rest and isinstance(value, list):
        value = [_expanded(state, item, rest, whole) for item in value]
    return {**node, field: value}
