"""A person's own page: who they are here, their sessions, and what was done in their name."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from app.console.people.roles import DUTIES
from app.console.people.sessions import list_sessions
from app.console.people.user_events import list_user_events
from app.console.rendering import render
from app.console.routing import Viewer
from app.storage.engines import Database


async def show_account(request: Request, viewer: Viewer) -> Response:
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()
    async with database.snapshot() as tx:
        sessions = await list_sessions(tx, viewer.user_id, now)
        events = await list_user_events(tx, viewer.user_id)
    return render(
        request,
        viewer,
        "people/account.html",
        duty=DUTIES[viewer.role],
        sessions=sessions,
        events=events,
    )
