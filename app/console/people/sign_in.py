"""How a sign-in ends, whichever way it was proved: a new session, its cookie, the way on."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from app.console import cookies
from app.console.people.sessions import Device, open_session
from app.console.people.user_events import Act, record_user_event
from app.console.people.users import UserRecord
from app.console.routing import redirect
from app.security_log import SecurityEvent
from app.storage.engines import Tx


def act_of(request: Request, by: str) -> Act:
    """An act of this person, done with the request."""
    now: datetime = request.app.state.clock()
    return Act(by, now, Device.of(request))


async def start_session(tx: Tx, request: Request, user: UserRecord, signed_in_by: str) -> str:
    """The token of a new session of this user, whose sign-in is written down."""
    act = act_of(request, user.login)
    device = act.device or Device.of(request)
    token = await open_session(tx, user.id, signed_in_by=signed_in_by, device=device, now=act.now)
    await record_user_event(tx, SecurityEvent.SIGNED_IN, user.id, act, signed_in_by)
    return token


def signed_in(request: Request, token: str, following: str) -> Response:
    """The browser gets the session's cookie and goes on; the cookies of the way here end."""
    response = redirect(following)
    cookies.set_cookie(response, request, cookies.SESSION, token)
    cookies.delete_cookie(response, request, cookies.VISITOR)
    cookies.delete_cookie(response, request, cookies.STEP)
    return response
