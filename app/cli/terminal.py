"""Tables, instants and amounts as a terminal shows them to people."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from app.rules import money

# A terminal that does not say how wide it is, such as a log file or a pipe.
_PLAIN_WIDTH = 120


def console() -> Console:
    """The standard output. A pipe gets lines of a width that a table fits in."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table. A column whose name starts with `>` is aligned to the right, as amounts are."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for name in columns:
        right = name.startswith(">")
        made.add_column(name.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made


def moment(instant: object) -> str:
    """`2026-11-22 09:30:00Z`: an ISO instant without its fraction."""
    return f"{str(instant)[:19].replace('T', ' ')}Z" if instant else ""


def amount(value: Decimal | str, currency: str) -> str:
    """`1,234.50 EUR`"""
    exact = Decimal(value)
    places = money.exponent(currency)
    return f"{exact:,.{places}f} {currency.upper()}"
