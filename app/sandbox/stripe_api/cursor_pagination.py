"""Lists with a cursor, as Stripe pages them: newest first, filtered."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice, takewhile
from math import inf
from typing import TypeVar

from app.sandbox.account import object_templates, stripe_errors
from app.sandbox.account.account_state import AccountState, ObjectTable
from app.sandbox.account.object_templates import Obj
from app.sandbox.account.stripe_errors import integer

RowT = TypeVar("RowT")

_LIMIT = 10
_INDEXED = frozenset({"customer", "payment_intent", "charge", "payment_link", "source"})


@dataclass(frozen=True, slots=True)
class CreatedFilter:
    """The `created` filter of a list: an instant, or any of gt, gte, lt, lte."""

    above: float = -inf
    below: float = inf

    @classmethod
    def parse(cls, created: object) -> "CreatedFilter":
        if created is None:
            return cls()
        if not isinstance(created, dict):
            moment = integer("created", created)
            return cls(moment - 1, moment + 1)
        bounds = {name: integer(f"created[{name}]", value) for name, value in created.items()}
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

    def contains(self, created: int) -> bool:
        return self.above < created < self.below


def load_page(
    table: ObjectTable[RowT],
    params: Obj,
    *,
    indexed: str | None = None,
    keep: Callable[[RowT], bool],
    is_past: Callable[[RowT], bool],
) -> tuple[list[RowT], bool]:
    """One page, newest first, and whether more rows follow in the direction of the cursor.

    Reading ends at the first row that `is_past`, so that a poller reads only new rows.
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
    met: Iterable[RowT] = map(table.at, walk)
    if not is_upward:
        met = takewhile(lambda row: not is_past(row), met)
    found = list(islice(filter(keep, met), limit + 1))
    rows = found[:limit]
    return rows[::-1] if is_upward else rows, len(found) > limit


def _place(table: ObjectTable[RowT], cursor: str, param: str) -> int:
    place = table.place_of(cursor)
    if place is None:
        raise stripe_errors.invalid(
            f"No such object: '{cursor}'", param=param, code="resource_missing"
        )
    return place


def list_objects(
    state: AccountState,
    table: str,
    params: Obj,
    url: str,
    *fields: str,
    also: Callable[[Obj], bool] | None = None,
    among: str | None = None,
) -> Obj:
    """A list filtered by `created` and the named fields; the first id is found by index.

    `among` keeps to the rows that were indexed under this value.
    """
    window = CreatedFilter.parse(params.get("created"))
    wanted = [(name, params[name]) for name in fields if name in params]
    indexed = among or next((value for name, value in wanted if name in _INDEXED), None)

    def keep(row: Obj) -> bool:
        return (
            window.contains(row.get("created", 0))
            and all(row.get(name) == value for name, value in wanted)
            and (also is None or also(row))
        )

    def is_past(row: Obj) -> bool:
        return not state.clock.went_back and row.get("created", inf) <= window.above

    rows, has_more = load_page(state[table], params, indexed=indexed, keep=keep, is_past=is_past)
    return object_templates.sublist(url, rows, has_more=has_more)
