"""A person's own pages: profile, password, authenticator app, sessions, and acts in their name."""

from datetime import datetime
from zoneinfo import available_timezones

from starlette.requests import Request
from starlette.responses import Response

from app.console.language import BY_BROWSER, LANGUAGES, _
from app.console.people import authenticator_app, passwords, users
from app.console.people.roles import DUTIES
from app.console.people.sessions import end_session, end_sessions, list_sessions
from app.console.people.sign_in import act_of
from app.console.people.user_events import list_user_events, record_user_event
from app.console.rendering import render
from app.console.routing import Viewer, redirect
from app.errors import AppError, InvalidField
from app.security_log import SecurityEvent
from app.storage.engines import Database, Tx


async def show_account(request: Request, viewer: Viewer) -> Response:
    return await _account(request, viewer)


async def change_profile(request: Request, viewer: Viewer) -> Response:
    form = request.state.form
    database: Database = request.app.state.database
    try:
        async with database.transaction() as tx:
            await users.change_profile(
                tx, viewer.user_id, name=form.get("name", ""),
                timezone=form.get("timezone") or None, theme=form.get("theme", "auto"),
                locale=form.get("locale", BY_BROWSER),
            )  # fmt: skip
    except InvalidField as error:
        return await _account(request, viewer, error=error.message)
    return redirect("/account")


async def _account(request: Request, viewer: Viewer, error: str | None = None) -> Response:
    database: Database = request.app.state.database
    now: datetime = request.app.state.clock()
    async with database.snapshot() as tx:
        user = await users.load_user_by_id(tx, viewer.user_id)
        sessions = await list_sessions(tx, viewer.user_id, now)
        events = await list_user_events(tx, viewer.user_id)
    return render(
        request, viewer, "people/account.html", status=400 if error else 200, error=error,
        user=user, duty=DUTIES[viewer.role], sessions=sessions, events=events,
        themes=users.THEMES, languages=LANGUAGES, timezones=sorted(available_timezones()),
    )  # fmt: skip


async def change_sessions(request: Request, viewer: Viewer) -> Response:
    """End one session, or all: `session` is its id, `others` or `all`."""
    wanted = request.state.form.get("session", "")
    database: Database = request.app.state.database
    async with database.transaction() as tx:
        if wanted in ("all", "others"):
            await end_sessions(
                tx, viewer.user_id, but=viewer.session_id if wanted == "others" else None
            )
        elif wanted.isascii() and wanted.isdigit() and len(wanted) < 19:
            await end_session(tx, viewer.user_id, int(wanted))
        act = act_of(request, viewer.login)
        await record_user_event(tx, SecurityEvent.SIGNED_OUT, viewer.user_id, act, wanted[:20])
    return redirect("/account")


async def show_password(request: Request, viewer: Viewer) -> Response:
    return render(request, viewer, "people/password.html", error=None, least=passwords.LENGTH_MIN)


async def change_password(request: Request, viewer: Viewer) -> Response:
    """The new password; every other session of the person ends."""
    form = request.state.form
    given = form.get("password", "")
    try:
        if given != form.get("again", ""):
            raise InvalidField("again", "is not the same as the password")
        await passwords.check_strength_aside(given, [viewer.login, viewer.name])
    except AppError as error:
        return render(
            request, viewer, "people/password.html", status=error.status, error=error.message,
            least=passwords.LENGTH_MIN,
        )  # fmt: skip
    password_hash = await passwords.hash_password(given)
    database: Database = request.app.state.database
    async with database.transaction() as tx:
        act = act_of(request, viewer.login)
        await users.set_password_hash(tx, viewer.user_id, password_hash, act)
        await end_sessions(tx, viewer.user_id, but=viewer.session_id)
    return redirect("/account")


async def show_app(request: Request, viewer: Viewer) -> Response:
    return await _app_page(request, viewer)


async def change_app(request: Request, viewer: Viewer) -> Response:
    """`act` is begin, confirm (with `code`), recovery (new codes) or remove."""
    database: Database = request.app.state.database
    wanted = request.state.form.get("act", "")
    async with database.transaction() as tx:
        user = await users.load_user_by_id(tx, viewer.user_id)
        codes, error = await _change_app(tx, request, user, wanted)
    return await _app_page(request, viewer, codes=codes, error=error)


async def _change_app(
    tx: Tx, request: Request, user: users.UserRecord, wanted: str
) -> tuple[list[str], str | None]:
    """Recovery codes to show once, or the error."""
    act = act_of(request, user.login)
    match wanted:
        case "begin" if not authenticator_app.has_app(user):
            await authenticator_app.begin_enrolment(tx, user)
        case "confirm":
            code = request.state.form.get("code", "")
            codes = await authenticator_app.confirm_enrolment(tx, user, code, act.now)
            if codes is None:
                return [], _("That code is wrong. Look at the app's newest one.")
            await end_sessions(tx, user.id, but=request.state.viewer.session_id)
            await record_user_event(tx, SecurityEvent.FACTOR_ADDED, user.id, act, "app")
            return codes, None
        case "recovery" if authenticator_app.has_app(user):
            await record_user_event(tx, SecurityEvent.FACTOR_ADDED, user.id, act, "recovery codes")
            return await authenticator_app.renew_recovery_codes(tx, user.id), None
        case "remove":
            await authenticator_app.remove_app(tx, user, act)
    return [], None


async def _app_page(
    request: Request, viewer: Viewer, codes: list[str] | None = None, error: str | None = None
) -> Response:
    database: Database = request.app.state.database
    async with database.snapshot() as tx:
        user = await users.load_user_by_id(tx, viewer.user_id)
    return render(
        request, viewer, "people/app.html", status=400 if error else 200, error=error,
        codes=codes or [], enrolment=authenticator_app.pending_enrolment(user),
        since=user.totp_since,
    )  # fmt: skip
