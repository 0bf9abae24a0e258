"""The row type of every prepared statement says what its columns answer, on both engines."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest
from sqlalchemy import Column, Dialect, Integer, Join, Label, Select, column
from sqlalchemy.dialects.postgresql.asyncpg import dialect as postgresql
from sqlalchemy.dialects.sqlite.aiosqlite import dialect as sqlite
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import AsBoolean, BinaryExpression, BooleanClauseList

import app
from app.storage.prepared import PreparedStatement, any_of

DIALECTS: dict[str, Dialect] = {"sqlite": sqlite(), "postgresql": postgresql()}

# Running them is their purpose.
NOT_IMPORTED = ("app.__main__", "app.migrations.")

ANY_COLUMN = column("any", Integer)

# A comparison that is true rules NULL out.
STRICT = {operators.eq, operators.lt, operators.le, operators.gt, operators.ge, operators.is_not}

NEVER_NULL = {
    "app.ledger.balances._SUMS": {
        "paid": "a group has a row, and `counted` is NOT NULL",
        "pending": "a group has a row, and its CASE has an ELSE",
        "reversed": "a group has a row, and its CASE has an ELSE",
    },
    "app.ledger.approvals._CURRENT": {"is_used": "EXISTS is true or false"},
    **{
        f"app.payments.autopay.spending_limits.{name}": {"amount_minor": "coalesce with 0"}
        for name in ("_OF_DAY", "_OF_CLIENT", "_OF_RUN")
    },
    "app.ledger.payout_lines._SUMS": {
        "lines": "a count is never NULL",
        "gross": "a group has a row, and `amount` is NOT NULL",
        "fee": "a group has a row, and `fee` is NOT NULL",
        "net": "a group has a row, and `net` is NOT NULL",
    },
}


def _statements() -> dict[str, PreparedStatement[Any]]:
    """Each once, by the module that makes it and its name there."""
    found: dict[int, tuple[str, PreparedStatement[Any]]] = {}
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.startswith(NOT_IMPORTED):
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, PreparedStatement):
                    found.setdefault(id(value), (f"{module.name}.{name}", value))
    return dict(found.values())


STATEMENTS = _statements()


def test_the_statements_of_the_money_are_among_those_that_are_found() -> None:
    modules = {name.rpartition(".")[0] for name in STATEMENTS}

    assert modules >= {
        "app.ledger.balances",
        "app.ledger.payment_intents",
        "app.payments.autopay.attempts",
        "app.payments.autopay.candidates",
        "app.payments.webhook.dead_letters",
    }


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_row_type_declares_the_type_of_each_column_and_whether_it_may_be_null(
    name: str, dialect: Dialect
) -> None:
    statement = STATEMENTS[name]

    declared = get_type_hints(statement._row)

    columns = {one.key: one for one in statement.compile(dialect).columns}
    assert list(declared) == list(columns)
    objects = {field for field, hint in declared.items() if hint is object}
    may_be_none = {field for field, hint in declared.items() if _may_be_none(hint)}
    assert may_be_none <= _nullable(statement, dialect)
    assert _null_in_some_row(statement, dialect) - set(NEVER_NULL.get(name, {})) - objects <= (
        may_be_none
    )
    assert {
        field: (_type_of(hint), columns[field].type.python_type)
        for field, hint in declared.items()
        if columns[field].type.python_type not in {_type_of(hint), object}  # JSON is any object
    } == {}


def test_each_exception_is_needed() -> None:
    needless = {
        f"{name} {field}"
        for name, fields in NEVER_NULL.items()
        for field in fields
        if field not in _null_in_some_row(STATEMENTS[name], DIALECTS["sqlite"])
        or _may_be_none(get_type_hints(STATEMENTS[name]._row)[field])
    }

    assert needless == set()


def _may_be_none(hint: Any) -> bool:
    return NoneType in get_args(hint)


def _type_of(hint: Any) -> Any:
    """The type itself, without its None."""
    given = [one for one in get_args(hint) if one is not NoneType]
    return given[0] if _may_be_none(hint) and given else hint


def _nullable(statement: PreparedStatement[Any], dialect: Dialect) -> set[str]:
    """The fields that the tables and the joins allow to be NULL."""
    core = _core(statement, dialect)
    outer = set(_outer_joined(core, dialect))
    return {
        key
        for key, one in _columns(core).items()
        if not isinstance(one, Column) or one.nullable or one.table in outer
    }


def _null_in_some_row(statement: PreparedStatement[Any], dialect: Dialect) -> set[str]:
    """Those of them that the statement's own WHERE does not rule out."""
    core = _core(statement, dialect)
    compared = set(_compared(core.whereclause)) if isinstance(core, Select) else set()
    columns = _columns(core)
    return {key for key in _nullable(statement, dialect) if columns[key] not in compared}


def _core(statement: PreparedStatement[Any], dialect: Dialect) -> Any:
    given = statement._statement
    return given(dialect.name) if callable(given) else given


def _columns(core: Any) -> dict[str, Any]:
    return {
        one.key: one.element if isinstance(one, Label) else one for one in core.exported_columns
    }


def _outer_joined(core: Any, dialect: Dialect) -> Iterator[Any]:
    """Tables of which a row may have nothing; which they are is settled by compiling."""
    sources = getattr(core.compile(dialect=dialect).compile_state, "froms", [])
    for one in (part for source in sources for part in visitors.iterate(source)):
        if isinstance(one, Join) and one.isouter:
            yield one.right


def _compared(condition: Any) -> Iterator[Any]:
    """Columns that a row can only have with a value, as all of the condition has to be true."""
    if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for one in condition.clauses:
            yield from _compared(one)
    elif isinstance(condition, BinaryExpression) and condition.operator in STRICT:
        yield condition.left
    elif isinstance(condition, AsBoolean):
        yield from _compared(condition.element)
    elif isinstance(condition, type(any_of(ANY_COLUMN, "values"))):
        yield condition.column
