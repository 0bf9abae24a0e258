"""How a sign-in ends, whichever way it was proved: a new session, its cookie, the way on."""

from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from app.console import cookies
from app.console.people.authenticator_app import has_app
from app.console.people.lockout import (
    Counted,
    counted_peer,
    counted_user,
    forget_failures,
    forgive_attempt,
)
from app.console.people.one_time_tokens import Purpose, issue_one_time
from app.console.people.sessions import Device, end_session_of, open_session
from app.console.people.user_events import Act, record_user_event
from app.console.people.users import UserRecord
from app.console.routing import redirect
from app.security_log import SecurityEvent
from app.settings import Settings
from app.storage.engines import Tx

# From the password to the code of the app.
_STEP_LASTS = timedelta(minutes=5)


def act_of(request: Request, by: str) -> Act:
    """An act of this person, done with the request."""
    now: datetime = request.app.state.clock()
    return Act(by, now, Device.of(request))


def counted(request: Request, user_id: int | None, login: str) -> list[Counted | None]:
    """Whose failures an attempt counts for: the user's, and the address's it came from."""
    settings: Settings = request.app.state.settings
    peer = Device.of(request).peer
    return [counted_user(user_id, login), counted_peer(peer, settings)]


async def attempt_was_right(tx: Tx, request: Request) -> None:
    """The attempt that was counted does not count against the address any more."""
    settings: Settings = request.app.state.settings
    await forgive_attempt(tx, counted_peer(Device.of(request).peer, settings))


async def first_factor_shown(
    tx: Tx, request: Request, user: UserRecord, signed_in_by: str, following: str
) -> Response:
    """The person goes on to the console, or to the page that asks for the app's code."""
    if not has_app(user):
        return signed_in(request, await start_session(tx, request, user, signed_in_by), following)
    now: datetime = request.app.state.clock()
    content = {"following": following, "by": signed_in_by}
    token = await issue_one_time(
        tx, Purpose.SECOND_FACTOR, lasts=_STEP_LASTS, now=now, user_id=user.id, content=content
    )
    response = redirect("/sign-in/code")
    cookies.set_cookie(response, request, cookies.STEP, token)
    return response


async def start_session(
    tx: Tx, request: Request, user: UserRecord, signed_in_by: str,
    authenticated_at: datetime | None = None,
) -> str:  # fmt: skip
    """The token of a new session of this user, whose sign-in is written down.

    The session that the browser had before ends.
    `authenticated_at` is when they showed who they are, where that is not now.
    """
    act = act_of(request, user.login)
    token = await open_session(
        tx,
        user.id,
        signed_in_by=signed_in_by,
        device=Device.of(request),
        now=act.now,
        authenticated_at=authenticated_at or act.now,
    )
    await end_session_of(tx, cookies.read_cookie(request, cookies.SESSION) or "")
    await forget_failures(tx, counted_user(user.id, user.login))
    await record_user_event(tx, SecurityEvent.SIGNED_IN, user.id, act, signed_in_by)
    return token


def signed_in(request: Request, token: str, following: str) -> Response:
    """The browser gets the session's cookie and goes on; the cookies of the way here end."""
    response = redirect(following)
    cookies.set_cookie(response, request, cookies.SESSION, token)
    cookies.delete_cookie(response, request, cookies.VISITOR)
    cookies.delete_cookie(response, request, cookies.STEP)
    return response
