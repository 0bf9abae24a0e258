"""A page made of tables: whatever it holds, one template shows it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app.console.language import _
from app.console.pages.cells import ListSection
from app.console.pages.chrome import show
from app.console.pages.listing import FilterBar, ListTab, Pager, address
from app.console.pages.wording import ShownAmount
from app.console.routing import Viewer
from app.storage.engines import Tx


class HeadLink(NamedTuple):
    """A button beside the title that leads somewhere."""

    text: str
    href: str
    icon: str = ""


class ListView(NamedTuple):
    """The parts of such a page; one that is not given is left out."""

    title: str
    sections: Sequence[ListSection]
    lede: str = ""
    links: Sequence[HeadLink] = ()
    views: Sequence[ListTab] = ()
    bar: FilterBar | None = None
    counts: str = ""
    sums: Sequence[ShownAmount] = ()
    pager: Pager | None = None


async def show_list(request: Request, viewer: Viewer, tx: Tx, view: ListView) -> Response:
    return await show(request, viewer, tx, "list.html", view=view)


def keyset_pager(
    path: str,
    values: Mapping[str, str],
    before: int | None,
    next_before: int | None,
) -> Pager:
    """The ways to the newest rows and to the next page of them."""
    first = address(path, values) if before is not None else None
    following = address(path, {**values, "before": next_before}) if next_before else None
    return Pager(first, following, _("Older"), "")
