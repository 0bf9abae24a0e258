"""Free text found anywhere in some columns of a table, by an index of trigrams on either engine.

SQLite: an FTS5 table beside the table, kept up to date by triggers that only changes of these very
columns set off. PostgreSQL: a GIN index of pg_trgm over the columns' joined text; where the
extension may not be made, the same question is answered without an index. A text of one or two
characters holds no trigram and is looked for row by row. Both indexes are made by a migration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal

TRIGRAM = 3
# Numbers differ at their ends and begin alike: by its end a text is found among few candidates.
_TAIL = 6


@dataclass(frozen=True)
class SearchIndex:
    """The searched columns of a table; `search_parameters` makes a statement's parameters."""

    table: str
    columns: Sequence[str]

    @property
    def name(self) -> str:
        return f"{self.table}_search"

    @property
    def joined(self) -> str:
        """A row's text; a line break keeps one column's end from another's start."""
        parts = (f"coalesce({self.table}.{column}, '')" for column in self.columns)
        return "(" + " || '\n' || ".join(parts) + ")"

    def holds(self, name: str) -> ColumnElement[bool]:
        """The row's text holds what is given by this name."""
        wanted = ("pattern", "tail", "phrase", "check")
        return _Holds(self, *(bindparam(f"{name}_{one}") for one in wanted))


def search_parameters(name: str, said: str) -> dict[str, str]:
    """The parameters of `holds`: the text as a LIKE pattern, its end as a phrase of trigrams.

    SQLite compares other letters than A to Z only in its trigrams without regard to case; a text
    with such letters is looked for as a whole there, and not checked again.
    """
    tail = said[-_TAIL:] if said.isascii() else said
    quoted = tail.replace('"', '""')
    # PostgreSQL makes trigrams of letters and digits only.
    end = said[-_TAIL:] if said[-_TAIL:].isalnum() else said
    return {
        f"{name}_pattern": like_pattern(said),
        f"{name}_tail": like_pattern(end),
        f"{name}_phrase": f'"{quoted}"',
        f"{name}_check": like_pattern(said) if said.isascii() else "%",
    }


def like_pattern(said: str) -> str:
    """The LIKE pattern that finds a text anywhere, whatever characters it holds."""
    for special in "\\%_":
        said = said.replace(special, f"\\{special}")
    return f"%{said}%"


class _Holds(ColumnElement[bool]):
    inherit_cache = True
    _is_implicitly_boolean = True  # otherwise SQLite is asked whether it `= 1`
    _traverse_internals = [  # noqa: RUF012  as SQLAlchemy reads it
        ("index_name", InternalTraversal.dp_string),
        ("pattern", InternalTraversal.dp_clauseelement),
        ("tail", InternalTraversal.dp_clauseelement),
        ("phrase", InternalTraversal.dp_clauseelement),
        ("check", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, index: SearchIndex, *values: BindParameter[Any]) -> None:
        self.index = index
        self.index_name = index.name
        self.pattern, self.tail, self.phrase, self.check = values
        self.type = Boolean()


@compiles(_Holds, "postgresql")
def _by_pattern(element: _Holds, compiler: Any, **kw: Any) -> str:
    """The end finds the candidates. The whole is no condition for the index: what numbers have in
    common would be looked up in it, a million rows long."""
    joined = element.index.joined
    tail = compiler.process(element.tail, **kw)
    whole = compiler.process(element.pattern, **kw)
    return f"({joined} ILIKE {tail} AND ({joined} || '') ILIKE {whole})"


@compiles(_Holds, "sqlite")
def _by_phrase(element: _Holds, compiler: Any, **kw: Any) -> str:
    index, name = element.index, element.index_name
    phrase = compiler.process(element.phrase, **kw)
    check = compiler.process(element.check, **kw)
    return (
        f"({index.table}.id IN (SELECT rowid FROM {name} "  # noqa: S608  names of ours
        f"WHERE {name} MATCH {phrase}) AND {index.joined} LIKE {check} ESCAPE '\\')"
    )
