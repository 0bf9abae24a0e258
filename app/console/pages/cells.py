"""Rows of a plain list: cells of a few kinds, so that such a page needs no template of its own."""

from collections.abc import Sequence
from typing import NamedTuple

from app.console.pages.wording import ShownAmount, ShownState


class ListColumn(NamedTuple):
    """A column's title, and its kind: `text`, `name`, `low`, `num`, `money`, `state` or `id`."""

    title: str
    kind: str = "text"
    # Left out on a middling screen.
    is_minor: bool = False


class ListCell(NamedTuple):
    """One cell, of the kind of its column. `opens` marks the link that the row stands for."""

    text: str = ""
    href: str | None = None
    why: str = ""
    opens: bool = False
    amount: ShownAmount | None = None
    state: ShownState | None = None


class ListSection(NamedTuple):
    """A table with its heading, or the words that stand where it would be empty."""

    title: str
    columns: Sequence[ListColumn]
    rows: Sequence[Sequence[ListCell]]
    empty: str = "Nothing"
    note: str = ""


def opening(text: str, href: str, why: str = "") -> ListCell:
    return ListCell(text, href, why, opens=True)


def amount_of(amount: ShownAmount, href: str | None = None) -> ListCell:
    return ListCell(amount=amount, href=href, opens=href is not None)


def state_of(state: ShownState) -> ListCell:
    return ListCell(state=state)
