"""Filters of lists that need more than a column and a value."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam
from sqlalchemy.orm import InstrumentedAttribute

from app.errors import InvalidField
from app.halo.engine import json_schema, parsing
from app.halo.engine.resource import (
    Attachable,
    Filter,
    ListCondition,
    Params,
    contains,
    parameter_value,
)
from app.storage.column_types import BigId
from app.storage.fulltext import like_pattern

Clause = ColumnElement[bool]

# Who asks, as a parameter of a list: put there by the endpoint, so that no caller can say it.
CALLER = "_caller"
# HaloPSA's own screens ask for one to three conditions.
CONDITIONS_MAX = 20
CONTAINS = 4


def refers_to(
    clause: Callable[[ColumnElement[int]], Clause] | Attachable, about: str = ""
) -> Filter:
    """The id of another record; 0 and -1, HaloPSA's words for none, ask for nothing."""

    def condition(name: str, params: Params) -> ListCondition | None:
        wanted = parsing.reference(name, parameter_value(params, name))
        if wanted is None:
            return None
        bound: ColumnElement[int] = bindparam(name, type_=BigId)
        made = clause == bound if isinstance(clause, InstrumentedAttribute) else clause(bound)
        return ListCondition(name, lambda: made, {name: wanted})

    named = clause.key if isinstance(clause, InstrumentedAttribute) else ""
    return Filter(condition, json_schema.WHOLE, about or f"Only those whose `{named}` is this.")


def excluded_when_false(clause: Clause, about: str) -> Filter:
    """`false` leaves out what the clause describes; `true` is what happens anyway."""

    def condition(name: str, params: Params) -> ListCondition | None:
        is_wanted = parsing.flag(name, parameter_value(params, name))
        return ListCondition(name, lambda: ~clause, {}) if is_wanted is False else None

    return Filter(condition, json_schema.FLAG, about)


def one_of_words(words: Mapping[str, Clause | None], about: str) -> Filter:
    """One of a few words, each with what it asks for; None asks for nothing."""

    def condition(name: str, params: Params) -> ListCondition | None:
        said = (parameter_value(params, name) or "").strip().lower()
        if not said:
            return None
        if said not in words:
            raise InvalidField(name, f"{said[:60]!r} is not one of {', '.join(words)}")
        clause = words[said]
        return None if clause is None else ListCondition(f"{name} {said}", lambda: clause, {})

    return Filter(condition, {"type": "string", "enum": list(words)}, about)


def on_day(column: Attachable, about: str) -> Filter:
    """Within the day that is given, in UTC as all our dates are."""

    def condition(name: str, params: Params) -> ListCondition | None:
        day = parsing.day(name, parameter_value(params, name))
        if day is None:
            return None
        begins = datetime.combine(day, time.min, tzinfo=UTC)
        first, after = (bindparam(f"{name}_{end}", type_=column.type) for end in ("first", "after"))
        return ListCondition(
            name,
            lambda: and_(column >= first, column < after),
            {f"{name}_first": begins, f"{name}_after": begins + timedelta(days=1)},
        )

    return Filter(condition, json_schema.MOMENT, about)


def of_caller(column: Attachable, clause: Clause, about: str) -> Filter:
    """Only those the clause describes, and whose column names whoever asks."""

    def condition(name: str, params: Params) -> ListCondition | None:
        if not parsing.flag(name, parameter_value(params, name)):
            return None
        asks = parsing.whole(name, parameter_value(params, CALLER))
        bound: ColumnElement[int] = bindparam(name, type_=column.type)
        return ListCondition(name, lambda: and_(clause, column == bound), {name: asks})

    return Filter(condition, json_schema.FLAG, about)


def advanced(fields: Mapping[str, ColumnElement[Any]]) -> Filter:
    """A JSON array of `{filter_name, filter_type, filter_value}`; all of them must hold."""

    def condition(name: str, params: Params) -> ListCondition | None:
        said = parameter_value(params, name)
        asked = _asked(name, said, fields) if said else []
        if not asked:
            return None
        names = [field for field, _ in asked]
        bound = {f"{name}_{place}": like_pattern(text) for place, (_, text) in enumerate(asked)}

        def clause() -> Clause:
            return and_(
                *(
                    contains(fields[field], bindparam(key))
                    for field, key in zip(names, bound, strict=True)
                )
            )

        return ListCondition(f"{name} {' '.join(names)}", clause, bound)

    about = "A JSON array of {filter_name, filter_type, filter_value}; filter_type 4 is contains."
    return Filter(condition, json_schema.TEXT, about)


def _asked(name: str, said: str, fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        raise InvalidField(name, "is not JSON") from None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or len(found) > CONDITIONS_MAX:
        raise InvalidField(name, f"is not an array of at most {CONDITIONS_MAX} conditions")
    return [_one(name, one, fields) for one in found]


def _one(name: str, said: Any, fields: Mapping[str, Any]) -> tuple[str, str]:
    if not isinstance(said, dict):
        raise InvalidField(name, "holds something that is no condition")
    field = str(said.get("filter_name", "")).lower()
    if field not in fields:
        raise InvalidField(f"{name}.filter_name", f"{field[:60]!r} is no text of this record")
    if parsing.small(f"{name}.filter_type", said.get("filter_type", CONTAINS)) != CONTAINS:
        raise InvalidField(f"{name}.filter_type", f"only {CONTAINS} (contains) is known")
    text = parsing.short(f"{name}.filter_value", said.get("filter_value"))
    if not text:
        raise InvalidField(f"{name}.filter_value", "is empty")
    return field, text
