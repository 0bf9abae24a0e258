"""Lists: filters in the address, pages by keyset, sums by currency, all read within bounds.

A page looks at so many of the newest rows, whatever is filtered, so that no filter makes it slow
and no index has to be kept for each; a list that found too few says how far back it has looked.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Subquery, Table, func, select
from starlette.datastructures import QueryParams

from app.console.language import Plural, _
from app.console.pages.wording import ShownAmount, ViewerTime, shown_amount
from app.storage.engines import Tx

PAGE = 25
# Rows that one page looks at: read in a few milliseconds, and more than a filter mostly needs.
LOOKED_AT_MAX = 5000
_BIGINT_MAX = 2**63 - 1

# A condition on the rows that were looked at, which are the columns of a subquery.
RowCondition = Callable[[Mapping[str, ColumnElement[Any]]], ColumnElement[bool]]


# --- the address -------------------------------------------------------------------------------


class FilterField(NamedTuple):
    """A filter that a list offers: a text, or one of its choices."""

    name: str
    label: str
    choices: Sequence[tuple[str, str]] = ()
    hint: str = ""


class ShownField(NamedTuple):
    name: str
    label: str
    choices: Sequence[tuple[str, str]]
    hint: str
    value: str


class FilterChip(NamedTuple):
    """A filter that is set, and the address of the list without it."""

    label: str
    text: str
    without: str


class ColumnChoice(NamedTuple):
    """A column that a list may show."""

    name: str
    label: str
    is_shown: bool


class ViewForm(NamedTuple):
    """The form that saves what the address shows, or removes the saved view that it is."""

    path: str
    query: str
    saved_id: int | None


class FilterBar(NamedTuple):
    action: str
    chips: Sequence[FilterChip]
    fields: Sequence[ShownField]
    errors: Sequence[str]
    columns: Sequence[ColumnChoice] = ()
    view: ViewForm | None = None


class ListTab(NamedTuple):
    """A view of a list that many want, by its address."""

    href: str
    text: str
    is_current: bool
    number: str | None = None


class Pager(NamedTuple):
    first_href: str | None
    next_href: str | None
    next_text: str
    note: str


def filter_values(params: QueryParams, fields: Sequence[FilterField]) -> dict[str, str]:
    """The filters that the address sets; a choice that there is none of sets nothing."""
    values: dict[str, str] = {}
    for field in fields:
        value = params.get(field.name, "").strip()
        if value and (not field.choices or value in dict(field.choices)):
            values[field.name] = value
    return values


def address(path: str, values: Mapping[str, object]) -> str:
    given = {name: value for name, value in values.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def filter_bar(
    path: str, fields: Sequence[FilterField], values: Mapping[str, str], errors: Sequence[str] = ()
) -> FilterBar:
    chips = [
        FilterChip(
            field.label,
            dict(field.choices).get(values[field.name], values[field.name]),
            address(path, {name: one for name, one in values.items() if name != field.name}),
        )
        for field in fields
        if field.name in values
    ]
    shown = [ShownField(*field, values.get(field.name, "")) for field in fields]
    return FilterBar(path, chips, shown, errors)


def tabs(
    path: str, views: Sequence[tuple[str, Mapping[str, str]]], values: Mapping[str, str]
) -> list[ListTab]:
    return [ListTab(address(path, view), text, view == values) for text, view in views]


def before_id(params: QueryParams) -> int | None:
    """The id behind which the page begins; what is no id begins at the newest."""
    given = params.get("before", "")
    usable = given.isascii() and given.isdigit() and int(given) <= _BIGINT_MAX
    return int(given) if usable else None


# --- the rows ----------------------------------------------------------------------------------


class Window(NamedTuple):
    """The rows that a page looks at: the newest that fulfil `base`, which an index answers.

    `wanted` are the further conditions; `moment` and `amount` are names of the table's columns.
    """

    table: Table
    base: Sequence[ColumnElement[bool]]
    wanted: Sequence[RowCondition]
    columns: Sequence[str]
    amount: str
    moment: str


class WindowPage(NamedTuple):
    """The ids of a page, sums of all that was found in the window, and where it ended."""

    ids: Sequence[int]
    found: int
    sums: Sequence[ShownAmount]
    next_before: int | None
    # Not all rows were looked at; the oldest of them is of this moment.
    looked_back_to: datetime | None


class WindowIds(NamedTuple):
    """Rows of a window, the newest first, and the id behind which the next ones are."""

    ids: Sequence[int]
    next_before: int | None
    looked_back_to: datetime | None


async def read_ids(tx: Tx, window: Window, before: int | None, size: int) -> WindowIds:
    """As many rows as are asked for, or as the window has."""
    looked_at = _looked_at(window, before)
    newest = select(looked_at.c.id).where(*_conditions(window, looked_at))
    ids = list(await tx.scalars(newest.order_by(looked_at.c.id.desc()).limit(size + 1)))
    count, oldest_id, oldest = (
        await tx.execute(
            select(func.count(), func.min(looked_at.c.id), func.min(looked_at.c[window.moment]))
        )
    ).one()
    is_full = count >= LOOKED_AT_MAX
    next_before = ids[size - 1] if len(ids) > size else oldest_id if is_full else None
    return WindowIds(ids[:size], next_before, oldest if is_full else None)


async def read_window(tx: Tx, window: Window, before: int | None) -> WindowPage:
    """A page of rows, with the sums of all that the window has of them."""
    ids, next_before, looked_back_to = await read_ids(tx, window, before, PAGE)
    looked_at = _looked_at(window, before)
    columns = looked_at.c
    rows = await tx.execute(
        select(columns.currency_iso, func.count(), func.sum(columns[window.amount]))
        .where(*_conditions(window, looked_at))
        .group_by(columns.currency_iso)
        .order_by(columns.currency_iso)
    )
    found, sums = 0, []
    for currency, number, total in rows:
        found += number
        if total:
            sums.append(shown_amount(total, currency))
    return WindowPage(ids, found, sums, next_before, looked_back_to)


def _looked_at(window: Window, before: int | None) -> Subquery:
    row_id = window.table.c.id
    place = [row_id < before] if before is not None else []
    names = dict.fromkeys(["id", *window.columns, window.amount, "currency_iso", window.moment])
    return (
        select(*(window.table.c[name] for name in names))
        .where(*window.base, *place)
        .order_by(row_id.desc())
        .limit(LOOKED_AT_MAX)
        .subquery()
    )


def _conditions(window: Window, looked_at: Subquery) -> list[ColumnElement[bool]]:
    columns = dict(looked_at.c.items())
    return [one(columns) for one in window.wanted]


def window_pager(
    path: str,
    values: Mapping[str, str],
    page: WindowPage,
    times: ViewerTime,
    *,
    counted: Plural,
    before: int | None,
) -> Pager:
    """The way to the next page. A page that could not look at all rows says so."""
    first = address(path, values) if before is not None else None
    following = address(path, {**values, "before": page.next_before}) if page.next_before else None
    note = ""
    text = _("Older")
    if page.looked_back_to is not None and len(page.ids) < PAGE:
        text = _("Look further back")
        looked = counted.of(LOOKED_AT_MAX)
        note = _(
            "Looked at %(looked)s, back to %(time)s",
            looked=looked,
            time=times.full(page.looked_back_to),
        )
    return Pager(first, following, text, note)


def window_count(page: WindowPage, counted: Plural) -> str:
    """`214 payments`; of a long list, as many as were looked at hold."""
    more = _("at least ") if page.looked_back_to is not None else ""
    return f"{more}{counted.of(page.found)}"
