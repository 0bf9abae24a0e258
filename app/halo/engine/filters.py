"""Filters: the query parameters that put a condition on a list.

A SELECT is built once for each combination of filters and then runs with other values. So a filter
does two things apart: `condition` reads the values of a request, `clause` builds the SQL.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import ColumnElement, Date, Text, and_, bindparam, or_
from sqlalchemy.orm import InstrumentedAttribute

from app.errors import InvalidField
from app.halo.engine import json_schema, parsing
from app.halo.engine.json_schema import Schema
from app.halo.engine.parsing import Parser
from app.storage.column_types import BigId
from app.storage.fulltext import TRIGRAM, like_pattern, search_parameters

Params = Mapping[str, Sequence[str]]
"""Query parameters: names in lower case and without `[]`, each with all its values."""

Clause = ColumnElement[bool]
TableColumn = InstrumentedAttribute[Any]

# The caller's id, as a parameter of a list: the endpoint adds it, and no caller can write it.
CALLER = "_caller"
# A longer list is a mistake, and databases bound the number of parameters.
IDS_MAX = 1000
# HaloPSA's own screens ask for one to three conditions.
CONDITIONS_MAX = 20
CONTAINS = 4


def parameter_value(params: Params, name: str) -> str | None:
    """The last value of a parameter; None when it is absent or says nothing."""
    values = params.get(name)
    last = values[-1] if values else ""
    return None if last.strip().lower() in ("", "undefined", "null") else last


def is_set(params: Params, name: str) -> bool:
    return bool(parsing.flag(name, parameter_value(params, name)))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter as OpenAPI describes it."""

    schema: Schema
    about: str


class ListCondition(NamedTuple):
    """A filter that a request uses, with the values it gave. `variant` chooses among clauses."""

    filter: "Filter"
    name: str
    values: Mapping[str, Any]
    variant: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Conditions of the same key have the same clause."""
        return self.name, self.variant

    def clause(self) -> Clause:
        return self.filter.clause(self.name, self.variant)


class Filter(ABC):
    """One query parameter of a list. `name` is the parameter's, and that of its bound values."""

    @property
    @abstractmethod
    def parameter(self) -> Parameter: ...

    @property
    def further_parameters(self) -> Mapping[str, Parameter]:
        """Parameters that it reads besides its own."""
        return {}

    @abstractmethod
    def condition(self, name: str, params: Params) -> ListCondition | None:
        """The condition that a request asks for; None when it asks for nothing."""

    @abstractmethod
    def clause(self, name: str, variant: str) -> Clause: ...


@dataclass(frozen=True, eq=False)
class Equals(Filter):
    """The column has this value. A parser is named where the column's Field names one."""

    column: TableColumn
    parse: Parser | None = None
    about: str = ""

    @property
    def parameter(self) -> Parameter:
        about = self.about or f"Only those whose `{self.column.key}` is this."
        return Parameter(json_schema.parser_schema(_parser(self.column, self.parse)), about)

    def condition(self, name: str, params: Params) -> ListCondition | None:
        value = _parser(self.column, self.parse)(name, parameter_value(params, name))
        return None if value is None else ListCondition(self, name, {name: value})

    def clause(self, name: str, variant: str) -> Clause:
        return self.column == bindparam(name, type_=self.column.type)


@dataclass(frozen=True, eq=False)
class OneOf(Filter):
    """The column has one of several values: comma-separated, repeated, or a plain JSON array."""

    column: TableColumn
    parse: Parser | None = None
    about: str = ""

    @property
    def parameter(self) -> Parameter:
        items = json_schema.parser_schema(_parser(self.column, self.parse))
        about = self.about or f"Only those whose `{self.column.key}` is one of these."
        return Parameter({"type": "array", "items": items, "maxItems": IDS_MAX}, about)

    def condition(self, name: str, params: Params) -> ListCondition | None:
        parts = ",".join(params.get(name, ())).strip("[] ").split(",")
        texts = [part.strip() for part in parts if part.strip().lower() not in ("", "undefined")]
        if len(texts) > IDS_MAX:
            raise InvalidField(name, f"holds more than {IDS_MAX} values")
        parse = _parser(self.column, self.parse)
        values = [one for text in texts if (one := parse(name, text)) is not None]
        return ListCondition(self, name, {name: values}) if values else None

    def clause(self, name: str, variant: str) -> Clause:
        return self.column.in_(bindparam(name, type_=self.column.type, expanding=True))


@dataclass(frozen=True, eq=False)
class References(Filter):
    """The id of another record; 0 and -1, which mean none in HaloPSA, ask for nothing.

    The id is compared with a column, or is given to a function that builds the clause.
    """

    target: TableColumn | Callable[[ColumnElement[int]], Clause]
    about: str = ""

    @property
    def parameter(self) -> Parameter:
        named = self.target.key if isinstance(self.target, InstrumentedAttribute) else ""
        return Parameter(json_schema.WHOLE, self.about or f"Only those whose `{named}` is this.")

    def condition(self, name: str, params: Params) -> ListCondition | None:
        record_id = parsing.reference(name, parameter_value(params, name))
        return None if record_id is None else ListCondition(self, name, {name: record_id})

    def clause(self, name: str, variant: str) -> Clause:
        bound: ColumnElement[int] = bindparam(name, type_=BigId)
        if isinstance(self.target, InstrumentedAttribute):
            return self.target == bound
        return self.target(bound)


@dataclass(frozen=True, eq=False)
class TextClause(Filter):
    """A short text that is given to a function, which builds the clause."""

    build: Callable[[ColumnElement[str]], Clause]
    about: str

    @property
    def parameter(self) -> Parameter:
        return Parameter(json_schema.SHORT_TEXT, self.about)

    def condition(self, name: str, params: Params) -> ListCondition | None:
        text = parsing.short_text(name, parameter_value(params, name))
        return None if text is None else ListCondition(self, name, {name: text})

    def clause(self, name: str, variant: str) -> Clause:
        return self.build(bindparam(name, type_=Text))


@dataclass(frozen=True, eq=False)
class WhenSet(Filter):
    """`true` keeps only the records that the clause describes."""

    described: Clause
    about: str = "Only those of which this is true."

    @property
    def parameter(self) -> Parameter:
        return Parameter(json_schema.FLAG, self.about)

    def condition(self, name: str, params: Params) -> ListCondition | None:
        return ListCondition(self, name, {}) if is_set(params, name) else None

    def clause(self, name: str, variant: str) -> Clause:
        return self.described


@dataclass(frozen=True, eq=False)
class ExcludedWhenFalse(Filter):
    """`false` leaves out the records that the clause describes; `true` changes nothing."""

    described: Clause
    about: str

    @property
    def parameter(self) -> Parameter:
        return Parameter(json_schema.FLAG, self.about)

    def condition(self, name: str, params: Params) -> ListCondition | None:
        is_wanted = parsing.flag(name, parameter_value(params, name))
        return ListCondition(self, name, {}) if is_wanted is False else None

    def clause(self, name: str, variant: str) -> Clause:
        return ~self.described


@dataclass(frozen=True, eq=False)
class OneOfWords(Filter):
    """One of a few words, each with its clause; a word without a clause asks for nothing."""

    words: Mapping[str, Clause | None]
    about: str

    @property
    def parameter(self) -> Parameter:
        return Parameter({"type": "string", "enum": list(self.words)}, self.about)

    def condition(self, name: str, params: Params) -> ListCondition | None:
        word = (parameter_value(params, name) or "").strip().lower()
        if not word:
            return None
        if word not in self.words:
            raise InvalidField(name, f"{word[:60]!r} is not one of {', '.join(self.words)}")
        return None if self.words[word] is None else ListCondition(self, name, {}, word)

    def clause(self, name: str, variant: str) -> Clause:
        clause = self.words[variant]
        assert clause is not None, "such a word makes no condition"
        return clause


@dataclass(frozen=True, eq=False)
class OnDay(Filter):
    """The column lies within the day given, in UTC as all our instants are."""

    column: TableColumn
    about: str

    @property
    def parameter(self) -> Parameter:
        return Parameter(json_schema.MOMENT, self.about)

    def condition(self, name: str, params: Params) -> ListCondition | None:
        day = parsing.day(name, parameter_value(params, name))
        if day is None:
            return None
        first = datetime.combine(day, time.min, tzinfo=UTC)
        last = datetime.combine(day, time.max, tzinfo=UTC)
        values = {f"{name}_first": first, f"{name}_last": last}
        return ListCondition(self, name, values)

    def clause(self, name: str, variant: str) -> Clause:
        kind = self.column.type
        first, last = (bindparam(f"{name}_{end}", type_=kind) for end in ("first", "last"))
        return and_(self.column >= first, self.column <= last)


@dataclass(frozen=True, eq=False)
class OfCaller(Filter):
    """`true` keeps only the records that the clause describes and whose column names the caller."""

    column: TableColumn
    described: Clause
    about: str

    @property
    def parameter(self) -> Parameter:
        return Parameter(json_schema.FLAG, self.about)

    def condition(self, name: str, params: Params) -> ListCondition | None:
        if not is_set(params, name):
            return None
        caller_id = parsing.whole(name, parameter_value(params, CALLER))
        return ListCondition(self, name, {name: caller_id})

    def clause(self, name: str, variant: str) -> Clause:
        bound: ColumnElement[int] = bindparam(name, type_=self.column.type)
        return and_(self.described, self.column == bound)


@dataclass(frozen=True, eq=False)
class _DateBound(Filter):
    """A bound for the date column that `datesearch` names; for the first when it names none."""

    columns: Mapping[str, TableColumn]
    is_start: ClassVar[bool]

    @property
    def parameter(self) -> Parameter:
        first = next(iter(self.columns))
        dates = "the date that `datesearch` names" if len(self.columns) > 1 else f"`{first}`"
        side = "at or after" if self.is_start else "at or before"
        whole_day = "" if self.is_start else ", a day without a time included"
        return Parameter(json_schema.MOMENT, f"Only those with {dates} {side} this{whole_day}.")

    @property
    def further_parameters(self) -> Mapping[str, Parameter]:
        if len(self.columns) == 1:
            return {}
        names = list(self.columns)
        schema = {"type": "string", "enum": names, "default": names[0]}
        return {"datesearch": Parameter(schema, "The date that `start_date` and `end_date` mean.")}

    def condition(self, name: str, params: Params) -> ListCondition | None:
        text = parameter_value(params, name)
        # Published as booleans, and some clients believe it.
        if text is None or text.lower() in ("true", "false"):
            return None
        chosen = self._chosen(params)
        return ListCondition(self, name, {name: self._bound(chosen, name, text)}, chosen)

    def clause(self, name: str, variant: str) -> Clause:
        column = self.columns[variant]
        bound: ColumnElement[Any] = bindparam(name, type_=column.type)
        return column >= bound if self.is_start else column <= bound

    def _chosen(self, params: Params) -> str:
        first = next(iter(self.columns))
        chosen = parameter_value(params, "datesearch") or first
        if len(self.columns) == 1:
            return first
        if chosen not in self.columns:
            raise InvalidField("datesearch", f"{chosen!r} is not one of {', '.join(self.columns)}")
        return chosen

    def _bound(self, chosen: str, name: str, text: str) -> date | datetime | None:
        if isinstance(self.columns[chosen].type, Date):
            return parsing.day(name, text)
        moment = parsing.instant(name, text)
        if moment is None or self.is_start or len(text.strip()) > len("2026-01-31"):
            return moment
        return datetime.combine(moment.date(), time.max, UTC)


@dataclass(frozen=True, eq=False)
class Since(_DateBound):
    """The date is at or after the one given."""

    is_start: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class Until(_DateBound):
    """The date is at or before the one given; a date without a time is that whole day."""

    is_start: ClassVar[bool] = False


@dataclass(frozen=True, eq=False)
class Search(Filter):
    """Free text that one of the clauses finds; an index, where there is one, finds it faster."""

    clauses: Callable[[ColumnElement[str]], Sequence[Clause]]
    by_index: Callable[[str], Clause] | None = None

    @property
    def parameter(self) -> Parameter:
        schema = json_schema.parser_schema(parsing.short_text)
        return Parameter(schema, "Only those that hold this text, in any case of letters.")

    def condition(self, name: str, params: Params) -> ListCondition | None:
        text = parsing.short_text(name, parameter_value(params, name))
        if text is None:
            return None
        if self.by_index and len(text) >= TRIGRAM:
            return ListCondition(self, name, search_parameters(name, text), "indexed")
        return ListCondition(self, name, {name: like_pattern(text)})

    def clause(self, name: str, variant: str) -> Clause:
        if variant and self.by_index:
            return self.by_index(name)
        return or_(*self.clauses(bindparam(name)))


@dataclass(frozen=True, eq=False)
class AdvancedSearch(Filter):
    """A JSON array of `{filter_name, filter_type, filter_value}`; all of them must hold."""

    fields: Mapping[str, ColumnElement[Any]]

    @property
    def parameter(self) -> Parameter:
        shape = "{filter_name, filter_type, filter_value}"
        return Parameter(json_schema.TEXT, f"A JSON array of {shape}; filter_type 4 is contains.")

    def condition(self, name: str, params: Params) -> ListCondition | None:
        text = parameter_value(params, name)
        terms = self._terms(name, text) if text else []
        if not terms:
            return None
        values = {
            f"{name}_{place}": like_pattern(wanted) for place, (_, wanted) in enumerate(terms)
        }
        return ListCondition(self, name, values, " ".join(field for field, _ in terms))

    def clause(self, name: str, variant: str) -> Clause:
        fields = enumerate(variant.split())
        return and_(
            *(contains(self.fields[one], bindparam(f"{name}_{place}")) for place, one in fields)
        )

    def _terms(self, name: str, text: str) -> list[tuple[str, str]]:
        """The fields that are looked into, each with the text it must contain."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise InvalidField(name, "is not JSON") from None
        if isinstance(found, dict):
            found = [found]
        if not isinstance(found, list) or len(found) > CONDITIONS_MAX:
            raise InvalidField(name, f"is not an array of at most {CONDITIONS_MAX} conditions")
        return [self._term(name, one) for one in found]

    def _term(self, name: str, given: Any) -> tuple[str, str]:
        if not isinstance(given, dict):
            raise InvalidField(name, "holds something that is no condition")
        field = str(given.get("filter_name", "")).lower()
        if field not in self.fields:
            raise InvalidField(f"{name}.filter_name", f"{field[:60]!r} is no text of this record")
        if parsing.small(f"{name}.filter_type", given.get("filter_type", CONTAINS)) != CONTAINS:
            raise InvalidField(f"{name}.filter_type", f"only {CONTAINS} (contains) is known")
        text = parsing.short_text(f"{name}.filter_value", given.get("filter_value"))
        if not text:
            raise InvalidField(f"{name}.filter_value", "is empty")
        return field, text


def contains(column: Any, pattern: ColumnElement[str]) -> Clause:
    clause: Clause = column.ilike(pattern, escape="\\")
    return clause


def _parser(column: TableColumn, parse: Parser | None) -> Parser:
    return parse or parsing.parser_of(column.type)
