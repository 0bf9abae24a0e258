"""Tables, lines, instants and amounts as a terminal shows them to people.

Text of others cannot steer the terminal: whatever is printed goes through `table`, `words`, `say`
or `say_json`, which escape it. Nothing is read as rich's markup.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.control_characters import escape_controls, escape_json, escape_lines
from app.rules import money

# A terminal that does not say how wide it is, such as a log file or a pipe.
_PLAIN_WIDTH = 120
# An id, an amount or an instant of so many characters stands on one line, so that it can be copied
# and searched for; a column of words is folded, but not below a width that can be read.
_UNBROKEN_MAX = 64
_READABLE_MIN = 16


class _Screen(Console):
    """A console that shows a table that is too wide for it as it is, and cuts nothing off."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **{"crop": False, **options})


def console() -> Console:
    """The standard output. A pipe gets lines of a width that a table fits in."""
    found = _Screen(highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found.width = _PLAIN_WIDTH
    return found


def words(*parts: str | tuple[str, str]) -> Text:
    """A line of text; a part may be a pair of text and style."""
    styled = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((escape_controls(text), style) for text, style in styled))


def say(text: str, *, err: bool = False) -> None:
    """Print lines of text, on the standard output or as a message beside it."""
    click.echo(escape_lines(text), err=err)


def say_json(value: Any, *, indented: bool = False) -> None:
    """Print a value as JSON for programs."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else None).decode()
    say_json_text(f"{text}\n")


def say_json_text(text: str) -> None:
    """Print JSON text, whole or in pieces."""
    click.echo(escape_json(text), nl=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table. A column whose name starts with `>` is aligned to the right, as amounts are.

    A cell that is made of `words` keeps its style.
    """
    made = Table(title=words(title), title_justify="left", title_style="bold", header_style="dim")
    cells = [[_cell(value) for value in row] for row in rows]
    for number, name in enumerate(columns):
        right = name.startswith(">")
        made.add_column(
            words(name.lstrip(">")),
            justify="right" if right else "left",
            overflow="fold",
            min_width=_width_min([row[number] for row in cells]),
        )
    for row in cells:
        made.add_row(*row)
    return made


def _width_min(cells: Sequence[Text]) -> int | None:
    """Whole ids, or as much as words need to be read; None for no cells."""
    longest = max((one.cell_len for one in cells), default=0)
    unbroken = max(
        (len(word) for one in cells for word in one.plain.split() if len(word) <= _UNBROKEN_MAX),
        default=0,
    )
    return max(unbroken, min(longest, _READABLE_MIN)) or None


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    return words("" if value is None else str(value))


def moment(instant: object) -> str:
    """`2026-11-22 09:30:00Z`: an ISO instant without its fraction."""
    return f"{str(instant)[:19].replace('T', ' ')}Z" if instant else ""


def amount(value: Decimal | str, currency: str) -> str:
    """`1,234.50 EUR`"""
    exact = Decimal(value)
    places = money.exponent(currency)
    return f"{exact:,.{places}f} {currency.upper()}"
