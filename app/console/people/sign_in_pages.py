"""The pages before the console: sign in, by a one-time link, and out."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from app.console import cookies
from app.console.people.one_time_tokens import Purpose, find_one_time, redeem
from app.console.people.sessions import end_session
from app.console.people.sign_in import act_of, signed_in, start_session
from app.console.people.user_events import record_user_event
from app.console.people.users import UserRecord, has_users, load_user_by_id
from app.console.rendering import render
from app.console.routing import Viewer, next_path, redirect
from app.errors import NotAllowed
from app.security_log import SecurityEvent
from app.storage.engines import Database, Tx


class LinkUsedUp(NotAllowed):
    """The link was used, is too old, or was never one."""

    def __init__(self) -> None:
        super().__init__(
            "this link has been used or is out of date; ask for another one: "
            "paydue user password NAME"
        )


async def show_sign_in(request: Request) -> Response:
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        is_set_up = await has_users(tx)
    return render(
        request, None, "people/sign_in.html", following=next_path(request), is_set_up=is_set_up
    )


async def show_link(request: Request) -> Response:
    """A link is only shown here: programs that look at links in a mail use none up."""
    token = request.query_params.get("token", "")
    now: datetime = request.app.state.clock()
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        found = await find_one_time(tx, Purpose.LINK, token, now)
        if found is None or found.user_id is None:
            raise LinkUsedUp
        user = await load_user_by_id(tx, found.user_id)
    return render(request, None, "people/link.html", token=token, user=user)


async def follow_link(request: Request) -> Response:
    """Sign in by the link, which opens nothing a second time."""
    now: datetime = request.app.state.clock()
    given = str(request.state.form.get("token", ""))
    database: Database = request.app.state.database

    async def work(tx: Tx) -> str | None:
        found = await redeem(tx, Purpose.LINK, given, now)
        user = await load_user_by_id(tx, found.user_id) if found and found.user_id else None
        if user is None or user.disabled_at is not None:
            return None
        return await _session_by_link(tx, request, user)

    session_token = await database.with_retry(work)
    if session_token is None:
        raise LinkUsedUp
    return signed_in(request, session_token, "/")


async def _session_by_link(tx: Tx, request: Request, user: UserRecord) -> str:
    return await start_session(tx, request, user, "link")


async def sign_out(request: Request, viewer: Viewer) -> Response:
    """End this session; what the browser may have kept of the pages goes too."""
    database: Database = request.app.state.database
    async with database.transaction() as tx:
        await end_session(tx, viewer.user_id, viewer.session_id)
        act = act_of(request, viewer.login)
        await record_user_event(tx, SecurityEvent.SIGNED_OUT, viewer.user_id, act)
    response = redirect("/sign-in")
    cookies.delete_cookie(response, request, cookies.SESSION)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response
