"""Rows as CSV that a spreadsheet opens safely: no text of somebody else's becomes a formula.

Nor does it steer the terminal that shows the file.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

from app.control_characters import escape_controls
from app.rules import money

# A spreadsheet takes a cell that begins so for a formula, and runs it; one for Japanese the wide
# signs as well. https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")

Cell = str | int | Decimal | None


def csv_text(rows: Iterable[Sequence[Cell]]) -> str:
    """The lines of these rows. Text that would be a formula begins with an apostrophe."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(map(_cells, rows))
    return written.getvalue()


def amount_cell(amount: Decimal, currency: str) -> Decimal:
    """An amount with as many decimals as its currency has; it is written without an apostrophe."""
    return Decimal(money.text(amount, currency))


def _cells(row: Sequence[Cell]) -> list[str]:
    return [_text(cell) for cell in row]


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return _safe(cell)
        case Decimal():
            return f"{cell:f}"
        case int():
            return str(cell)


def _safe(text: str) -> str:
    """Blanks before a sign do not keep every spreadsheet from reading a formula."""
    shown = escape_controls(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
