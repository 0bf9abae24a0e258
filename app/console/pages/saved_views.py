"""Views of lists that a person has saved: filters and columns of an address under a name."""

from typing import NamedTuple

from sqlalchemy import delete, select
from starlette.requests import Request
from starlette.responses import Response

from app.console.pages.chrome import id_in_path
from app.console.pages.ledger_acts import database_of
from app.console.routing import Viewer, redirect
from app.control_characters import escape_controls
from app.errors import InvalidField, NotFound
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.rows import upsert
from app.storage.tables.console_people import SavedView

VIEWS = table_of(SavedView)

# As many as a row of tabs takes; the address of any other list can be kept as a bookmark.
VIEWS_MAX = 12
NAME_MAX = 40
QUERY_MAX = 1000
# Lists that have views.
PATHS = ("/payments", "/invoices")


class NamedView(NamedTuple):
    """A saved view of a list."""

    id: int
    name: str
    query: str


async def list_views(tx: Tx, user_id: int, path: str) -> list[NamedView]:
    """The person's own views of this list, in the order in which they were saved."""
    columns = [VIEWS.c[name] for name in NamedView._fields]
    wanted = select(*columns).where(VIEWS.c.user_id == user_id, VIEWS.c.path == path)
    return [NamedView._make(row) for row in await tx.execute(wanted.order_by(VIEWS.c.id))]


async def save_view(request: Request, viewer: Viewer) -> Response:
    """Keep the address of a list; a name that is there already gets the new one."""
    form = request.state.form
    path, query, name = (str(form.get(one, "")).strip() for one in ("path", "query", "name"))
    if path not in PATHS or len(query) > QUERY_MAX:
        raise InvalidField("path", "is no list that has views")
    if not 0 < len(name) <= NAME_MAX or escape_controls(name) != name:
        raise InvalidField("name", f"has 1 to {NAME_MAX} characters")
    record = {
        "user_id": viewer.user_id, "path": path, "name": name, "query": query,
        "created_at": request.app.state.clock(),
    }  # fmt: skip

    async def work(tx: Tx) -> None:
        known = [one.name for one in await list_views(tx, viewer.user_id, path)]
        if name not in known and len(known) >= VIEWS_MAX:
            raise InvalidField("name", f"is one too many: {VIEWS_MAX} views are kept of a list")
        await upsert(tx, VIEWS, [record], key=(VIEWS.c.user_id, VIEWS.c.path, VIEWS.c.name))

    await database_of(request).with_retry(work)
    return redirect(f"{path}?{query}" if query else path)


async def remove_view(request: Request, viewer: Viewer) -> Response:
    """Only a view of one's own; the list then shows all."""
    view_id = id_in_path(request, "view_id", "view")
    own = (VIEWS.c.id == view_id) & (VIEWS.c.user_id == viewer.user_id)

    async def work(tx: Tx) -> str | None:
        path = await tx.scalar(select(VIEWS.c.path).where(own))
        await tx.execute(delete(VIEWS).where(own))
        return path

    path = await database_of(request).with_retry(work)
    if path is None:
        raise NotFound("view", view_id)
    return redirect(path)
