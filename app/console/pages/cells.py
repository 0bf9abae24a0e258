"""The list part: columns, cells and rows of a few kinds, so that a table needs no template."""

from collections.abc import Sequence
from typing import NamedTuple

from app.console.language import N_
from app.console.pages.wording import ShownAmount, ShownState


class ListColumn(NamedTuple):
    """A column's title, and its kind: `text`, `name`, `low`, `num`, `when`, `money`, `state`, `id`.

    `text` is read, `low` looked up; a `name` may be cut; an `id` is copied by a click.
    """

    title: str
    kind: str = "text"
    # Left out on a middling screen.
    is_minor: bool = False
    # The rows are in the order of this column, the newest first.
    is_order: bool = False


class ListCell(NamedTuple):
    """One cell, of the kind of its column. `opens` marks the link that the row stands for."""

    text: str = ""
    href: str | None = None
    why: str = ""
    opens: bool = False
    amount: ShownAmount | None = None
    state: ShownState | None = None
    # The whole of what the text shortens.
    title: str = ""
    is_dim: bool = False
    # The link is something to do, rather than the thing that the cell names.
    is_act: bool = False


class Tick(NamedTuple):
    """The box by which a row is selected, with the amount that the selection adds up."""

    id: int
    label: str
    currency: str
    minor: int
    places: int


class ListSection(NamedTuple):
    """A table with its heading, or the words that stand where it would be empty."""

    title: str
    columns: Sequence[ListColumn]
    rows: Sequence[Sequence[ListCell]]
    empty: str = N_("Nothing")
    note: str = ""
    # One for each row, where rows are selected; the selection goes to this address as a file.
    ticks: Sequence[Tick] = ()
    file: str = ""
    empty_hint: str = ""
    # The button of the selection, where it is not for a file.
    tick_button: str = ""


def opening(text: str, href: str, why: str = "") -> ListCell:
    return ListCell(text, href, why, opens=True)


def amount_of(amount: ShownAmount, href: str | None = None) -> ListCell:
    return ListCell(amount=amount, href=href, opens=href is not None)


def state_of(state: ShownState) -> ListCell:
    return ListCell(state=state)
