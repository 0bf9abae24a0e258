"""Texts of others as a document prints them: no control steers it, and no text fills it alone."""

import re

from app.control_characters import escape_controls, escape_lines

# The longest text of one line of an invoice, and of all of them together.
DESCRIPTION_MAX = 20_000
ALL_DESCRIPTIONS_MAX = 400_000
NAME_MAX = 300
NOTE_MAX = 5_000
# A row takes as much paper as this many letters.
ROW_LETTERS = 40
# Longer than any word; scripts without blanks between words are broken by their own rules.
_UNBROKEN = re.compile("[^\\s\u0e00-\U0010ffff]{31,}")
_PIECE = re.compile("(.{24})(?=.)", re.DOTALL)
_EMPTY_ROWS = re.compile("\n{3,}")


def printed_line(text: str, longest: int = NAME_MAX) -> str:
    """The text on one line of its own, cut at its longest."""
    return _breakable(_cut(escape_controls(text[: longest + 1]), longest))


def printed_rows(text: str, longest: int = NOTE_MAX) -> str:
    """The text in its rows. Rows count as letters, so that empty ones take no pages."""
    rows = escape_lines(text[: longest + 1].replace("\r\n", "\n")).strip("\n")
    return _breakable(_cut_rows(_EMPTY_ROWS.sub("\n\n", rows), longest))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _cut_rows(text: str, longest: int) -> str:
    """The beginning of a text that costs no more than `longest`, with half of it for its rows."""
    rows = text.split("\n")
    rows_max = max(longest // (2 * ROW_LETTERS), 1)
    shown = "\n".join(rows[:rows_max])
    return _cut(shown if len(rows) <= rows_max else f"{shown} …", longest)


def _breakable(text: str) -> str:
    """A word longer than its column may be broken anywhere, by spaces without width."""
    return _UNBROKEN.sub(lambda found: _PIECE.sub("\\1\u200b", found[0]), text)
