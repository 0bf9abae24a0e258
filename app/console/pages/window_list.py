"""A list of very many rows: filters, views, sums, a page of them, and all of them as a file.

Such a list is declared: its columns, how a row becomes cells, and the window that its filters ask
for. The two pages at its path and at `path.csv` follow.
"""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from itertools import compress
from typing import Generic, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from app.console.language import Plural, _
from app.console.pages.cells import ListCell, ListColumn, ListSection, Tick
from app.console.pages.chrome import reading, times_of
from app.console.pages.csv_export import AT_ONCE, csv_response, selected_ids
from app.console.pages.list_view import HeadLink, ListView, show_list
from app.console.pages.listing import (
    ColumnChoice,
    FilterBar,
    FilterField,
    ListTab,
    ViewForm,
    Window,
    WindowPage,
    before_id,
    filter_bar,
    filter_values,
    read_ids,
    read_window,
    tabs,
    window_count,
    window_pager,
)
from app.console.pages.saved_views import NamedView, list_views
from app.console.pages.wording import ViewerTime
from app.console.routing import Viewer
from app.rules.spreadsheet import Cell
from app.storage.engines import Tx

RowT = TypeVar("RowT")
# The window of the filters, and what is wrong with those that could not be read.
LoadWindow = Callable[[Tx, Mapping[str, str], ViewerTime], Awaitable[tuple[Window, list[str]]]]


@dataclass(frozen=True, kw_only=True)
class WindowList(Generic[RowT]):
    """`counted` names rows, `sums_of` says of what the sums are; `file_*` make the CSV."""

    path: str
    title: str
    counted: Plural
    sums_of: str
    empty: str
    fields: Sequence[FilterField]
    views: Sequence[tuple[str, Mapping[str, str]]]
    columns: Sequence[ListColumn]
    load_window: LoadWindow
    load_rows: Callable[[Tx, Collection[int], ViewerTime], Awaitable[Sequence[RowT]]]
    cells: Callable[[RowT, ViewerTime], Sequence[ListCell]]
    tick: Callable[[RowT], Tick]
    file_header: Sequence[str]
    file_cells: Callable[[RowT, ViewerTime], Sequence[Cell]]

    async def show(self, request: Request, viewer: Viewer) -> Response:
        times = times_of(request, viewer)
        values = self._values(request)
        before = before_id(request.query_params)
        async with reading(request) as tx:
            window, errors = await self.load_window(tx, values, times)
            page = await read_window(tx, window, before)
            saved = await list_views(tx, viewer.user_id, self.path)
            view = ListView(
                title=self.title,
                sections=[await self._section(tx, page, values, times)],
                links=[HeadLink(_("Export CSV"), self._file_of(request), "down")],
                views=[*tabs(self.path, self.views, values), *self._saved_tabs(saved, values)],
                bar=self._bar(saved, values, errors),
                counts=f"{window_count(page, self.counted)}, {self.sums_of}:",
                sums=page.sums,
                pager=window_pager(
                    self.path, values, page, times, counted=self.counted, before=before
                ),
            )  # fmt: skip
            return await show_list(request, viewer, tx, view)

    def _values(self, request: Request) -> dict[str, str]:
        """Filters of the address, and its choice of columns where it is not all of them."""
        values = filter_values(request.query_params, self.fields)
        chosen = " ".join(request.query_params.getlist("columns")).split()
        names = [name for name in self._choices() if name in chosen]
        if names and len(names) < len(self._choices()):
            values["columns"] = " ".join(names)
        return values

    def _choices(self) -> list[str]:
        """The columns that may be left out: all but the first, which opens the row."""
        return [_slug(one) for one in self.columns[1:]]

    def _is_shown(self, values: Mapping[str, str]) -> list[bool]:
        chosen = values.get("columns", " ".join(self._choices())).split()
        return [True, *(name in chosen for name in self._choices())]

    def _saved_tabs(
        self, saved: Sequence[NamedView], values: Mapping[str, str]
    ) -> Iterator[ListTab]:
        here = _query(values)
        for one in saved:
            href = f"{self.path}?{one.query}" if one.query else self.path
            yield ListTab(href, one.name, one.query == here)

    def _bar(
        self, saved: Sequence[NamedView], values: Mapping[str, str], errors: Sequence[str]
    ) -> FilterBar:
        bar = filter_bar(self.path, self.fields, values, errors)
        columns = [
            ColumnChoice(_slug(one), one.title, is_shown)
            for one, is_shown in zip(self.columns, self._is_shown(values), strict=True)
        ]
        here = _query(values)
        own = next((one.id for one in saved if one.query == here), None)
        return bar._replace(columns=columns[1:], view=ViewForm(self.path, here, own))

    async def _section(
        self, tx: Tx, page: WindowPage, values: Mapping[str, str], times: ViewerTime
    ) -> ListSection:
        rows = await self.load_rows(tx, page.ids, times)
        is_shown = self._is_shown(values)
        return ListSection(
            _("%(title)s, newest first", title=self.title),
            list(compress(self.columns, is_shown)),
            [list(compress(self.cells(row, times), is_shown)) for row in rows],
            empty=self.empty,
            empty_hint=_("Take a filter away, or look further back."),
            ticks=[self.tick(row) for row in rows],
            file=f"{self.path}.csv",
        )

    def _file_of(self, request: Request) -> str:
        query = request.url.query
        return f"{self.path}.csv?{query}" if query else f"{self.path}.csv"

    async def export(self, request: Request, viewer: Viewer) -> Response:
        """The ticked rows, or all that the filters find, as CSV."""
        times = times_of(request, viewer)
        ids = selected_ids(request.query_params)
        rows = self._chosen(request, ids, times) if ids else self._all(request, times)
        return csv_response(f"{self.path.strip('/')}.csv", self.file_header, rows)

    async def _chosen(
        self, request: Request, ids: Sequence[int], times: ViewerTime
    ) -> AsyncIterator[Sequence[Cell]]:
        async with reading(request) as tx:
            rows = await self.load_rows(tx, ids, times)
        for row in rows:
            yield self.file_cells(row, times)

    async def _all(self, request: Request, times: ViewerTime) -> AsyncIterator[Sequence[Cell]]:
        """Page by page, each in a snapshot of its own, so that a long file holds no connection."""
        values = filter_values(request.query_params, self.fields)
        before: int | None = None
        while True:
            async with reading(request) as tx:
                window, _errors = await self.load_window(tx, values, times)
                page = await read_ids(tx, window, before, AT_ONCE)
                rows = await self.load_rows(tx, page.ids, times)
            for row in rows:
                yield self.file_cells(row, times)
            if page.next_before is None:
                return
            before = page.next_before


def _slug(column: ListColumn) -> str:
    """The column's name in an address."""
    return column.title.lower().replace(" ", "-")


def _query(values: Mapping[str, str]) -> str:
    """The address behind its question mark, in one order, so that equal views are the same."""
    return urlencode(sorted(values.items()))
