"""Before money moves a person shows again who they are, by the password or the app's code."""

from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from app.console import cookies
from app.console.language import _
from app.console.people import passwords
from app.console.people.authenticator_app import has_app, use_code
from app.console.people.lockout import count_attempt, counted_user, forget_failures
from app.console.people.one_time_tokens import Purpose, redeem
from app.console.people.passkeys import relying_party
from app.console.people.sessions import renew_session
from app.console.people.sign_in import act_of, attempt_was_right, counted
from app.console.people.user_events import record_user_event
from app.console.people.users import UserRecord, load_user_by_id
from app.console.rendering import render
from app.console.routing import Viewer, next_path, redirect
from app.security_log import SecurityEvent
from app.storage.engines import Database, Tx


async def show_confirm_identity(request: Request, viewer: Viewer) -> Response:
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        user = await load_user_by_id(tx, viewer.user_id)
    return _page(request, viewer, user, next_path(request))


async def confirm_identity(request: Request, viewer: Viewer) -> Response:
    """The session goes on under a new token; a wrong answer counts like one at the sign-in."""
    form = request.state.form
    following = next_path(request, form.get("next", "/"))
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()

    async def attempt(tx: Tx) -> UserRecord:
        await count_attempt(tx, counted(request, viewer.user_id, viewer.login), now)
        return await load_user_by_id(tx, viewer.user_id)

    user = await database.with_retry(attempt)
    by_password = user.password_hash is not None and await passwords.matches(
        user.password_hash, form.get("password", "")
    )
    async with database.transaction() as tx:
        by_code = not user.password_hash and await use_code(tx, user, form.get("code", ""), now)
        by_link = await _is_own_link(tx, user, form.get("link", ""), now)
        if by_password or by_code or by_link:
            return await confirmed(tx, request, viewer, following)
        act = act_of(request, "somebody")
        await record_user_event(tx, SecurityEvent.SIGN_IN_REFUSED, user.id, act, "not confirmed")
    return _page(request, viewer, user, following, error=_("That is wrong. Try again."))


async def _is_own_link(tx: Tx, user: UserRecord, given: str, now: datetime) -> bool:
    """A new sign-in link of theirs confirms those who have nothing else to show, and is used up.

    Whoever has a password or an app shows that: a link is made by somebody else.
    """
    if not given or user.password_hash is not None or has_app(user):
        return False
    token = dict(parse_qsl(urlsplit(given.strip()).query)).get("token", "")
    found = await redeem(tx, Purpose.LINK, token, now)
    return found is not None and found.user_id == user.id


async def confirmed(tx: Tx, request: Request, viewer: Viewer, following: str) -> Response:
    """The person goes on, in the same session, under a new token."""
    act = act_of(request, viewer.login)
    token = await renew_session(tx, viewer.session_id, act.now)
    await attempt_was_right(tx, request)
    await forget_failures(tx, counted_user(viewer.user_id, viewer.login))
    await record_user_event(tx, SecurityEvent.IDENTITY_CONFIRMED, viewer.user_id, act)
    response = redirect(following)
    cookies.set_cookie(response, request, cookies.SESSION, token)
    cookies.delete_cookie(response, request, cookies.STEP)
    return response


def _page(
    request: Request, viewer: Viewer, user: UserRecord, following: str, error: str | None = None
) -> Response:
    return render(
        request, viewer, "people/confirm.html", status=403 if error else 200, error=error,
        following=following, has_password=user.password_hash is not None, has_app=has_app(user),
        has_passkeys=relying_party(request) is not None,
        has_openid=request.app.state.openid.is_set_up,
    )  # fmt: skip
