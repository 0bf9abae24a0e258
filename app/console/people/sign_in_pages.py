"""The pages before the console: sign in by password and code or by a one-time link, and out."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from app.console import cookies
from app.console.language import N_, _
from app.console.people import passwords
from app.console.people.authenticator_app import use_code
from app.console.people.lockout import count_attempt
from app.console.people.one_time_tokens import Purpose, find_one_time, redeem
from app.console.people.passkeys import relying_party
from app.console.people.sessions import end_session
from app.console.people.sign_in import (
    act_of,
    attempt_was_right,
    counted,
    first_factor_shown,
    signed_in,
    start_session,
)
from app.console.people.user_events import record_user_event
from app.console.people.users import UserRecord, find_user, has_users, load_user_by_id
from app.console.rendering import render
from app.console.routing import Viewer, next_path, redirect
from app.errors import NotAllowed
from app.security_log import SecurityEvent, log_security_event
from app.storage.engines import Database, Tx

# The same words whether the name, the password or both are wrong.
_WRONG = N_("The name or the password is wrong.")
_LOGIN_MAX = 200


class LinkUsedUp(NotAllowed):
    """The link was used, is too old, or was never one."""

    def __init__(self) -> None:
        super().__init__(
            "this link has been used or is out of date; whoever runs Paydue makes another one by "
            "`paydue user link NAME`"
        )


async def show_sign_in(request: Request) -> Response:
    return await _sign_in_page(request, next_path(request))


async def sign_in(request: Request) -> Response:
    """Compare the password; go on to the console, or to the code of the authenticator app."""
    form = request.state.form
    login, password = form.get("login", "").strip().lower()[:_LOGIN_MAX], form.get("password", "")
    following = next_path(request, form.get("next", "/"))
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()

    async def attempt(tx: Tx) -> UserRecord | None:
        user = await find_user(tx, login)
        await count_attempt(tx, counted(request, user.id if user else None, login), now)
        return user if user and user.disabled_at is None else None

    user = await database.with_retry(attempt)
    is_right = await passwords.matches(user.password_hash if user else None, password)
    if user is None or not is_right:
        await _note_refused(request, user, "password")
        return await _sign_in_page(request, following, error=_WRONG, login=login)
    async with database.transaction() as tx:
        await attempt_was_right(tx, request)
        return await first_factor_shown(tx, request, user, "password", following)


async def show_code(request: Request) -> Response:
    """The second step; whoever has not taken the first is sent back to it."""
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        if await _user_at_second_step(tx, request) is None:
            return redirect("/sign-in")
    return render(request, None, "people/code.html", error=None)


async def sign_in_by_code(request: Request) -> Response:
    """The code of the app, or one of the recovery codes; each is good once."""
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()
    token = cookies.read_cookie(request, cookies.STEP) or ""

    async def attempt(tx: Tx) -> UserRecord | None:
        user = await _user_at_second_step(tx, request)
        if user is not None:
            await count_attempt(tx, counted(request, user.id, user.login), now)
        return user

    async def finish(tx: Tx, user: UserRecord) -> Response | None:
        how = await use_code(tx, user, request.state.form.get("code", ""), now)
        step = await redeem(tx, Purpose.SECOND_FACTOR, token, now) if how else None
        if how is None or step is None:
            return None
        await attempt_was_right(tx, request)
        signed_in_by = f"{step.content['by']}, {how}"
        session = await start_session(tx, request, user, signed_in_by)
        return signed_in(request, session, next_path(request, step.content["following"]))

    user = await database.with_retry(attempt)
    if user is None:
        return redirect("/sign-in")
    async with database.transaction() as tx:
        response = await finish(tx, user)
    if response is not None:
        return response
    await _note_refused(request, user, "code")
    error = _("The code is wrong or was used before. Wait for the next one.")
    return render(request, None, "people/code.html", status=403, error=error)


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
    given = request.state.form.get("token", "")
    database: Database = request.app.state.database
    async with database.transaction() as tx:
        found = await redeem(tx, Purpose.LINK, given, now)
        user = await load_user_by_id(tx, found.user_id) if found and found.user_id else None
        if found is None or user is None or user.disabled_at is not None:
            raise LinkUsedUp
        following = next_path(request, found.content["following"])
        return await first_factor_shown(tx, request, user, "link", following)


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


async def _sign_in_page(
    request: Request, following: str, *, error: str | None = None, login: str = ""
) -> Response:
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        is_set_up = await has_users(tx)
    return render(
        request, None, "people/sign_in.html", status=403 if error else 200, following=following,
        is_set_up=is_set_up, error=error, login=login,
        has_passkeys=relying_party(request) is not None,
        has_openid=request.app.state.openid.is_set_up,
    )  # fmt: skip


async def _user_at_second_step(tx: Tx, request: Request) -> UserRecord | None:
    now: datetime = request.app.state.clock()
    token = cookies.read_cookie(request, cookies.STEP) or ""
    found = await find_one_time(tx, Purpose.SECOND_FACTOR, token, now)
    user = await load_user_by_id(tx, found.user_id) if found and found.user_id else None
    return user if user and user.disabled_at is None else None


async def _note_refused(request: Request, user: UserRecord | None, what: str) -> None:
    """A wrong password of a user is their business too; of nobody's only the log's."""
    if user is None:
        peer = request.client.host if request.client else None
        log_security_event(SecurityEvent.SIGN_IN_REFUSED, peer=peer, detail=what)
        return
    database: Database = request.app.state.database
    async with database.transaction() as tx:
        act = act_of(request, "somebody")
        await record_user_event(tx, SecurityEvent.SIGN_IN_REFUSED, user.id, act, f"wrong {what}")
