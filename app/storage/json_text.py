"""Text properties inside a JSON column, as an SQL expression on both engines."""

from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.visitors import InternalTraversal


class JsonText(ColumnElement[str]):
    """A text property of a JSON column; NULL where there is none."""

    inherit_cache = True
    type = Text()
    _traverse_internals = [  # noqa: RUF012  as SQLAlchemy reads it
        ("column", InternalTraversal.dp_clauseelement),
        ("name", InternalTraversal.dp_string),
    ]

    def __init__(self, column: Any, name: str) -> None:
        assert name.isidentifier(), "the names of our own lists of properties, never a caller's"
        self.column = column
        self.name = name


@compiles(JsonText, "sqlite")
def _in_sqlite(element: JsonText, compiler: Any, **kw: Any) -> str:
    column = compiler.process(element.column, **kw)
    return f"json_extract({column}, '$.\"{element.name}\"')"


@compiles(JsonText, "postgresql")
def _in_postgres(element: JsonText, compiler: Any, **kw: Any) -> str:
    """An escaped NUL may stand in what a client gave us to keep, and PostgreSQL reads none."""
    column = compiler.process(element.column, **kw)
    readable = rf"strpos({column}, '\u0000') = 0"
    return f"(CASE WHEN {readable} THEN {column}::json ->> '{element.name}' END)"
